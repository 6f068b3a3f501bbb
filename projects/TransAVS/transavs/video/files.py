"""Which videos a command line names, and what their outputs are called."""

import glob
from collections.abc import Iterable
from pathlib import Path

from .limits import VideoError
from .reading import VIDEO_SUFFIXES


def find_videos(inputs: Iterable[str]) -> list[str]:
    """Files as they are, folders' videos, and what a pattern matches; each once, in this order.

    Raises:
        VideoError: a folder holds no video.
    """
    found = []
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            matches = sorted(str(file) for file in path.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES)
        else:
            # A name may itself hold characters of a pattern; what matches nothing is told of when it is opened.
            matches = [given] if path.exists() else sorted(glob.glob(given, recursive=True)) or [given]
        if not matches:
            raise VideoError(f"{given}: holds no video ({', '.join(VIDEO_SUFFIXES)})")
        found += matches
    return list(dict.fromkeys(found))


def output_names(videos: Iterable[str]) -> list[str]:
    """A name for each video's outputs: its own, with a number where two are alike."""
    names: list[str] = []
    for video in videos:
        stem, number, name = Path(video).stem, 2, Path(video).stem
        while name in names:
            name, number = f"{stem}_{number}", number + 1
        names.append(name)
    return names
