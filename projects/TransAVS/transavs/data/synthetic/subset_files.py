"""The files of a subset's synthetic clips: one by one, then the subset's lists, with what a deaf oracle scores."""

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from PIL import Image

from ...evaluation.metrics import jaccard
from ...evaluation.semantic_metrics import ClassScores, class_scores, summarize_classes
from ..avsbench import ClipPaths
from ..layout import INSTANCES_FILE, LAYOUTS, FilePath
from ..listing import OBJECTS_COLUMN, OBJECTS_SEPARATOR
from ..palette import encode_labels
from ..semantic_layout import (
    BACKGROUND,
    COLUMNS,
    KINDS,
    LABELS_FILE,
    NAMES_SEPARATOR,
    SEMANTIC_FOLDER,
    SEMANTIC_SUBSET,
    TABLE_FILE,
    SemanticPaths,
)
from .clips import SUBSET_OF_KIND, Clip, ClipMaker, clip_generator
from .instance_lists import write_instance_lists
from .sounds import SAMPLE_RATE

PNG_COMPRESSION = 6
JPEG_QUALITY = 95

Row = Mapping[str, str]


class SubsetFiles(Protocol):
    """Makes and writes the clips of one subset; can be pickled.

    Attributes:
        subset: its name.
        folder: that holds its files, and nothing else.
        score_name: of the oracle's score.
    """

    subset: str
    folder: Path
    score_name: str

    def make(self, maker: ClipMaker, seed: int, split: str, index: int) -> tuple[Row, Any]:
        """Make and write one clip. Returns: its row of the list, and what `oracle` takes of it; None but in test."""
        ...

    def oracle(self, scores: Sequence[Any]) -> float:
        """What an oracle scores that sees everything, knows what it is, and hears nothing."""
        ...

    def write_lists(self, rows: Sequence[Row], maker: ClipMaker) -> None: ...

    def is_complete(self) -> bool:
        """Whether a finished subset has all files that one has today."""
        ...


class AVSFiles:
    """S4 or MS3, in AVSBench's layout.

    Args:
        output: the folder that holds `Single-source/` and `Multi-sources/`.
        subset: "s4" or "ms3".
    """

    score_name = "mJ"

    def __init__(self, output: FilePath, subset: str) -> None:
        self.output, self.subset = output, subset
        self.folder = (Path(output) / LAYOUTS[subset].csv_file).parent

    def make(self, maker: ClipMaker, seed: int, split: str, index: int) -> tuple[Row, NDArray[np.float64] | None]:
        clip = maker.make_clip(clip_generator(seed, self.subset, split, index), self.subset, split)
        layout, name = LAYOUTS[self.subset], f"{split}_{index:05d}"
        paths = ClipPaths(self.output, self.subset, split, name, clip.category)
        self._write(clip, paths, layout.annotated_frames(split))
        row = dict(zip(layout.columns, (name, split, clip.category)))
        row[OBJECTS_COLUMN] = OBJECTS_SEPARATOR.join(clip.objects)
        return row, oracle_scores(clip) if split == "test" else None

    def _write(self, clip: Clip, paths: ClipPaths, annotated_frames: Sequence[int]) -> None:
        """Masks only for the frames (from 1) in `annotated_frames`.

        In the picture of the instances, the k-th of the clip's `objects` has the value k (from 1) where it sounds.
        """
        numbers = np.arange(1, len(clip.objects) + 1, dtype=np.uint8)
        for k, frame in enumerate(clip.frames, start=1):
            _save_png(frame, paths.frame(k))
            if k in annotated_frames:
                _save_png(clip.masks[k - 1].astype(np.uint8) * 255, paths.mask(k))
                instances = np.tensordot(numbers, clip.sounding[:, k - 1].astype(np.uint8), axes=1)
                _save_png(instances.astype(np.uint8), paths.instances(k))
        _save_sound(clip.waveform, paths.wav)

    def oracle(self, scores: Sequence[NDArray[np.float64]]) -> float:
        return float(np.concatenate(scores).mean())

    def write_lists(self, rows: Sequence[Row], maker: ClipMaker) -> None:
        layout = LAYOUTS[self.subset]
        _write_table(Path(self.output) / layout.csv_file, (*layout.columns, OBJECTS_COLUMN), rows)
        if self.subset == "ms3":
            write_instance_lists(self.output)

    def is_complete(self) -> bool:
        lists = self.subset != "ms3" or any(self.folder.glob(Path(INSTANCES_FILE).name.format(split="*")))
        return lists and any(self.folder.glob("*/gt_instances"))  # none of them was written at first


class SemanticFiles:
    """AVSBench-semantic's layout: clips of its kinds in turn; each object's name is a class.

    Args:
        output: the folder that holds `AVSBench-semantic/`.
    """

    score_name = "mIoU"
    subset = SEMANTIC_SUBSET

    def __init__(self, output: FilePath) -> None:
        self.folder = Path(output) / SEMANTIC_FOLDER

    def make(self, maker: ClipMaker, seed: int, split: str, index: int) -> tuple[Row, ClassScores | None]:
        label = list(KINDS)[index % len(KINDS)]
        kind, uid = KINDS[label], f"{split}_{index:05d}"
        rng = clip_generator(seed, self.subset, split, index)
        clip = maker.make_clip(rng, SUBSET_OF_KIND[label], split, kind.seconds)
        labels = np.array([1 + maker.names.index(name) for name in clip.objects], np.uint8)
        truth = label_maps(clip.sounding, labels)
        paths = SemanticPaths(os.fspath(self.folder), label, uid)
        for k, frame in enumerate(clip.frames):
            _make_parent(paths.frame(k))
            Image.fromarray(frame).save(paths.frame(k), quality=JPEG_QUALITY)
            if k in kind.annotated_frames(split):
                _save_png(encode_labels(truth[k]), paths.label_map(k))
        _save_sound(clip.waveform, paths.wav)
        sounding = [name for name, pixels in zip(clip.objects, clip.sounding) if pixels.any()]
        row = dict(zip(COLUMNS, (uid, uid, "0", "0", NAMES_SEPARATOR.join(sounding), split, label)))
        row[OBJECTS_COLUMN] = OBJECTS_SEPARATOR.join(clip.objects)
        if split != "test":
            return row, None
        guess = torch.from_numpy(label_maps(clip.shown, labels))
        num_padded = max(seconds.seconds for seconds in KINDS.values()) - kind.seconds
        return row, class_scores(guess, torch.from_numpy(truth), 1 + len(maker.names), num_padded_frames=num_padded)

    def oracle(self, scores: Sequence[ClassScores]) -> float:
        return summarize_classes(scores)[self.score_name]

    def write_lists(self, rows: Sequence[Row], maker: ClipMaker) -> None:
        _write_table(self.folder / TABLE_FILE, (*COLUMNS, OBJECTS_COLUMN), rows)
        labels = {name: label for label, name in enumerate((BACKGROUND, *maker.names))}
        (self.folder / LABELS_FILE).write_text(json.dumps(labels, indent=1) + "\n", encoding="utf-8")

    def is_complete(self) -> bool:
        return True


def oracle_scores(clip: Clip) -> NDArray[np.float64]:
    """Each frame's J of a guess that sees everything and hears nothing: all objects' visible pixels. float64 [T]."""
    scores: NDArray[np.float64] = jaccard(torch.from_numpy(clip.visible), torch.from_numpy(clip.masks)).numpy()
    return scores


def label_maps(masks: NDArray[np.bool_], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Args: bool [n, T, H, W], no pixel being two objects', and each object's label. Returns: uint8 [T, H, W]"""
    return (masks * labels[:, None, None, None]).sum(0, dtype=np.uint8)


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _save_png(pixels: NDArray[np.uint8], path: str) -> None:
    _make_parent(path)
    Image.fromarray(pixels).save(path, compress_level=PNG_COMPRESSION)


def _save_sound(waveform: NDArray[np.float32], path: str) -> None:
    _make_parent(path)
    soundfile.write(path, waveform, SAMPLE_RATE, subtype="PCM_16")


def _make_parent(path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
