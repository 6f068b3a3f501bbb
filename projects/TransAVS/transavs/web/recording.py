"""What the model said of a video, kept on disk, so that other thresholds can be tried without running it again."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from detectron2.structures import Instances

from ..engine.predictor import FrameResult
from ..inference import class_map
from ..video import FrameRate, VideoReader

PERCENTS = np.linspace(0, 1, 101, dtype=np.float32)


class Recording:
    """The results of one video.

    A frame's map is kept in whole percents, rounded up, so that a threshold of whole percents finds the same pixels in
    it as in the map itself; of several classes each pixel's likeliest.

    Args:
        folder: a new one, for a file a frame.
        reader: the video, which is read once more at each replay.
        fps: frames a second, as they were segmented; "source" is all.
        least_threshold: the model's own TEST.MASK_THRESHOLD; no lower one can be tried.
    """

    def __init__(self, folder: str | os.PathLike[str], reader: VideoReader, fps: FrameRate, least_threshold: float):
        self.folder, self.reader, self.fps, self.least_threshold = Path(folder), reader, fps, least_threshold
        self.folder.mkdir()
        self.num_frames = self.num_classes = 0

    def add(self, result: FrameResult) -> None:
        """Keeps the next frame's."""
        found = result.instances
        owner = np.zeros(found.image_size, np.uint16)  # 0 is nobody
        for number, mask in enumerate(found.pred_masks.numpy(), start=1):
            owner[mask] = number
        self.num_classes = len(result.sem_seg)
        np.savez_compressed(
            self._file(self.num_frames),
            label=class_map(result.sem_seg, 0.0).numpy(),
            percent=np.searchsorted(PERCENTS, result.sem_seg.amax(0).numpy()).astype(np.uint8),
            owner=owner,
            scores=found.scores.numpy(),
            pred_classes=found.pred_classes.numpy(),
            query_index=found.query_index.numpy(),
            object_number=found.object_number.numpy(),
        )
        self.num_frames += 1

    def replay(self, mask_threshold: float, least_score: float) -> Iterator[FrameResult]:
        """The results as the model would give them with another threshold.

        Args:
            mask_threshold: in whole percents, at least `least_threshold`.
            least_score: objects below it are left out, with their pixels; so are pixels above the threshold that
                no object has, where windows overlap, if it is more than 0.

        Yields:
            FrameResult: its `sem_seg` is 0 but in the channel of a pixel's likeliest class.

        Raises:
            ValueError: a lower threshold than was kept.
        """
        if mask_threshold < self.least_threshold:
            raise ValueError(f"threshold {mask_threshold}, expected at least the model's {self.least_threshold}")
        # The reader may have frames more than the recording, if that was ended early.
        for number, (time, frame) in zip(range(self.num_frames), self.reader.sample(self.fps)):
            yield self._read(number, float(time), frame, round(100 * mask_threshold), least_score)

    def _read(self, number: int, time: float, frame: np.ndarray, least_percent: int, least_score: float) -> FrameResult:
        with np.load(self._file(number)) as kept:
            percent, owner, label = kept["percent"], kept["owner"], kept["label"]
            fields = {
                key: torch.from_numpy(kept[key]) for key in ("scores", "pred_classes", "query_index", "object_number")
            }
        sure_enough = np.append(least_score <= 0, fields["scores"].numpy() >= least_score)  # by owner
        percent[~sure_enough[owner]] = 0
        owner[percent <= least_percent] = 0
        numbers = np.setdiff1d(owner, [0])
        masks = torch.from_numpy(owner[None] == numbers[:, None, None])
        chosen = torch.from_numpy(numbers.astype(np.int64)) - 1
        instances = Instances(owner.shape, pred_masks=masks, **{key: field[chosen] for key, field in fields.items()})
        channels = torch.from_numpy(np.maximum(label, 1).astype(np.int64) - 1)[None]
        soft_map = torch.zeros(self.num_classes, *owner.shape)
        soft_map.scatter_(0, channels, torch.from_numpy(PERCENTS[percent])[None])
        return FrameResult(time, frame, soft_map, instances)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npz"
