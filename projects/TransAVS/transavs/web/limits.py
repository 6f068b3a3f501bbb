"""What a visitor's video may be: one does not keep the others waiting for long."""

import math
from dataclasses import dataclass

from ..video import SOURCE_RATE, FrameRate, VideoError, VideoReader


@dataclass(frozen=True)
class Limits:
    """A small file may hold a long video, one of many frames, or of large ones.

    Args:
        seconds: of a video.
        frames: of a video, or to be segmented, whichever are more.
        gigapixels: 10^9 pixels, of all these frames together.
    """

    seconds: float
    frames: int
    gigapixels: float

    def check(self, reader: VideoReader, fps: FrameRate) -> None:
        """
        Args:
            reader: of the video.
            fps: frames a second to be segmented.

        Raises:
            VideoError: the video is beyond one of the limits; it is told which.
        """
        frames = reader.num_frames
        if fps != SOURCE_RATE:
            frames = max(frames, math.ceil(reader.duration * float(fps)))
        gigapixels = frames * reader.width * reader.height / 1e9
        if reader.duration > self.seconds:
            raise VideoError(f"{reader.path}: lasts {reader.duration:.0f} s, expected at most {self.seconds} s")
        if frames > self.frames:
            raise VideoError(f"{reader.path}: has {frames} frames, expected at most {self.frames}")
        if gigapixels > self.gigapixels:
            size = f"{frames} frames of {reader.width}x{reader.height} pixels"
            raise VideoError(f"{reader.path}: has {size}, expected at most {self.gigapixels} gigapixels together")
