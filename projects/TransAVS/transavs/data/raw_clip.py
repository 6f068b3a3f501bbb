"""A clip in memory before it is augmented: what reading, composing and mixing hand to one another."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .layout import NUM_FRAMES
from .sound import Sound

Classes = NDArray[np.int64]


@dataclass(frozen=True)
class RawClip:
    """Frames, the masks of what sounds in them, and the sound. Its arrays are shared: whoever changes one copies it.

    Args:
        frames: F uint8 [H, W, 3], all of one size.
        masks: for each frame bool [n, H, W], a mask for each object that sounds in it; n may be 0. Empty in testing.
        classes: for each frame int64 [n], the class of each mask, from 0; None where all that sounds is one class.
        frame_indices: the second that each frame shows.
        sound: of the whole clip.
        objects: the names of all that the frames show, sounding or not; None where that is not known.
        sounding: the names of all that the sound may be of; None where that is not known.
        video_id: the clip's id; "" where each reading gives another clip.
        num_seconds: how long it lasts, its sound included.
        mix: what mixing made of the clip, one of `mixing.MIXES`; "" where it left it alone.
    """

    frames: list[NDArray[np.uint8]]
    masks: list[NDArray[np.bool_]]
    frame_indices: list[int]
    sound: Sound
    classes: list[Classes] | None = None
    objects: frozenset[str] | None = None
    sounding: frozenset[str] | None = None
    video_id: str = ""
    num_seconds: int = NUM_FRAMES
    mix: str = ""

    def mask_classes(self) -> list[Classes]:
        """For each frame int64 [n], the class of each mask."""
        if self.classes is not None:
            return self.classes
        return [np.zeros(len(frame_masks), np.int64) for frame_masks in self.masks]
