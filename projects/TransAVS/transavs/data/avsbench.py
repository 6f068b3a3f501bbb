"""AVSBench: its clips listed and checked, and its registration with Detectron2's catalogs."""

import os
from pathlib import Path
from typing import Any

from .errors import AVSDatasetError
from .header_cache import header_cache
from .images import image_size
from .layout import LAYOUTS, NUM_FRAMES, SPLITS, ClipPaths, FilePath, Layout
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


def read_clip_table(root: FilePath, subset: str) -> list[dict[str, str]]:
    """Read and check a subset's csv.

    Returns:
        list[dict]: one dict a row, with the keys `name`, `split`, for S4 `category`, and all other columns.

    Raises:
        AVSDatasetError: there is no such file, it is not a readable csv, or has rows that cannot be used.
    """
    rows, problems = check_clip_table(root, subset)
    raise_problems(problems, Path(root) / LAYOUTS[subset].csv_file)
    return rows


def check_clip_table(root: FilePath, subset: str) -> tuple[list[dict[str, str]], list[str]]:
    """As `read_clip_table`, which raises if there is a problem.

    Returns:
        (the rows that can be used, what is wrong with the others)
    """
    require(subset, LAYOUTS, "subset")
    layout = LAYOUTS[subset]
    root, path = Path(root), Path(root) / layout.csv_file
    if not root.is_dir():
        raise AVSDatasetError(f"dataset folder {root} does not exist. {HOW_TO_GET}.")
    return _parse_rows(read_lines(path, layout.columns), path, layout)


def _parse_rows(lines: list[list[str]], path: Path, layout: Layout) -> tuple[list[dict[str, str]], list[str]]:
    header = lines[0]
    missing = [column for column in layout.needed_columns() if column not in header[1:]]
    if missing:
        raise AVSDatasetError(
            f"{path}: no column {', '.join(map(repr, missing))} in the header {','.join(header)!r}; "
            f"expected the clip's id first, then {', '.join(map(repr, layout.needed_columns()))}"
        )
    rows: list[dict[str, str]] = []
    problems: list[str] = []
    first_seen: dict[str, int] = {}  # the row of each id
    for number, values in numbered_rows(lines):
        row = dict(zip(header[1:], values[1:]))
        row["name"] = values[0]
        found = _row_problems(row, layout, len(values), len(header))
        if not found and row["name"] in first_seen:
            found = [f"id {row['name']!r} stands already in row {first_seen[row['name']]}; expected each id once"]
        first_seen.setdefault(row["name"], number)
        problems += [f"row {number}: {problem}" for problem in found]
        rows += [] if found else [row]
    return rows, problems


def _row_problems(row: dict[str, str], layout: Layout, num_values: int, num_columns: int) -> list[str]:
    if num_values != num_columns:
        return [f"{num_values} values, expected {num_columns} as in the header"]
    problems = []
    for column in ("name", *layout.needed_columns()):
        if not row[column]:
            problems.append(f"column {column!r} is empty")
        elif column == "split" and row[column] not in SPLITS:
            problems.append(f"column 'split' is {row[column]!r}, expected one of {', '.join(SPLITS)}")
        elif column != "split" and not is_file_name(row[column]):
            problems.append(f"column {column!r} is {row[column]!r}, expected a file's name without a path")
    return problems


def load_avsbench(root: FilePath, subset: str, split: str, read_size: ReadSize = image_size) -> list[dict[str, Any]]:
    """List the clips of one split, checking that every file is there and that masks fit their frames.

    Args:
        root: the folder that holds `Single-source/` and `Multi-sources/`.
        subset: "s4" or "ms3".
        split: "train", "val" or "test".
        read_size: gives a picture's (width, height), as `image_size` does.

    Returns:
        list[dict]: a dict a clip with `video_id`, `category` (S4), `file_names` (5 paths), `sem_seg_file_names`
        (5 paths, None where a frame has no annotation), `audio_file_name` (the wav if there is one, else the pickled
        log-mel), `height`, `width`, and, where it is known, `objects`: the names of all that the clip shows, from the
        csv's column of that name; without it, the category of an S4 clip. `instance_file_names`, of the same form as
        `sem_seg_file_names`, is there where the clip has a picture of its single objects' masks.
    """
    require(split, SPLITS, "split")
    rows = [row for row in read_clip_table(root, subset) if row["split"] == split]
    csv_path = Path(root) / LAYOUTS[subset].csv_file
    if not rows:
        raise AVSDatasetError(f"{csv_path}: no clip in split {split!r}, expected at least one")
    dataset_dicts: list[dict[str, Any]] = []
    problems: list[str] = []
    for row in rows:
        dataset_dict, found = _describe_clip(root, subset, split, row, read_size)
        dataset_dicts.append(dataset_dict)
        problems += [f"clip {row['name']}: {problem}" for problem in found]
    raise_problems(problems, f"{csv_path}, split {split!r}")
    return dataset_dicts


def _describe_clip(
    root: FilePath, subset: str, split: str, row: dict[str, str], read_size: ReadSize
) -> tuple[dict[str, Any], list[str]]:
    """Returns: (the dataset dict, a list of what is wrong with the clip's files)."""
    paths = ClipPaths(root, subset, split, row["name"], row.get("category"))
    annotated = LAYOUTS[subset].annotated_frames(split)
    frames = [paths.frame(k) for k in range(1, NUM_FRAMES + 1)]
    masks = [paths.mask(k) if k in annotated else None for k in range(1, NUM_FRAMES + 1)]
    audio = next((path for path in (paths.wav, paths.log_mel) if has_content(path)), None)
    size, problems = check_sizes(frames, masks, read_size)
    if audio is None:
        problems.append(f"no audio: expected {paths.wav} or {paths.log_mel}")
    dataset_dict = {
        "video_id": row["name"],
        "file_names": frames,
        "sem_seg_file_names": masks,
        "audio_file_name": audio,
        "height": size[1],
        "width": size[0],
    }
    if subset == "s4":
        dataset_dict["category"] = row["category"]
    instances = [paths.instances(k) if k in annotated else None for k in range(1, NUM_FRAMES + 1)]
    found = [path for path in instances if path and has_content(path)]
    if found:
        dataset_dict["instance_file_names"] = instances
        missing = [path for path in instances if path and path not in found]
        problems += [f"instances of a frame are missing or empty: expected {path}" for path in missing]
    objects = row.get(OBJECTS_COLUMN) or row.get("category")
    if objects:
        dataset_dict["objects"] = split_objects(objects)
    return dataset_dict, problems


def register_avs_dataset(name: str, root: FilePath, subset: str, split: str) -> None:
    """Make a split known to Detectron2 under `name`; its files are read when the dataset is first used.

    Args:
        name: the name for `cfg.DATASETS.TRAIN` or `cfg.DATASETS.TEST`.
        root: the folder that holds `Single-source/` and `Multi-sources/`.
        subset: "s4" or "ms3": which of the two layouts the clips have.
        split: "train", "val" or "test".
    """
    require(subset, LAYOUTS, "subset")
    require(split, SPLITS, "split")
    root = os.fspath(root)

    def load() -> list[dict[str, Any]]:
        cache = header_cache(root)
        clips = load_avsbench(root, subset, split, cache.size)
        cache.save()
        return clips

    register_clips(name, load, subset=subset, split=split, root=root)
