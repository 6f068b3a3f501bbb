"""AVSBench: its clips listed and checked, and its registration with Detectron2's catalogs."""

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from .errors import AVSDatasetError
from .header_cache import header_cache
from .images import image_size
from .layout import LAYOUTS, NUM_FRAMES, SPLITS, ClipPaths, FilePath, Layout

MAX_PROBLEMS_SHOWN = 10
MAX_NAME_BYTES = 200  # of a clip's id, to which its files' names add a little; file systems take 255
OBJECTS_COLUMN = "objects"  # of a csv, at will: all that a clip shows, sounding or not, with OBJECTS_SEPARATOR between
OBJECTS_SEPARATOR = ";"
DATASET_FOLDERS = {"avsbench": "AVSBench", "stamps": "stamps", "toy": "toy"}  # registered prefix -> folder
ReadSize = Callable[[str, str], tuple[int, int]]  # of a picture's path, and what an error calls it
HOW_TO_GET = (
    "datasets/README.md says how to get AVSBench and how the folders must look; "
    "datasets/prepare_toy.py and datasets/prepare_stamps.py make data of the same layout"
)


def datasets_root() -> str:
    """The folder of all datasets: `$DETECTRON2_DATASETS`, by default `datasets/`, as everywhere in Detectron2."""
    return os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))


def _require(value: str, known: Iterable[str], what: str) -> None:
    if value not in known:
        raise AVSDatasetError(f"unknown {what} {value!r}: expected one of {', '.join(known)}")


def _raise_problems(problems: Sequence[str], where: FilePath) -> None:
    if not problems:
        return
    shown = problems[:MAX_PROBLEMS_SHOWN]
    hidden = len(problems) - len(shown)
    tail = f"\n  ... and {hidden} more" if hidden else ""
    raise AVSDatasetError(f"{where}: {len(problems)} problem(s)\n  " + "\n  ".join(shown) + tail)


def read_clip_table(root: FilePath, subset: str) -> list[dict[str, str]]:
    """Read and check a subset's csv.

    Returns:
        list[dict]: one dict a row, with the keys `name`, `split`, for S4 `category`, and all other columns.

    Raises:
        AVSDatasetError: there is no such file, it is not a readable csv, or has rows that cannot be used.
    """
    rows, problems = check_clip_table(root, subset)
    _raise_problems(problems, Path(root) / LAYOUTS[subset].csv_file)
    return rows


def check_clip_table(root: FilePath, subset: str) -> tuple[list[dict[str, str]], list[str]]:
    """As `read_clip_table`, which raises if there is a problem.

    Returns:
        (the rows that can be used, what is wrong with the others)
    """
    _require(subset, LAYOUTS, "subset")
    layout = LAYOUTS[subset]
    root, path = Path(root), Path(root) / layout.csv_file
    if not root.is_dir():
        raise AVSDatasetError(f"dataset folder {root} does not exist. {HOW_TO_GET}.")
    if not path.is_file():
        raise AVSDatasetError(f"{path} does not exist, the list of the subset's clips. {HOW_TO_GET}.")
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            lines = list(csv.reader(file, strict=True))
        except (csv.Error, UnicodeDecodeError) as error:
            raise AVSDatasetError(f"{path}: not a readable csv file in UTF-8: {error}") from error
    return _parse_rows(lines, path, layout)


def _parse_rows(lines: list[list[str]], path: Path, layout: Layout) -> tuple[list[dict[str, str]], list[str]]:
    if not lines:
        raise AVSDatasetError(f"{path} is empty: expected a header such as {','.join(layout.columns)}")
    header = [column.strip() for column in lines[0]]
    missing = [column for column in layout.needed_columns() if column not in header[1:]]
    if missing:
        raise AVSDatasetError(
            f"{path}: no column {', '.join(map(repr, missing))} in the header {','.join(header)!r}; "
            f"expected the clip's id first, then {', '.join(map(repr, layout.needed_columns()))}"
        )
    rows: list[dict[str, str]] = []
    problems: list[str] = []
    first_seen: dict[str, int] = {}  # the row of each id
    for number, values in enumerate(lines[1:], start=2):
        if not any(value.strip() for value in values):
            continue
        row = dict(zip(header[1:], (value.strip() for value in values[1:])))
        row["name"] = values[0].strip()
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
        elif column != "split" and not _is_file_name(row[column]):
            problems.append(f"column {column!r} is {row[column]!r}, expected a file's name without a path")
    return problems


def _is_file_name(text: str) -> bool:
    """Whether files called after it lie in the folder that they are meant for."""
    short = len(os.fsencode(text)) <= MAX_NAME_BYTES
    return short and text.isprintable() and text not in (".", "..") and not set(text) & set("/\\")


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
    _require(split, SPLITS, "split")
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
    _raise_problems(problems, f"{csv_path}, split {split!r}")
    return dataset_dicts


def _describe_clip(
    root: FilePath, subset: str, split: str, row: dict[str, str], read_size: ReadSize
) -> tuple[dict[str, Any], list[str]]:
    """Returns: (the dataset dict, a list of what is wrong with the clip's files)."""
    paths = ClipPaths(root, subset, split, row["name"], row.get("category"))
    annotated = LAYOUTS[subset].annotated_frames(split)
    frames = [paths.frame(k) for k in range(1, NUM_FRAMES + 1)]
    masks = [paths.mask(k) if k in annotated else None for k in range(1, NUM_FRAMES + 1)]
    audio = next((path for path in (paths.wav, paths.log_mel) if _has_content(path)), None)
    size, problems = _check_sizes(frames, masks, read_size)
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
    found = [path for path in instances if path and _has_content(path)]
    if found:
        dataset_dict["instance_file_names"] = instances
        missing = [path for path in instances if path and path not in found]
        problems += [f"instances of a frame are missing or empty: expected {path}" for path in missing]
    objects = row.get(OBJECTS_COLUMN) or row.get("category")
    if objects:
        dataset_dict["objects"] = [name.strip() for name in objects.split(OBJECTS_SEPARATOR)]
    return dataset_dict, problems


def _check_sizes(
    frames: Sequence[str], masks: Sequence[str | None], read_size: ReadSize
) -> tuple[tuple[int, int], list[str]]:
    """Returns: (the first frame's (width, height), a list of problems). Reads headers only."""
    problems: list[str] = []
    clip_size: tuple[int, int] | None = None
    for index, (frame, mask) in enumerate(zip(frames, masks)):
        # Unannotated frames are not opened: S4's training split has four times as many of them as of the others.
        frame_size = _image_size(frame, problems, "frame", index, read_size if mask is not None else None)
        clip_size = clip_size or frame_size
        if frame_size and clip_size and frame_size != clip_size:
            problems.append(f"frame {frame} is {_show(frame_size)}, expected {_show(clip_size)} as the first frame")
        if mask is None:
            continue
        mask_size = _image_size(mask, problems, "mask", index, read_size)
        if mask_size and frame_size and mask_size != frame_size:
            problems.append(f"mask {mask} is {_show(mask_size)}, expected {_show(frame_size)} as its frame")
    return clip_size or (0, 0), problems


def _image_size(
    path: str, problems: list[str], what: str, index: int, read_size: ReadSize | None
) -> tuple[int, int] | None:
    """Without `read_size` it is only seen whether the file is there."""
    if not _has_content(path):
        problems.append(f"{what} {index + 1} of {NUM_FRAMES} is missing or empty: expected {path}")
        return None
    if read_size is None:
        return None
    try:
        return read_size(path, what)
    except AVSDatasetError as error:
        problems.append(str(error))
        return None


def _has_content(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def _show(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} (width x height)"


def register_avs_dataset(name: str, root: FilePath, subset: str, split: str) -> None:
    """Make a split known to Detectron2 under `name`; its files are read when the dataset is first used.

    Args:
        name: the name for `cfg.DATASETS.TRAIN` or `cfg.DATASETS.TEST`.
        root: the folder that holds `Single-source/` and `Multi-sources/`.
        subset: "s4" or "ms3": which of the two layouts the clips have.
        split: "train", "val" or "test".
    """
    _require(subset, LAYOUTS, "subset")
    _require(split, SPLITS, "split")
    root = os.fspath(root)

    def load() -> list[dict[str, Any]]:
        cache = header_cache(root)
        clips = load_avsbench(root, subset, split, cache.size)
        cache.save()
        return clips

    register_clips(name, load, subset=subset, split=split, root=root)


def register_clips(name: str, load: Callable[[], list[dict[str, Any]]], **metadata: object) -> None:
    """Make what `load` lists known to Detectron2 under `name`, as a dataset that AVSEvaluator scores.

    Args:
        load: gives the dataset dicts, when the dataset is used.
        metadata: more of it for Detectron2's MetadataCatalog. `training_only` keeps the dataset out of testing.
    """
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(
        evaluator_type="avs",
        stuff_classes=["sounding"],
        stuff_colors=[(255, 64, 64)],
        thing_classes=["sounding"],
        thing_colors=[(255, 64, 64)],
        **metadata,
    )
