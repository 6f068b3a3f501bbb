from .reading import SOURCE_RATE, VIDEO_SUFFIXES, VideoError, VideoReader, exact_rate
from .writing import VideoWriter

__all__ = [
    "SOURCE_RATE",
    "VIDEO_SUFFIXES",
    "VideoError",
    "VideoReader",
    "VideoWriter",
    "exact_rate",
]
