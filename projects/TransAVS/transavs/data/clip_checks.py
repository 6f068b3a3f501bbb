"""What is asked of a clip's files, whatever the layout; what is wrong or worth knowing goes into a report."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from . import audio
from .images import read_frame
from .layout import SPLITS, FilePath
from .report import Report, SplitCounts
from .sound_files import read_waveform

FirstSeen = dict[bytes, tuple[str, str]]  # by what a clip's frames show: split and name of the first one with them


def read_frames(
    paths: Sequence[FilePath], where: str, counts: SplitCounts, report: Report
) -> list[NDArray[np.uint8] | None]:
    """A clip's frames, which are counted; None in place of what cannot be read."""
    frames = [report.attempt(where, read_frame, path, "RGB") for path in paths]
    sizes = list(dict.fromkeys(show_size(frame) for frame in frames if frame is not None))
    if len(sizes) > 1:
        report.problems.append(f"{where}: frames of different sizes: {', '.join(sizes)}")
    counts.clips += 1
    counts.sizes |= {size: counts.sizes.get(size, 0) + 1 for size in sizes[:1]}
    return frames


def check_size(
    path: FilePath, mask: NDArray[np.generic], frame: NDArray[np.uint8] | None, where: str, report: Report
) -> None:
    """Of a mask, which is as large as its frame."""
    if frame is not None and mask.shape != frame.shape[:2]:
        report.problems.append(f"{where}: {path} is {show_size(mask)}, expected {show_size(frame)} as its frame")


def check_waveform(path: FilePath, seconds: int, where: str, report: Report) -> None:
    """Reads a sound; one that does not give a log-mel example for each second is remarked, and one that is silent."""
    found = report.attempt(where, read_waveform, path)
    if found is None:
        return
    waveform, rate = found
    least = (seconds * audio.EXAMPLE_FRAMES * audio.HOP_SAMPLES + audio.WINDOW_SAMPLES - audio.HOP_SAMPLES) / (
        audio.SAMPLE_RATE
    )
    if len(waveform) < least * rate:
        report.remark(f"sounds of less than {least:.3f} s, whose last second is repeated", str(path))
    if not waveform.any():
        report.remark("sounds that are silent", str(path))


def check_copies(
    frames: Sequence[NDArray[np.uint8] | None],
    subset: str,
    split: str,
    name: str,
    report: Report,
    first_with: FirstSeen,
) -> None:
    """A clip that shows the same as another one; in two splits, it makes the scores better than they are."""
    digest = hashlib.blake2b()
    for frame in frames:
        if frame is None:
            return
        digest.update(frame.tobytes())
    other = first_with.setdefault(digest.digest(), (split, name))
    if other == (split, name):
        return
    told = f"{subset} {split} clip {name}: shows the same frames as {other[0]} clip {other[1]}"
    if other[0] != split:
        report.problems.append(f"{told}: the splits overlap")
    else:
        report.remark("clips that show the same as another one of their split", told)


def compare_counts(subset: str, published: Mapping[str, tuple[int, int]], report: Report) -> None:
    """Clips and annotated frames by split."""
    for split in SPLITS:
        counts = report.splits[f"{subset} {split}"]
        found = (counts.clips, counts.annotated_frames)
        for what, number, expected in zip(("clips", "annotated frames"), found, published[split]):
            if number != expected:
                report.problems.append(f"{subset} {split}: {number} {what}, expected {expected} as AVSBench has")


def show_size(pixels: NDArray[np.generic]) -> str:
    """Width x height of [H, W, ...]."""
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
