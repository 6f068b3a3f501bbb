"""The lists of instances that Stamps and Toy have beside MS3, in YouTube-VIS's form: see `data.avis`."""

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from ..avis import SOUND_KEY
from ..avsbench import read_clip_table
from ..layout import INSTANCES_FILE, NUM_FRAMES, ClipPaths, FilePath
from ..listing import OBJECTS_COLUMN, split_objects
from ..rle import encode

Json = dict[str, Any]


def write_instance_lists(root: FilePath) -> None:
    """Write INSTANCES_FILE of each split of MS3 under `root`: each object that sounds in a clip is one instance.

    A category is an object's name; its id is the place of the name, from 1, among those of all splits.
    """
    rows = read_clip_table(root, "ms3")
    names = sorted({name for row in rows for name in split_objects(row[OBJECTS_COLUMN])})
    for split in sorted({row["split"] for row in rows}):
        videos: list[Json] = []
        annotations: list[Json] = []
        for number, row in enumerate((row for row in rows if row["split"] == split), start=1):
            paths = ClipPaths(root, "ms3", split, row["name"])
            numbers = np.stack([np.asarray(Image.open(paths.instances(k))) for k in range(1, NUM_FRAMES + 1)])
            frames, sound = [paths.frame(k) for k in range(1, NUM_FRAMES + 1)], paths.wav
            height, width = numbers.shape[1:]
            videos.append(
                {
                    "id": number,
                    "file_names": [os.path.relpath(path, root) for path in frames],
                    SOUND_KEY: os.path.relpath(sound, root),
                    "length": NUM_FRAMES,
                    "height": height,
                    "width": width,
                }
            )
            for place, name in enumerate(split_objects(row[OBJECTS_COLUMN]), start=1):
                seen = [encode(frame == place) if place in frame else None for frame in numbers]
                if any(seen):
                    identity, category = len(annotations) + 1, names.index(name) + 1
                    annotations.append(_describe(identity, number, category, seen))
        content = {
            "videos": videos,
            "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
            "annotations": annotations,
        }
        with open(os.path.join(root, INSTANCES_FILE.format(split=split)), "w", encoding="utf-8") as file:
            json.dump(content, file)


def _describe(identity: int, video: int, category: int, masks: Sequence[Json | None]) -> Json:
    """An instance with all that YouTube-VIS says of one."""
    return {
        "id": identity,
        "video_id": video,
        "category_id": category,
        "segmentations": masks,
        "bboxes": [None if mask is None else coco_mask.toBbox(mask).tolist() for mask in masks],
        "areas": [None if mask is None else int(coco_mask.area(mask)) for mask in masks],
        "iscrowd": 0,
    }
