"""AVSBench-semantic read as a whole: every file that its list names."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .clip_checks import FirstSeen, check_copies, check_size, check_waveform, compare_counts, read_frames
from .layout import SPLITS, FilePath
from .palette import read_label_map
from .report import Report, Row, SplitCounts
from .semantic import check_semantic_table, missing_folders, surplus_pictures
from .semantic_labels import object_names, read_labels
from .semantic_layout import (
    AVSBENCH_LABELS,
    KINDS,
    LABELS_FILE,
    TABLE_FILE,
    UNSEEN_SOURCES,
    SemanticPaths,
    semantic_folder,
)

# Clips in train, val and test, as AVSBench's own metadata.csv has them.
PUBLISHED_CLIPS = {"v1s": (3452, 740, 740), "v1m": (296, 64, 64), "v2": (4750, 500, 750)}
# And by split its clips and annotated frames.
PUBLISHED = {
    split: (
        sum(clips[number] for clips in PUBLISHED_CLIPS.values()),
        sum(clips[number] * len(KINDS[label].annotated_frames(split)) for label, clips in PUBLISHED_CLIPS.items()),
    )
    for number, split in enumerate(SPLITS)
}


def check_semantic(
    root: FilePath,
    report: Report,
    published: bool = False,
    watch: Callable[[list[Row], str], Iterable[Row]] = lambda rows, subset: rows,
) -> None:
    """Reads every file that `metadata.csv` names; see `check_dataset`.

    Raises:
        AVSDatasetError: `label2idx.json` or `metadata.csv` cannot be read.
    """
    labels = read_labels(root)
    rows, problems = check_semantic_table(root, labels)
    folder = semantic_folder(root)
    report.problems += [f"{TABLE_FILE}, {problem}" for problem in problems]
    report.splits |= {f"ss {split}": SplitCounts() for split in SPLITS}
    first_with: FirstSeen = {}
    for row in watch(rows, "ss"):
        frames = _check_clip(folder, row, labels, report)
        if frames:
            check_copies(frames, "ss", row["split"], row["uid"], report, first_with)
    _remark_strangers(folder, rows, report)
    if published:
        _compare_with_published(rows, labels, report)


def _check_clip(folder: str, row: Row, labels: Sequence[str], report: Report) -> list[NDArray[np.uint8] | None]:
    """Returns: a clip's frames; None in place of what cannot be read; an empty list where a folder is missing."""
    split, label, paths = row["split"], row["label"], SemanticPaths(folder, row["label"], row["uid"])
    where, counts = f"ss {split} clip {row['uid']}", report.splits[f"ss {split}"]
    missing = missing_folders(paths)
    report.problems += [f"{where}: {problem}" for problem in [*missing, *surplus_pictures(paths, label)]]
    if missing:
        counts.clips += 1
        return []
    frames = read_frames([paths.frame(k) for k in range(KINDS[label].seconds)], where, counts, report)
    annotated = KINDS[label].annotated_frames(split)
    pixels = np.zeros(len(labels), np.int64)  # of each label, in all frames
    whole = True
    for k in annotated:
        label_map = report.attempt(where, read_label_map, paths.label_map(k), len(labels))
        if label_map is None:
            whole = False
            continue
        counts.annotated_frames += 1
        check_size(paths.label_map(k), label_map, frames[k], where, report)
        pixels += np.bincount(label_map.ravel(), minlength=len(labels))
        if not label_map.any():
            counts.empty_masks += 1
            if label == "v1s":
                kind = "label maps of v1s, where something sounds throughout, that are empty"
                report.remark(kind, paths.label_map(k))
    _compare_names(row, labels, pixels, whole, where, report)
    if len(annotated) < KINDS[label].seconds and os.path.exists(paths.label_map(len(annotated))):
        report.remark("clips with more label maps than are read", f"{where}: {paths.label_map(len(annotated))}")
    if os.path.exists(paths.wav):
        check_waveform(paths.wav, KINDS[label].seconds, where, report)
    else:
        report.problems.append(f"{where}: no sound, expected {paths.wav}")
    return frames


def _compare_names(
    row: Row, labels: Sequence[str], pixels: NDArray[np.int64], whole: bool, where: str, report: Report
) -> None:
    """What the label maps show and what a_obj names; AVSBench has a few pixels of other classes here and there."""
    named = set(object_names(row["a_obj"], labels)).difference(UNSEEN_SOURCES)
    shown = {labels[number]: int(pixels[number]) for number in range(1, len(labels)) if pixels[number]}
    strangers = ", ".join(f"{name} ({count} pixels)" for name, count in shown.items() if name not in named)
    if strangers:
        report.remark("clips whose label maps show what a_obj does not name", f"{where}: {strangers}")
    never = ", ".join(sorted(named.difference(shown)))
    if never and whole:
        report.remark("clips whose label maps never show what a_obj names", f"{where}: {never}")


def _remark_strangers(folder: str, rows: Sequence[Row], report: Report) -> None:
    """Clips that the list does not name."""
    for label in KINDS:
        try:
            found = os.listdir(os.path.join(folder, label))
        except OSError:
            continue
        for uid in sorted(set(found).difference(row["uid"] for row in rows if row["label"] == label)):
            report.remark(f"what lies beside the clips that {TABLE_FILE} names", os.path.join(folder, label, uid))


def _compare_with_published(rows: Sequence[Row], labels: Sequence[str], report: Report) -> None:
    if len(labels) != len(AVSBENCH_LABELS):
        report.problems.append(f"{LABELS_FILE}: {len(labels)} labels, expected {len(AVSBENCH_LABELS)} as AVSBench has")
    elif tuple(labels) != AVSBENCH_LABELS:
        number = next(number for number, name in enumerate(AVSBENCH_LABELS) if labels[number] != name)
        report.remark(
            f"names of {LABELS_FILE} that are not as AVSBench's are known",
            f"label {number} is {labels[number]!r}, not {AVSBENCH_LABELS[number]!r}",
        )
    clips = Counter((row["label"], row["split"]) for row in rows)
    for label, expected in PUBLISHED_CLIPS.items():
        for split, count in zip(SPLITS, expected):
            if clips[label, split] != count:
                found = clips[label, split]
                report.problems.append(f"ss {split}: {found} clips of {label}, expected {count} as AVSBench has")
    compare_counts("ss", PUBLISHED, report)
