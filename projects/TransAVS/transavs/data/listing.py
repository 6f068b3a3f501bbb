"""What listing the clips of a dataset asks of its table and its files, whatever its layout."""

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from .errors import AVSDatasetError
from .layout import FilePath

MAX_PROBLEMS_SHOWN = 10
MAX_NAME_BYTES = 200  # of a clip's id, to which its files' names add a little; file systems take 255
OBJECTS_COLUMN = "objects"  # of a csv, at will: all that a clip shows, sounding or not, with OBJECTS_SEPARATOR between
OBJECTS_SEPARATOR = ";"
ReadSize = Callable[[str, str], tuple[int, int]]  # of a picture's path, and what an error calls it
HOW_TO_GET = (
    "datasets/README.md says how to get AVSBench and how the folders must look; "
    "datasets/prepare_toy.py and datasets/prepare_stamps.py make data of the same layout"
)


def require(value: str, known: Iterable[str], what: str) -> None:
    """Raises: AVSDatasetError: `value` is none of the `known` ones."""
    if value not in known:
        raise AVSDatasetError(f"unknown {what} {value!r}: expected one of {', '.join(known)}")


def raise_problems(problems: Sequence[str], where: FilePath) -> None:
    """Raises: AVSDatasetError: there are problems; it counts them and shows the first."""
    if not problems:
        return
    shown = problems[:MAX_PROBLEMS_SHOWN]
    hidden = len(problems) - len(shown)
    tail = f"\n  ... and {hidden} more" if hidden else ""
    raise AVSDatasetError(f"{where}: {len(problems)} problem(s)\n  " + "\n  ".join(shown) + tail)


def read_lines(path: Path, example: Sequence[str]) -> list[list[str]]:
    """A csv's lines, the header first, without spaces around its names.

    Args:
        path: of the csv.
        example: the columns that an error calls expected, where there are none.

    Raises:
        AVSDatasetError: there is no such file, it is not a readable csv, or it is empty.
    """
    if not path.is_file():
        raise AVSDatasetError(f"{path} does not exist, the list of the subset's clips. {HOW_TO_GET}.")
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            lines = list(csv.reader(file, strict=True))
        except (csv.Error, UnicodeDecodeError) as error:
            raise AVSDatasetError(f"{path}: not a readable csv file in UTF-8: {error}") from error
    if not lines:
        raise AVSDatasetError(f"{path} is empty: expected a header such as {','.join(example)}")
    lines[0] = [column.strip() for column in lines[0]]
    return lines


def numbered_rows(lines: list[list[str]]) -> Iterable[tuple[int, list[str]]]:
    """The rows below the header that are not empty, without spaces around their values, each with its number in the
    file."""
    for number, values in enumerate(lines[1:], start=2):
        stripped = [value.strip() for value in values]
        if any(stripped):
            yield number, stripped


def is_file_name(text: str) -> bool:
    """Whether files called after it lie in the folder that they are meant for."""
    short = len(os.fsencode(text)) <= MAX_NAME_BYTES
    return short and text.isprintable() and text not in (".", "..") and not set(text) & set("/\\")


def split_objects(text: str) -> list[str]:
    """The names in OBJECTS_COLUMN."""
    return [name.strip() for name in text.split(OBJECTS_SEPARATOR)]


def check_sizes(
    frames: Sequence[str], masks: Sequence[str | None], read_size: ReadSize
) -> tuple[tuple[int, int], list[str]]:
    """Looks at a clip's pictures; reads headers only.

    Args:
        frames, masks: their paths; None for a frame without a mask.
        read_size: gives a picture's (width, height), as `image_size` does.

    Returns:
        (the first frame's (width, height), a list of problems)
    """
    problems: list[str] = []
    clip_size: tuple[int, int] | None = None
    for index, (frame, mask) in enumerate(zip(frames, masks)):
        # Unannotated frames are not opened: S4's training split has four times as many of them as of the others.
        place = f"{index + 1} of {len(frames)}"
        frame_size = _image_size(frame, problems, "frame", place, read_size if mask is not None else None)
        clip_size = clip_size or frame_size
        if frame_size and clip_size and frame_size != clip_size:
            problems.append(f"frame {frame} is {_show(frame_size)}, expected {_show(clip_size)} as the first frame")
        if mask is None:
            continue
        mask_size = _image_size(mask, problems, "mask", place, read_size)
        if mask_size and frame_size and mask_size != frame_size:
            problems.append(f"mask {mask} is {_show(mask_size)}, expected {_show(frame_size)} as its frame")
    return clip_size or (0, 0), problems


def _image_size(
    path: str, problems: list[str], what: str, place: str, read_size: ReadSize | None
) -> tuple[int, int] | None:
    """Without `read_size` it is only seen whether the file is there."""
    if not has_content(path):
        problems.append(f"{what} {place} is missing or empty: expected {path}")
        return None
    if read_size is None:
        return None
    try:
        return read_size(path, what)
    except AVSDatasetError as error:
        problems.append(str(error))
        return None


def has_content(path: str) -> bool:
    """Whether there is such a file, and it is not empty."""
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def _show(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} (width x height)"
