"""Instances with identities: YouTube-VIS's JSON as AVISeg publishes it, listed and checked, and its registration."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from .errors import AVSDatasetError, reason_of
from .images import MAX_PIXELS
from .layout import NUM_FRAMES, FilePath
from .listing import HOW_TO_GET, has_content, raise_problems
from .registration import register_clips
from .rle import compress

Json = dict[str, Any]

VIDEO_KEYS = {"id": int, "file_names": list, "height": int, "width": int}
ANNOTATION_KEYS = {"id": int, "video_id": int, "category_id": int, "segmentations": list}
CATEGORY_KEYS = {"id": int, "name": str}
SOUND_KEY = "audio_file_name"  # of a video: its sound's path below the root
AVISEG_FOLDER = "AVISeg"  # below that of all datasets
AVISEG_SOUNDS = "WAVAudios"  # beside AVISeg's folder of frames, with a file for each video's folder


def load_avis(json_file: FilePath, root: FilePath, seconds: int = NUM_FRAMES) -> list[Json]:
    """List the videos of a JSON file, checking that every file is there and that masks fit their frames.

    Args:
        json_file: `videos` with `id`, `file_names` (a frame a second), `height`, `width` and `audio_file_name`;
            `categories` with `id` and `name`; `annotations`, one an instance, with `id`, `video_id`, `category_id` and
            `segmentations`: for each frame an RLE, polygons, or null where the instance is silent or unseen.
        root: the folder that all paths are relative to. A video without `audio_file_name` has its sound where AVISeg
            has it, in WAVAudios/ beside the root, called after the folder of the video's frames.
        seconds: a longer video is listed as several clips of this length, the last one shorter.

    Returns:
        list[dict]: a dict a clip with `video_id`, `video` (the video's id in the file), `first_second` (where the clip
        begins), `file_names`, `audio_file_name`, `audio_start` (where its part of the sound begins, in seconds),
        `height`, `width`, `num_labels` (categories and the background) and `annotations`: for each frame a list of
        dicts with `id`, the instance's, which it keeps throughout the video, `category` (from 0, in the order of their
        ids) and `segmentation`, a compressed RLE.

    Raises:
        AVSDatasetError: something is missing or does not fit; it is told with the file.
    """
    content = _read_json(json_file)
    problems: list[str] = []
    categories = {category["id"]: None for category in _entries(content, "categories", CATEGORY_KEYS, problems)}
    videos = {video["id"]: video for video in _entries(content, "videos", VIDEO_KEYS, problems)}
    annotations = list(_entries(content, "annotations", ANNOTATION_KEYS, problems))
    problems += [problem for video in videos.values() for problem in _video_problems(video)]
    raise_problems(problems, json_file)
    if not videos or not categories:
        raise AVSDatasetError(f"{json_file}: {len(videos)} videos and {len(categories)} categories, expected some")
    numbers = {identity: number for number, identity in enumerate(sorted(categories))}
    frames: dict[int, list[list[Json]]] = {key: [[] for _ in video["file_names"]] for key, video in videos.items()}
    for annotation in annotations:
        problems += _add_instance(annotation, videos, numbers, frames)
    clips: list[Json] = []
    for identity, video in sorted(videos.items()):
        sound = _sound_path(video, root)
        problems += [f"video {identity}: {problem}" for problem in _file_problems(video, root, sound)]
        clips += _clips(video, root, sound, frames[identity], len(categories) + 1, seconds)
    raise_problems(problems, json_file)
    return clips


def read_categories(json_file: FilePath) -> dict[int, str]:
    """The names of a file's categories by their ids, in order. Raises: AVSDatasetError: they cannot be read."""
    problems: list[str] = []
    categories = list(_entries(_read_json(json_file), "categories", CATEGORY_KEYS, problems))
    raise_problems(problems, json_file)
    return {category["id"]: category["name"] for category in sorted(categories, key=lambda category: category["id"])}


def instance_masks(annotations: Sequence[Json], height: int, width: int) -> NDArray[np.bool_]:
    """The masks of a frame's instances, as a dataset dict has them: bool [n, H, W]."""
    masks = np.zeros((len(annotations), height, width), dtype=bool)
    for mask, annotation in zip(masks, annotations):
        mask[:] = coco_mask.decode(annotation["segmentation"])
    return masks


def instance_classes(annotations: Sequence[Json], several: bool) -> NDArray[np.int64]:
    """The classes of a frame's instances, int64 [n]: all 0 where not `several` are told apart."""
    return np.array([annotation["category"] if several else 0 for annotation in annotations], dtype=np.int64)


def union_mask(annotations: Sequence[Json], height: int, width: int) -> NDArray[np.bool_]:
    """All that sounds in a frame, bool [H, W]; as `instance_masks`."""
    return np.asarray(instance_masks(annotations, height, width).any(0))


def _read_json(path: FilePath) -> Json:
    if not os.path.isfile(path):
        raise AVSDatasetError(f"{path} does not exist, the list of videos and instances. {HOW_TO_GET}.")
    try:
        content = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise AVSDatasetError(f"{path}: not a readable JSON file ({reason_of(error)})") from error
    keys = ("videos", "categories", "annotations")
    missing = [key for key in keys if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        raise AVSDatasetError(f"{path}: no list {missing[0]!r}, expected the lists {', '.join(keys)}")
    return dict(content)


def _entries(content: Json, name: str, keys: Mapping[str, type], problems: list[str]) -> Iterator[Json]:
    """The entries of a list that have all `keys`, each id once; what is wrong with the others goes to `problems`."""
    seen = set()
    for number, entry in enumerate(content[name]):
        wrong = [
            key for key, kind in keys.items() if not isinstance(entry, dict) or not isinstance(entry.get(key), kind)
        ]
        if wrong:
            expected = ", ".join(f"{key} ({kind.__name__})" for key, kind in keys.items())
            problems.append(f"{name}[{number}] lacks {wrong[0]!r} or has it of another type: expected {expected}")
        elif entry["id"] in seen:
            problems.append(f"{name}[{number}]: id {entry['id']} stands there already; expected each id once")
        else:
            seen.add(entry["id"])
            yield entry


def _add_instance(
    annotation: Json, videos: Mapping[int, Json], numbers: Mapping[int, int], frames: dict[int, list[list[Json]]]
) -> list[str]:
    """Adds an instance to its video's `frames`. Returns: what is wrong with it."""
    where = f"annotation {annotation['id']}"
    video, category = videos.get(annotation["video_id"]), numbers.get(annotation["category_id"])
    if video is None:
        return [f"{where}: video_id is {annotation['video_id']}, expected one of the {len(videos)} videos"]
    if category is None:
        known = ", ".join(map(str, numbers))
        return [f"{where}: category_id is {annotation['category_id']}, expected one of {known}"]
    masks = annotation["segmentations"]
    if len(masks) != len(video["file_names"]):
        return [f"{where}: {len(masks)} masks, expected {len(video['file_names'])}, one for each frame or null"]
    problems = []
    for second, mask in enumerate(masks):
        if not mask:
            continue
        try:
            rle = compress(mask, video["height"], video["width"])
        except ValueError as error:
            problems.append(f"{where}: mask of frame {second}: {error}")
            continue
        if coco_mask.area(rle):
            instance = {"id": annotation["id"], "category": category, "segmentation": rle}
            frames[video["id"]][second].append(instance)
    return problems


def _video_problems(video: Json) -> list[str]:
    names = [*video["file_names"], video.get(SOUND_KEY, "")]
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        return [f"video {video['id']}: {wrong[0]!r} in place of a file's name"]
    if not video["file_names"]:
        return [f"video {video['id']}: no frames in 'file_names', expected one a second"]
    height, width = video["height"], video["width"]
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        found = f"{[height, width]} (height, width)"
        return [f"video {video['id']}: its size is {found}, expected 1 to {MAX_PIXELS} pixels"]
    return []


def _sound_path(video: Json, root: FilePath) -> str:
    if SOUND_KEY in video:
        return os.path.join(root, video[SOUND_KEY])
    folder = os.path.dirname(video["file_names"][0])
    return os.path.join(os.path.dirname(os.path.abspath(root)), AVISEG_SOUNDS, f"{folder}.wav")


def _file_problems(video: Json, root: FilePath, sound: str) -> list[str]:
    frames = [os.path.join(root, name) for name in video["file_names"]]
    problems = [f"frame {path} is missing or empty" for path in frames if not has_content(path)]
    if not has_content(sound):
        key = "" if SOUND_KEY in video else f", or the key {SOUND_KEY!r}"
        problems.append(f"no sound: expected {sound}{key}")
    return problems


def _clips(
    video: Json, root: FilePath, sound: str, annotations: list[list[Json]], num_labels: int, seconds: int
) -> Iterator[Json]:
    """The dataset dicts of a video."""
    frames = [os.path.join(root, name) for name in video["file_names"]]
    for start in range(0, len(frames), seconds):
        yield {
            "video_id": f"{video['id']}_{start:04d}" if len(frames) > seconds else str(video["id"]),
            "video": video["id"],
            "first_second": start,
            "file_names": frames[start : start + seconds],
            "audio_file_name": sound,
            "audio_start": start,
            "height": video["height"],
            "width": video["width"],
            "num_labels": num_labels,
            "annotations": annotations[start : start + seconds],
        }


def register_avis_dataset(name: str, json_file: FilePath, root: FilePath, seconds: int = NUM_FRAMES) -> None:
    """Make videos with instances known to Detectron2 under `name`; their files are read when they are first used.

    Args:
        name: the name for `cfg.DATASETS.TRAIN` or `cfg.DATASETS.TEST`.
        json_file, root, seconds: as `load_avis` takes them; seconds is to be MODEL.TRANSAVS.NUM_FRAMES.
    """
    json_file, root = os.fspath(json_file), os.fspath(root)

    def load() -> list[Json]:
        clips, categories = load_avis(json_file, root, seconds), read_categories(json_file)
        metadata = MetadataCatalog.get(name)
        metadata.set_classes(list(categories.values()))
        metadata.thing_dataset_id_to_contiguous_id = {key: number for number, key in enumerate(categories)}
        return clips

    def names() -> list[str]:
        if not os.path.isfile(json_file):
            raise FileNotFoundError(json_file)  # as `ClassMetadata` expects
        return list(read_categories(json_file).values())

    register_clips(name, load, names, evaluator_type="avis", json_file=json_file, root=root)
