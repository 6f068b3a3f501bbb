"""The readers of datasets' lists, and of AVSBench-semantic's label maps; see readers.py."""

import json
from functools import partial
from pathlib import Path

import numpy as np
from forms import Base, Reader, join_png, png_parts, whole
from PIL import Image
from pycocotools import mask as coco_mask

from transavs.data.avis import load_avis
from transavs.data.avsbench import AVSDatasetError, load_avsbench
from transavs.data.layout import LAYOUTS, ClipPaths
from transavs.data.palette import encode_labels, palette, read_label_map
from transavs.data.semantic import load_avss
from transavs.data.semantic_labels import read_labels
from transavs.data.semantic_layout import LABELS_FILE, TABLE_FILE, SemanticPaths


def lists(folder: Path) -> list[Base]:
    for name in ("bark", "meow"):
        paths = ClipPaths(folder, "s4", "train", name, "pet")
        for path in (*map(paths.frame, range(1, 6)), paths.mask(1), paths.wav):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4)).save(path, "png")
    text = "name,split,category,objects\nbark,train,pet,dog;cat\nmeow,train,pet,\n"
    return [Base(LAYOUTS["s4"].csv_file, [form.encode()]) for form in (text, text.replace(",", ", "))]


def read_list(path: Path) -> object:
    return load_avsbench(path.parents[1], "s4", "train")


def semantic_files(folder: Path, name: str) -> list[Base]:
    """A folder of two clips, of which the list `name` is mutated."""
    names = ["background", "dog", "cow", "cow_white"]
    (folder / LABELS_FILE).write_text(json.dumps({label: number for number, label in enumerate(names)}))
    rows = [
        "vid,uid,s_min,s_sec,a_obj,split,label,objects",
        "a,a_0,0,0,cow_white_dog,train,v1s,",
        "b,b,1,2,dog,train,v1m,dog;cow",
    ]
    (folder / TABLE_FILE).write_text("\n".join(rows) + "\n")
    for label, uid in (("v1s", "a_0"), ("v1m", "b")):
        paths = SemanticPaths(folder, label, uid)
        for k in range(5):
            for path, form in ((paths.frame(k), "jpeg"), (paths.label_map(k), "png")):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (4, 4)).save(path, form)
        Path(paths.wav).write_bytes(b"RIFF")
    return [whole(folder / name)]


def read_semantic(path: Path) -> object:
    return load_avss(path.parent, "train")


def read_labels_file(path: Path) -> object:
    return read_labels(path.parent)


def label_maps(folder: Path) -> list[Base]:
    """RGB and indexed ones, whose bytes are mutated, and whose chunks are."""
    labels = np.arange(36, dtype=np.uint8).reshape(6, 6) // 4
    Image.fromarray(encode_labels(labels)).save(folder / "rgb.png")
    indexed = Image.fromarray(labels, mode="P")
    indexed.putpalette(palette(9).tobytes())
    indexed.save(folder / "indexed.png")
    files = sorted(folder.iterdir())
    return [Base(path.name, png_parts(path.read_bytes()), join_png) for path in files] + [whole(path) for path in files]


def instance_lists(folder: Path) -> list[Base]:
    """A list of a video with two instances, whose masks are a compressed RLE, an uncompressed one and polygons."""
    (folder / "a").mkdir()
    for name in ("a/0.png", "a/1.png", "a.wav"):
        Image.new("L", (4, 4)).save(folder / name, "png")
    compressed = {
        "size": [4, 4],
        "counts": coco_mask.encode(np.asfortranarray(np.eye(4, dtype=np.uint8)))["counts"].decode(),
    }
    masks = [compressed, {"size": [4, 4], "counts": [3, 5, 8]}], [[[0, 0, 3, 0, 3, 3]], None]
    content = {
        "videos": [
            {"id": 1, "file_names": ["a/0.png", "a/1.png"], "audio_file_name": "a.wav", "height": 4, "width": 4}
        ],
        "categories": [{"id": 3, "name": "dog"}],
        "annotations": [
            {"id": number, "video_id": 1, "category_id": 3, "segmentations": of_frames}
            for number, of_frames in enumerate(masks)
        ],
    }
    (folder / "list.json").write_text(json.dumps(content))
    return [whole(folder / "list.json")]


def read_instance_list(path: Path) -> object:
    """Lists the instances, and compares their masks as the scores do."""
    frames = [frame for clip in load_avis(path, path.parent) for frame in clip["annotations"]]
    for frame in frames:
        masks = [instance["segmentation"] for instance in frame]
        if masks:
            coco_mask.decode(masks), coco_mask.iou(masks, masks, [0] * len(masks))
    return frames


DATASET_READERS = {
    "list": Reader(read_list, lists, (AVSDatasetError,), tells_rows=True),
    "semantic_list": Reader(
        read_semantic, partial(semantic_files, name=TABLE_FILE), (AVSDatasetError,), tells_rows=True
    ),
    "labels": Reader(read_labels_file, partial(semantic_files, name=LABELS_FILE), (AVSDatasetError,)),
    "instance_list": Reader(read_instance_list, instance_lists, (AVSDatasetError,), tells_rows=True),
    "label_map": Reader(partial(read_label_map, num_labels=9), label_maps, (AVSDatasetError,)),
}
