"""What can be read as a video at all: checked before anything is decoded, or memory taken for it."""

import os

MIN_SIDE = 16  # pixels; what is smaller shows nothing, and is no whole block of H.264
MAX_PIXELS = 1 << 26  # of a frame; 8K has half of it
MAX_SECONDS = 10**6  # twelve days; what lasts longer are timestamps gone wrong
MAX_AUDIO_RATE = 768000  # samples a second


class VideoError(ValueError):
    """A video that cannot be read or written; the message is one line and names the file."""


def check_file(path: str) -> None:
    """Raises: VideoError: there is no such file, or none that can be read."""
    if not os.path.exists(path):
        raise VideoError(f"{path}: no such file, expected a video")
    if not os.path.isfile(path):
        raise VideoError(f"{path}: is a folder or a device, expected a video file")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{path}: may not be read (permission denied)")
    if os.path.getsize(path) == 0:
        raise VideoError(f"{path}: the file is empty (0 bytes), expected a video")


def check_limits(path: str, width: int, height: int, seconds: float, audio_rate: int | None) -> None:
    """Raises: VideoError: the frames, the length or the sound's rate are beyond what a video has."""
    if min(width, height) < MIN_SIDE or width * height > MAX_PIXELS:
        expected = f"expected at least {MIN_SIDE}x{MIN_SIDE} and at most {MAX_PIXELS} pixels"
        raise VideoError(f"{path}: frames are {width}x{height} pixels (width x height), {expected}")
    if seconds > MAX_SECONDS:
        raise VideoError(f"{path}: lasts {seconds:.0f} s by its timestamps, expected at most {MAX_SECONDS} s")
    if audio_rate is not None and not 0 < audio_rate <= MAX_AUDIO_RATE:
        raise VideoError(f"{path}: the sound has {audio_rate} samples a second, expected 1 to {MAX_AUDIO_RATE}")
