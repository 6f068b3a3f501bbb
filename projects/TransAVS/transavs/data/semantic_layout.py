"""Where AVSBench-semantic's files lie, and what its names mean. No other module knows."""

import os
from dataclasses import dataclass

from .layout import FilePath

SEMANTIC_SUBSET = "ss"  # beside layout.LAYOUTS
SEMANTIC_FOLDER = "AVSBench-semantic"  # under the dataset's root
TABLE_FILE = "metadata.csv"
LABELS_FILE = "label2idx.json"
COLUMNS = ("vid", "uid", "s_min", "s_sec", "a_obj", "split", "label")  # AVSBench's
NEEDED_COLUMNS = ("uid", "a_obj", "split", "label")
NAMES_SEPARATOR = "_"  # in the column a_obj
BACKGROUND = "background"  # label 0
UNSEEN_SOURCES = (BACKGROUND, "off-the-screen")  # in a_obj: nothing in the picture sounds

# label2idx.json as AVSBench has it.
AVSBENCH_LABELS = (
    *(BACKGROUND, "accordion", "airplane", "axe", "baby", "bassoon", "bell", "bird", "boat", "boy", "bus", "car"),
    *("cat", "cello", "clarinet", "clipper", "clock", "dog", "donkey", "drum", "duck", "elephant", "emergency-car"),
    *("erhu", "flute", "frying-food", "girl", "goose", "guitar", "gun", "guzheng", "hair-dryer", "handpan"),
    *("harmonica", "harp", "helicopter", "hen", "horse", "keyboard", "leopard", "lion", "man", "marimba"),
    *("missile-rocket", "motorcycle", "mower", "parrot", "piano", "pig", "pipa", "saw", "saxophone", "sheep"),
    *("sitar", "sorna", "squirrel", "tabla", "tank", "tiger", "tractor", "train", "trombone", "truck", "trumpet"),
    *("tuba", "ukulele", "utv", "vacuum-cleaner", "violin", "wolf", "woman"),
)


@dataclass(frozen=True)
class Kind:
    """What the column `label` says of a clip.

    Args:
        seconds: how long it is; it has a frame a second.
        first_alone: whether only its first frame is annotated in training.
    """

    seconds: int
    first_alone: bool = False

    def annotated_frames(self, split: str) -> range:
        """Frame numbers (from 0) that have a label map."""
        return range(1 if self.first_alone and split == "train" else self.seconds)


KINDS = {
    "v1s": Kind(5, first_alone=True),  # AVSBench's single sources (S4)
    "v1m": Kind(5),  # its multiple sources (MS3)
    "v2": Kind(10),  # what was added
}


class SemanticPaths:
    """The files of one clip.

    Args:
        folder: that holds `metadata.csv`.
        label: one of KINDS.
        uid: the clip's id.
    """

    def __init__(self, folder: FilePath, label: str, uid: str):
        self.folder = os.path.join(folder, label, uid)
        self.frames = os.path.join(self.folder, "frames")
        self.label_maps = os.path.join(self.folder, "labels_rgb")
        self.wav = os.path.join(self.folder, "audio.wav")

    def frame(self, k: int) -> str:
        return os.path.join(self.frames, f"{k}.jpg")

    def label_map(self, k: int) -> str:
        return os.path.join(self.label_maps, f"{k}.png")


def semantic_folder(root: FilePath) -> str:
    """The folder that holds `metadata.csv`: SEMANTIC_FOLDER under `root`, or `root` itself."""
    inner = os.path.join(root, SEMANTIC_FOLDER)
    itself = not os.path.isdir(inner) and os.path.isfile(os.path.join(root, TABLE_FILE))
    return os.fspath(root) if itself else inner
