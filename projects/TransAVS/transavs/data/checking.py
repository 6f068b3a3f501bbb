"""A whole dataset in AVSBench's layout, every file of it read: what is wrong with it, and what is worth knowing."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from .avsbench import check_clip_table
from .corrupt_clips import UNREADABLE
from .errors import AVSDatasetError
from .images import mask_levels, read_frame, read_instances, read_mask
from .layout import LAYOUTS, NUM_FRAMES, SPLITS, ClipPaths, FilePath
from .reading import read_log_mel
from .sound_files import read_waveform

# AVSBench's clips and annotated frames, as Table 2 of the paper has them.
PUBLISHED = {
    "s4": {"train": (3452, 3452), "val": (740, 3700), "test": (740, 3700)},
    "ms3": {"train": (296, 1480), "val": (64, 320), "test": (64, 320)},
}
LEAST_SECONDS = 4.815  # of a sound that gives five log-mel examples
MAX_SHOWN = 20  # problems in the text

Row = dict[str, str]
T = TypeVar("T")


@dataclass
class SplitCounts:
    clips: int = 0
    annotated_frames: int = 0
    empty_masks: int = 0
    sizes: dict[str, int] = field(default_factory=dict)  # of frames, width x height: how many clips have it


@dataclass
class Report:
    """What reading a dataset found.

    Args:
        root: its folder.
        splits: by "s4 train" and the like.
        problems: what is wrong; each is one line that names a file or a clip.
        remarks: what need not be wrong, by its kind: where it was found.
    """

    root: str
    splits: dict[str, SplitCounts] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    remarks: dict[str, list[str]] = field(default_factory=dict)

    def remark(self, kind: str, place: str) -> None:
        self.remarks.setdefault(kind, []).append(place)

    def attempt(self, where: str, read: Callable[..., T], *arguments: Any) -> T | None:
        """What `read` gives; None where it fails, which is a problem then."""
        try:
            return read(*arguments)
        except UNREADABLE as error:
            self.problems.append(f"{where}: {error}")
            return None

    def text(self) -> str:
        header = ["split", "clips", "annotated frames", "empty masks", "frames (width x height)"]
        rows = [
            [name, found.clips, found.annotated_frames, found.empty_masks, ", ".join(found.sizes)]
            for name, found in self.splits.items()
        ]
        parts = [self.root, *([tabulate(rows, header)] if rows else [])]
        parts += [f"{kind}: {len(places)}, such as {places[0]}" for kind, places in self.remarks.items()]
        parts += [f"{len(self.problems)} problem(s)" if self.problems else "Nothing is wrong."]
        parts += [f"  {problem}" for problem in self.problems[:MAX_SHOWN]]
        hidden = len(self.problems) - MAX_SHOWN
        return "\n".join([*parts, *([f"  ... and {hidden} more"] if hidden > 0 else [])])


def check_dataset(
    root: FilePath,
    subsets: Sequence[str] = tuple(LAYOUTS),
    published: bool = False,
    watch: Callable[[list[Row], str], Iterable[Row]] = lambda rows, subset: rows,
) -> Report:
    """Reads every file that a dataset's lists name.

    Args:
        root: the folder that holds `Single-source/` and `Multi-sources/`.
        subsets: of "s4" and "ms3".
        published: whether it must have as many clips and annotated frames as AVSBench.
        watch: gets the rows of a subset and its name, and gives them one after the other; a progress bar, say.
    """
    report = Report(os.fspath(root))
    for subset in subsets:
        try:
            rows, problems = check_clip_table(root, subset)
        except AVSDatasetError as error:
            report.problems += [str(error)] if str(error) not in report.problems else []
            continue
        report.problems += [f"{LAYOUTS[subset].csv_file}, {problem}" for problem in problems]
        report.splits |= {f"{subset} {split}": SplitCounts() for split in SPLITS}
        first_with: dict[bytes, Row] = {}  # the same frames
        for row in watch(rows, subset):
            frames = _check_clip(root, subset, row, report)
            _check_copies(frames, subset, row, report, first_with)
        if published:
            _compare_counts(subset, report)
    return report


def _check_clip(root: FilePath, subset: str, row: Row, report: Report) -> list[NDArray[np.uint8] | None]:
    """Returns: a clip's frames; None in place of what cannot be read."""
    split, paths = row["split"], ClipPaths(root, subset, row["split"], row["name"], row.get("category"))
    where, counts = f"{subset} {split} clip {row['name']}", report.splits[f"{subset} {split}"]
    frames = [report.attempt(where, read_frame, paths.frame(k), "RGB") for k in range(1, NUM_FRAMES + 1)]
    sizes = list(dict.fromkeys(f"{frame.shape[1]}x{frame.shape[0]}" for frame in frames if frame is not None))
    if len(sizes) > 1:
        report.problems.append(f"{where}: frames of different sizes: {', '.join(sizes)}")
    counts.clips += 1
    counts.sizes |= {size: counts.sizes.get(size, 0) + 1 for size in sizes[:1]}
    for k in LAYOUTS[subset].annotated_frames(split):
        mask = report.attempt(where, read_mask, paths.mask(k))
        if mask is not None:
            counts.annotated_frames += 1
            if not mask.any():
                counts.empty_masks += 1
                if subset == "s4":
                    report.remark("masks of S4, where something sounds throughout, that are empty", paths.mask(k))
            _check_mask(paths, k, mask, frames[k - 1], where, report)
    _check_sound(paths, where, report)
    return frames


def _check_mask(
    paths: ClipPaths, k: int, mask: NDArray[np.bool_], frame: NDArray[np.uint8] | None, where: str, report: Report
) -> None:
    path, size = paths.mask(k), f"{mask.shape[1]}x{mask.shape[0]}"
    if frame is not None and mask.shape != frame.shape[:2]:
        report.problems.append(f"{where}: {path} is {size}, expected {frame.shape[1]}x{frame.shape[0]} as its frame")
    levels = report.attempt(where, mask_levels, path)
    if levels is not None and not levels <= {0, 255}:
        report.remark("masks of other values than 0 and 255 (all but 0 sound)", path)
    if os.path.exists(paths.instances(k)):
        instances = report.attempt(where, read_instances, paths.instances(k))
        if instances is not None and not np.array_equal(instances.any(axis=0), mask):
            report.problems.append(f"{where}: {paths.instances(k)} shows other pixels than {path}")


def _check_sound(paths: ClipPaths, where: str, report: Report) -> None:
    """The wav and the log-mel, if both are there."""
    present = [path for path in (paths.wav, paths.log_mel) if os.path.exists(path)]
    if not present:
        report.problems.append(f"{where}: no sound, expected {paths.wav} or {paths.log_mel}")
    if paths.log_mel in present:
        report.attempt(where, read_log_mel, paths.log_mel, NUM_FRAMES)
    found = report.attempt(where, read_waveform, paths.wav) if paths.wav in present else None
    if found is not None:
        waveform, rate = found
        if len(waveform) < LEAST_SECONDS * rate:
            report.remark(f"sounds of less than {LEAST_SECONDS} s, whose last second is repeated", paths.wav)
        if not waveform.any():
            report.remark("sounds that are silent", paths.wav)


def _check_copies(
    frames: Sequence[NDArray[np.uint8] | None], subset: str, row: Row, report: Report, first_with: dict[bytes, Row]
) -> None:
    """A clip that shows the same as another one; in two splits, it makes the scores better than they are."""
    digest = hashlib.blake2b()
    for frame in frames:
        if frame is None:
            return
        digest.update(frame.tobytes())
    other = first_with.setdefault(digest.digest(), row)
    if other is row:
        return
    told = f"{subset} {row['split']} clip {row['name']}: shows the same frames as {other['split']} clip {other['name']}"
    if other["split"] != row["split"]:
        report.problems.append(f"{told}: the splits overlap")
    else:
        report.remark("clips that show the same as another one of their split", told)


def _compare_counts(subset: str, report: Report) -> None:
    for split, (clips, annotated_frames) in PUBLISHED[subset].items():
        counts = report.splits[f"{subset} {split}"]
        for what, found, expected in (
            ("clips", counts.clips, clips),
            ("annotated frames", counts.annotated_frames, annotated_frames),
        ):
            if found != expected:
                report.problems.append(f"{subset} {split}: {found} {what}, expected {expected} as AVSBench has")
