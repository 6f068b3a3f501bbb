"""Backgrounds of Stamps: a camera that pans over a photograph."""

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..avsbench import NUM_FRAMES, SPLITS, AVSDatasetError


@dataclass
class Photograph:
    """`picture`: RGB, three times as large as a clip's frames; `path`: of the file, with all its detail."""

    path: Path
    picture: Image.Image


def load_backgrounds(root: str | os.PathLike[str], size: int) -> dict[str, list[Photograph]]:
    """Photographs of a folder, split so that no split shows another's.

    Args:
        root: holds .jpg or .png files, at any depth.
        size: pixels of a side of the clips' frames.

    Returns:
        {split: photographs}

    Raises:
        AVSDatasetError: if there are fewer than one a split.
    """
    paths = sorted(path for path in Path(root).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if len(paths) < len(SPLITS):
        raise AVSDatasetError(f"{root}: {len(paths)} pictures, expected at least {len(SPLITS)} (.jpg or .png)")
    order = np.random.default_rng(0).permutation(len(paths))  # the same split whatever the seed
    num_test, num_val = max(1, round(len(paths) * 0.25)), max(1, round(len(paths) * 0.15))
    test, val, train = np.split(order, [num_test, num_test + num_val])
    shares = {"train": train, "val": val, "test": test}
    return {split: [read_photograph(paths[i], size) for i in sorted(chosen)] for split, chosen in shares.items()}


def read_photograph(path: Path, size: int) -> Photograph:
    """`size`: pixels of a side of the clips' frames."""
    return Photograph(path, _read_reduced(path, 3 * size))


def _read_reduced(path: Path, short_side: int) -> Image.Image:
    file = Image.open(path)
    file.draft("RGB", (2 * short_side, 2 * short_side))  # lets JPEG decode at a fraction of its size
    image = file.convert("RGB")
    scale = short_side / min(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


@functools.lru_cache(maxsize=1)  # a clip has one background, drawn frame after frame
def _read_original(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


class Pan:
    """A camera that pans slowly over a part of a photograph; a Scene's background."""

    def __init__(self, rng: np.random.Generator, photographs: Sequence[Photograph], size: int) -> None:
        self.size = size  # pixels of a side of the clip's frames
        self.photograph = photographs[int(rng.integers(len(photographs)))]
        self.side = rng.uniform(1.0, 2.6) * size  # of the part seen, in pixels of `photograph.picture`
        self.room = np.array(self.photograph.picture.size) - self.side
        self.start = rng.random(2) * self.room  # x, y
        self.stop = (self.start + rng.uniform(-0.3, 0.3, 2) * size).clip(0, self.room)
        self.flip, self.brightness = rng.random() < 0.5, rng.uniform(0.7, 1.2)

    def draw(self, progress: float, size: int) -> NDArray[np.uint8]:
        # The camera is at `start` in the first frame of a clip of 5 s and at `stop` in its last, each the middle of its
        # second.
        share = (progress * NUM_FRAMES - 0.5) / (NUM_FRAMES - 1)
        corner = (self.start + (self.stop - self.start) * share).clip(0, self.room)
        picture = self.photograph.picture
        box = np.concatenate([corner, corner + self.side])
        if size != self.size:
            picture = _read_original(self.photograph.path)
            box *= np.tile(np.divide(picture.size, self.photograph.picture.size), 2)
        window = picture.resize((size, size), Image.Resampling.BICUBIC, box=tuple(box))
        pixels = np.asarray(window, np.float32)[:, ::-1] if self.flip else np.asarray(window, np.float32)
        return (pixels * self.brightness).round().clip(0, 255).astype(np.uint8)
