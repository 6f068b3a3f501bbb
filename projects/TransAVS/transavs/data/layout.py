"""Where AVSBench's files lie. No other module knows; the makers of synthetic data write through the same `Layout`."""

import os
from dataclasses import dataclass

NUM_FRAMES = 5  # AVSBench's clips last five seconds; frame k (from 1) shows second k
SPLITS = ("train", "val", "test")
INSTANCES_FILE = "Multi-sources/ms3_instances_{split}.json"  # Stamps and Toy have them: see `data.avis`

FilePath = str | os.PathLike[str]


@dataclass(frozen=True)
class Layout:
    """Where the files of one subset lie under the dataset's root; `{...}` stand for a clip's values."""

    csv_file: str
    columns: tuple[str, ...]  # the csv's header; the first column's name is free when reading
    frame: str
    mask: str
    instances: str  # Stamps and Toy have them, AVSBench does not
    wav: str
    log_mel: str

    def needed_columns(self) -> tuple[str, ...]:
        return self.columns[1:]

    def annotated_frames(self, split: str) -> tuple[int, ...]:
        """Frame numbers (from 1) that have a mask: S4 annotates only the first frame of a training clip."""
        if self is LAYOUTS["s4"] and split == "train":
            return (1,)
        return tuple(range(1, NUM_FRAMES + 1))


LAYOUTS = {
    "s4": Layout(
        csv_file="Single-source/s4_meta_data.csv",
        columns=("name", "split", "category"),
        frame="Single-source/s4_data/visual_frames/{split}/{category}/{name}/{name}_{k}.png",
        mask="Single-source/s4_data/gt_masks/{split}/{category}/{name}/{name}_{k}.png",
        instances="Single-source/s4_data/gt_instances/{split}/{category}/{name}/{name}_{k}.png",
        wav="Single-source/s4_data/audio_wav/{split}/{category}/{name}.wav",
        log_mel="Single-source/s4_data/audio_log_mel/{split}/{category}/{name}.pkl",
    ),
    "ms3": Layout(
        csv_file="Multi-sources/ms3_meta_data.csv",
        columns=("video_id", "split"),
        frame="Multi-sources/ms3_data/visual_frames/{name}/{name}.mp4_{k}.png",
        mask="Multi-sources/ms3_data/gt_masks/{split}/{name}/{name}_{k}.png",
        instances="Multi-sources/ms3_data/gt_instances/{split}/{name}/{name}_{k}.png",
        wav="Multi-sources/ms3_data/audio_wav/{split}/{name}.wav",
        log_mel="Multi-sources/ms3_data/audio_log_mel/{split}/{name}.pkl",
    ),
}


class ClipPaths:
    """The files of one clip.

    Args:
        root: the folder that holds `Single-source/` and `Multi-sources/`.
        subset: "s4" or "ms3".
        split: "train", "val" or "test".
        name: the clip's id.
        category: the sounding object's category (S4 only).
    """

    def __init__(self, root: FilePath, subset: str, split: str, name: str, category: str | None = None):
        self._root = os.fspath(root)
        self._layout = LAYOUTS[subset]
        self._values = {"split": split, "name": name, "category": category}

    def _path(self, template: str, **more: int) -> str:
        return os.path.join(self._root, template.format(**self._values, **more))

    def frame(self, k: int) -> str:
        return self._path(self._layout.frame, k=k)

    def mask(self, k: int) -> str:
        return self._path(self._layout.mask, k=k)

    def instances(self, k: int) -> str:
        return self._path(self._layout.instances, k=k)

    @property
    def wav(self) -> str:
        return self._path(self._layout.wav)

    @property
    def log_mel(self) -> str:
        return self._path(self._layout.log_mel)
