from .limits import VideoError
from .reading import SOURCE_RATE, VIDEO_SUFFIXES, FrameRate, VideoReader, exact_rate
from .writing import VideoWriter

__all__ = [
    "SOURCE_RATE",
    "VIDEO_SUFFIXES",
    "FrameRate",
    "VideoError",
    "VideoReader",
    "VideoWriter",
    "exact_rate",
]
