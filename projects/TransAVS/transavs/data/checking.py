"""A whole dataset in AVSBench's layout, every file of it read: what is wrong with it, and what is worth knowing."""

import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .avsbench import check_clip_table
from .checking_semantic import check_semantic
from .clip_checks import FirstSeen, check_copies, check_size, check_waveform, compare_counts, read_frames
from .errors import AVSDatasetError
from .images import mask_levels, read_instances, read_mask
from .layout import LAYOUTS, NUM_FRAMES, SPLITS, ClipPaths, FilePath
from .log_mel_files import read_log_mel
from .report import Report, Row, SplitCounts
from .semantic_layout import SEMANTIC_SUBSET, semantic_folder

SUBSETS = (*LAYOUTS, SEMANTIC_SUBSET)
# AVSBench's clips and annotated frames, as Table 2 of the paper has them.
PUBLISHED = {
    "s4": {"train": (3452, 3452), "val": (740, 3700), "test": (740, 3700)},
    "ms3": {"train": (296, 1480), "val": (64, 320), "test": (64, 320)},
}


def present_subsets(root: FilePath) -> list[str]:
    """S4 and MS3, and AVSBench-semantic where its folder is there."""
    return [*LAYOUTS, *([SEMANTIC_SUBSET] if os.path.isdir(semantic_folder(root)) else [])]


def check_dataset(
    root: FilePath,
    subsets: Sequence[str] | None = None,
    published: bool = False,
    watch: Callable[[list[Row], str], Iterable[Row]] = lambda rows, subset: rows,
) -> Report:
    """Reads every file that a dataset's lists name.

    Args:
        root: the folder that holds `Single-source/`, `Multi-sources/` and `AVSBench-semantic/`.
        subsets: of "s4", "ms3" and "ss"; None: `present_subsets`.
        published: whether it must have as many clips and annotated frames as AVSBench.
        watch: gets the rows of a subset and its name, and gives them one after the other; a progress bar, say.
    """
    report = Report(os.fspath(root))
    for subset in present_subsets(root) if subsets is None else subsets:
        try:
            if subset == SEMANTIC_SUBSET:
                check_semantic(root, report, published, watch)
            else:
                _check_subset(root, subset, report, published, watch)
        except AVSDatasetError as error:
            report.problems += [str(error)] if str(error) not in report.problems else []
    return report


def _check_subset(
    root: FilePath,
    subset: str,
    report: Report,
    published: bool,
    watch: Callable[[list[Row], str], Iterable[Row]],
) -> None:
    """Raises: AVSDatasetError: its list cannot be read."""
    rows, problems = check_clip_table(root, subset)
    report.problems += [f"{LAYOUTS[subset].csv_file}, {problem}" for problem in problems]
    report.splits |= {f"{subset} {split}": SplitCounts() for split in SPLITS}
    first_with: FirstSeen = {}
    for row in watch(rows, subset):
        frames = _check_clip(root, subset, row, report)
        check_copies(frames, subset, row["split"], row["name"], report, first_with)
    if published:
        compare_counts(subset, PUBLISHED[subset], report)


def _check_clip(root: FilePath, subset: str, row: Row, report: Report) -> list[NDArray[np.uint8] | None]:
    """Returns: a clip's frames; None in place of what cannot be read."""
    split, paths = row["split"], ClipPaths(root, subset, row["split"], row["name"], row.get("category"))
    where, counts = f"{subset} {split} clip {row['name']}", report.splits[f"{subset} {split}"]
    frames = read_frames([paths.frame(k) for k in range(1, NUM_FRAMES + 1)], where, counts, report)
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
    path = paths.mask(k)
    check_size(path, mask, frame, where, report)
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
    if paths.wav in present:
        check_waveform(paths.wav, NUM_FRAMES, where, report)
