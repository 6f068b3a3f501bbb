"""Training clips that cannot be read: an error, or left out as long as they are few."""

import logging
from collections.abc import Sequence
from typing import Any

import torch

from .errors import AVSDatasetError
from .safe_pickle import UnsafePickleError
from .sound_files import AudioError

UNREADABLE = (AVSDatasetError, AudioError, UnsafePickleError)  # what reading a clip raises

logger = logging.getLogger(__name__)


class CorruptClips:
    """Those of a dataset that were found so far, by all workers of a data loader together.

    Args:
        clips: the dataset's.
        max_share: of the clips, so many may be corrupt, from 0 to less than 1.

    Raises:
        ValueError: another share; it names the config's key.
    """

    def __init__(self, clips: Sequence[dict[str, Any]], max_share: float):
        if not 0 <= max_share < 1:
            raise ValueError(f"DATALOADER.MAX_CORRUPT_SHARE is {max_share}, expected 0 to less than 1")
        self.max_share = max_share
        self._places = {_name(clip): place for place, clip in enumerate(clips)}
        self._found = torch.zeros(len(clips), dtype=torch.bool).share_memory_()

    def add(self, clip: dict[str, Any], error: Exception) -> None:
        """Counts a clip, and logs it the first time.

        Raises:
            AVSDatasetError: there are more than may be; it says which was one too many.
        """
        place, num_clips = self._places[_name(clip)], len(self._found)
        if not self._found[place]:
            self._found[place] = True
            logger.warning("A clip is left out, for another one (%d of %d so far): %s", len(self), num_clips, error)
        if len(self) > self.max_share * num_clips:
            limit = f"DATALOADER.MAX_CORRUPT_SHARE is {self.max_share}"
            raise AVSDatasetError(f"{len(self)} of {num_clips} clips cannot be read, but {limit}; the last: {error}")

    def __len__(self) -> int:
        return int(self._found.sum())


def _name(clip: dict[str, Any]) -> str:
    """Of all datasets together, where ids may be alike."""
    return str(clip["file_names"][0] if "file_names" in clip else clip["video_id"])
