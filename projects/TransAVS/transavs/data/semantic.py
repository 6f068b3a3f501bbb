"""AVSBench-semantic: its labels and clips listed and checked, and its registration with Detectron2's catalogs."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog

from .errors import AVSDatasetError
from .header_cache import header_cache
from .images import image_size
from .layout import SPLITS, FilePath
from .listing import (
    HOW_TO_GET,
    OBJECTS_COLUMN,
    ReadSize,
    check_sizes,
    has_content,
    is_file_name,
    numbered_rows,
    raise_problems,
    read_lines,
    require,
    split_objects,
)
from .registration import register_clips
from .semantic_labels import class_names, object_names, read_labels
from .semantic_layout import (
    COLUMNS,
    KINDS,
    LABELS_FILE,
    NEEDED_COLUMNS,
    SEMANTIC_SUBSET,
    TABLE_FILE,
    UNSEEN_SOURCES,
    SemanticPaths,
    semantic_folder,
)

MAX_ENTRIES_TOLD = 8  # of a folder in which something is missing

Row = dict[str, str]


def check_semantic_table(root: FilePath, labels: Sequence[str]) -> tuple[list[Row], list[str]]:
    """Reads the list of clips.

    Args:
        root: see `read_labels`.
        labels: the names of the labels.

    Returns:
        (a dict a row with all columns, of the rows that can be used; what is wrong with the others)

    Raises:
        AVSDatasetError: there is no such file, it is not a readable csv, or a column is missing.
    """
    folder = semantic_folder(root)
    path = Path(folder, TABLE_FILE)
    if not os.path.isdir(folder):
        raise AVSDatasetError(f"dataset folder {folder} does not exist. {HOW_TO_GET}.")
    lines = read_lines(path, COLUMNS)
    header = lines[0]
    missing = [column for column in NEEDED_COLUMNS if column not in header]
    if missing:
        raise AVSDatasetError(
            f"{path}: no column {', '.join(map(repr, missing))} in the header {','.join(header)!r}; "
            f"expected {', '.join(map(repr, NEEDED_COLUMNS))}"
        )
    rows: list[Row] = []
    problems: list[str] = []
    first_seen: dict[str, int] = {}  # the row of each uid
    for number, values in numbered_rows(lines):
        row = dict(zip(header, values))
        found = _row_problems(row, labels, len(values), len(header))
        if not found and row["uid"] in first_seen:
            found = [f"uid {row['uid']!r} stands already in row {first_seen[row['uid']]}; expected each uid once"]
        first_seen.setdefault(row.get("uid", ""), number)
        problems += [f"row {number}: {problem}" for problem in found]
        rows += [] if found else [row]
    return rows, problems


def _row_problems(row: Row, labels: Sequence[str], num_values: int, num_columns: int) -> list[str]:
    if num_values != num_columns:
        return [f"{num_values} values, expected {num_columns} as in the header"]
    problems = []
    if not is_file_name(row["uid"]) or not row["uid"]:
        problems.append(f"column 'uid' is {row['uid']!r}, expected a file's name without a path")
    for column, known in (("split", SPLITS), ("label", tuple(KINDS))):
        if row[column] not in known:
            problems.append(f"column {column!r} is {row[column]!r}, expected one of {', '.join(known)}")
    unknown = [name for name in object_names(row["a_obj"], labels) if name not in (*labels, *UNSEEN_SOURCES)]
    if unknown:
        problems.append(
            f"column 'a_obj' is {row['a_obj']!r}, whose {unknown[0]!r} is none of the {len(labels)} labels of "
            f"{LABELS_FILE}"
        )
    return problems


def load_avss(
    root: FilePath, split: str, read_size: ReadSize = image_size, num_labels: int | None = None
) -> list[dict[str, Any]]:
    """List the clips of one split, checking that every file is there and that label maps fit their frames.

    Args:
        root: the folder that holds `AVSBench-semantic/`, or that folder.
        split: "train", "val" or "test".
        read_size: gives a picture's (width, height), as `image_size` does.
        num_labels: so many labels there must be.

    Returns:
        list[dict]: a dict a clip with `video_id`, `file_names` (5 or 10 paths), `sem_seg_file_names` (as many; None
        where a frame has no annotation), `audio_file_name`, `height`, `width`, `num_labels` (how many labels its label
        maps may have, the background included) and `objects`: the names in the csv's column of that name, which tells
        all that the clip shows; without it, those in a_obj, which tells what sounds.

    Raises:
        AVSDatasetError: something is missing or does not fit; it is told with the file.
    """
    require(split, SPLITS, "split")
    labels = read_labels(root, num_labels)
    folder = semantic_folder(root)
    table = os.path.join(folder, TABLE_FILE)
    rows, wrong_rows = check_semantic_table(root, labels)
    raise_problems(wrong_rows, table)
    rows = [row for row in rows if row["split"] == split]
    if not rows:
        raise AVSDatasetError(f"{table}: no clip in split {split!r}, expected at least one")
    dataset_dicts: list[dict[str, Any]] = []
    problems: list[str] = []
    for row in rows:
        dataset_dict, found = _describe_clip(folder, row, labels, read_size)
        dataset_dicts.append(dataset_dict)
        problems += [f"clip {row['uid']}: {problem}" for problem in found]
    raise_problems(problems, f"{table}, split {split!r}")
    return dataset_dicts


def _describe_clip(
    folder: str, row: Row, labels: Sequence[str], read_size: ReadSize
) -> tuple[dict[str, Any], list[str]]:
    """Returns: (the dataset dict, a list of what is wrong with the clip's files)."""
    paths, kind = SemanticPaths(folder, row["label"], row["uid"]), KINDS[row["label"]]
    annotated = kind.annotated_frames(row["split"])
    frames = [paths.frame(k) for k in range(kind.seconds)]
    maps = [paths.label_map(k) if k in annotated else None for k in range(kind.seconds)]
    size, problems = check_sizes(frames, maps, read_size)
    if problems:
        problems = missing_folders(paths) or problems
    problems += surplus_pictures(paths, row["label"])
    if not has_content(paths.wav) and os.path.isdir(paths.folder):
        problems.append(f"no audio: expected {paths.wav}")
    dataset_dict = {
        "video_id": row["uid"],
        "file_names": frames,
        "sem_seg_file_names": maps,
        "audio_file_name": paths.wav,
        "height": size[1],
        "width": size[0],
        "num_labels": len(labels),
        "objects": split_objects(row[OBJECTS_COLUMN])
        if row.get(OBJECTS_COLUMN)
        else object_names(row["a_obj"], labels),
    }
    return dataset_dict, problems


def missing_folders(paths: SemanticPaths) -> list[str]:
    """A clip's folders that are not there, as problems that tell what there is instead."""
    try:
        found = sorted(os.listdir(paths.folder))
    except OSError:
        return [f"no folder {paths.folder}, expected one with frames/, labels_rgb/ and audio.wav"]
    told = ", ".join(map(repr, found[:MAX_ENTRIES_TOLD])) + (", ..." if len(found) > MAX_ENTRIES_TOLD else "")
    return [
        f"no folder {folder}; beside it: {told or 'nothing'}"
        for folder in (paths.frames, paths.label_maps)
        if not os.path.isdir(folder)
    ]


def surplus_pictures(paths: SemanticPaths, label: str) -> list[str]:
    """Problems where a clip has more frames or label maps than one of its `label` lasts seconds."""
    problems = []
    seconds = KINDS[label].seconds
    for folder, next_one in ((paths.frames, paths.frame(seconds)), (paths.label_maps, paths.label_map(seconds))):
        if os.path.exists(next_one):
            found = len([name for name in os.listdir(folder) if name.endswith(Path(next_one).suffix)])
            problems.append(
                f"{folder} has {found} pictures, expected at most {seconds} as a clip of {label} lasts {seconds} s"
            )
    return problems


def register_avss_dataset(name: str, root: FilePath, split: str, labels: Sequence[str] = ()) -> None:
    """Make a split of a dataset in AVSBench-semantic's layout known to Detectron2 under `name`.

    Its files are read when the dataset is first used, its classes' names when they are first asked for.

    Args:
        name: the name for `cfg.DATASETS.TRAIN` or `cfg.DATASETS.TEST`.
        root: the folder that holds `AVSBench-semantic/`, or that folder.
        split: "train", "val" or "test".
        labels: the names of the labels, "background" first, where they are known: `label2idx.json` must have as many,
            and they name the classes where it is not there. Without them it may have any number.
    """
    require(split, SPLITS, "split")
    root = os.fspath(root)

    def load() -> list[dict[str, Any]]:
        cache = header_cache(semantic_folder(root))
        clips = load_avss(root, split, cache.size, len(labels) or None)
        cache.save()
        MetadataCatalog.get(name).set_classes(class_names(root))
        return clips

    register_clips(
        name, load, partial(class_names, root, tuple(labels)), subset=SEMANTIC_SUBSET, split=split, root=root
    )
