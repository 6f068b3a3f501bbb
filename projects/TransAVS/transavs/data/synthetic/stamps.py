"""Stamps: cut-out photographs with their own real sounds, moving over photographs."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from ..avsbench import NUM_FRAMES, AVSDatasetError
from .backgrounds import Pan, load_backgrounds
from .clips import Clip, make_clip, random_schedule
from .scenes import MotionRanges, Sprite
from .sounds import SAMPLE_RATE

SOUNDING_FOLDERS = ("animals", "hobbies", "household", "vehicles")  # elsewhere: letters, signs and seasonal drawings
SIZE = 128  # pixels of a frame's side, by default
COUNTS = {
    "small": {"s4": (600, 40, 80), "ms3": (200, 20, 60), "ss": (300, 60, 180)},
    "full": {"s4": (2000, 200, 300), "ms3": (600, 100, 150), "ss": (900, 180, 360)},
}
RANGES = MotionRanges(area=(0.08, 0.25))  # of the frame: AVSBench's sounding objects are large

PIECE_SECONDS = 0.05
AUDIBLE_RMS = 0.01  # of a piece; full scale is 1
MIN_PEAK = 0.1  # of a sound
MIN_AUDIBLE_SECONDS = 0.5
SAME_SOUND_CORRELATION = 0.5
MIN_OPAQUE_SHARE = 0.1  # of a stamp's bounding box; glass and the like have hardly any pixel of their own


def read_sound(path: Path) -> NDArray[np.float32] | None:
    """A sound at 16 kHz, mono, without its pauses; None where it is of no use.

    A sound is dropped that never gets loud (peak under 0.1), or that has less than half a second to hear: looped over
    five seconds, a click would no longer sound like its object.
    """
    from scipy.ndimage import (
        binary_dilation,
    )  # SciPy's parts take long to import, and every `import transavs` comes here
    from scipy.signal import resample_poly

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = samples.mean(1)
    if samples.size == 0 or np.abs(samples).max() < MIN_PEAK:
        return None
    samples = resample_poly(samples, SAMPLE_RATE, rate).astype(np.float32)
    piece = round(PIECE_SECONDS * SAMPLE_RATE)
    pieces = samples[: len(samples) // piece * piece].reshape(-1, piece)
    audible = np.sqrt((pieces**2).mean(1)) >= AUDIBLE_RMS
    if audible.sum() * PIECE_SECONDS < MIN_AUDIBLE_SECONDS:
        return None
    kept: NDArray[np.float32] = pieces[binary_dilation(audible, iterations=2)].ravel()
    return kept


def is_same_sound(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    """Whether two sounds are one recording, be it encoded twice: some objects share their file."""
    from scipy.signal import correlate

    if abs(len(first) - len(second)) > 0.02 * len(first):
        return False
    norm = np.linalg.norm(first) * np.linalg.norm(second)
    return bool(np.abs(correlate(first, second, method="fft")).max() > SAME_SOUND_CORRELATION * norm)


def read_picture(path: Path) -> Image.Image | None:
    """A stamp's picture, RGBA, cut to its object; None where it is see-through."""
    image = Image.open(path).convert("RGBA")
    alpha = image.getchannel("A")
    solid = np.asarray(alpha) >= 128
    if alpha.getbbox() is None or solid.mean() < MIN_OPAQUE_SHARE:
        return None
    return image.crop(alpha.getbbox())


def _reduced(picture: Image.Image, size: int) -> Image.Image:
    """The picture, at most `size` pixels wide and high."""
    picture = picture.copy()
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    return picture


def load_stamps(root: str | os.PathLike[str], size: int) -> list[Sprite]:
    """All useful pictures that have a sound of the same name, in the order of their paths.

    Of objects that share one recording only the first is kept: nobody could tell which of them sounds.

    Args:
        root: holds the folders SOUNDING_FOLDERS, with <name>.png beside <name>.ogg at any depth.
        size: pixels of a side of the clips' frames.

    Raises:
        AVSDatasetError: if there are fewer than three.
    """
    sprites: list[Sprite] = []
    for path in sorted(p for folder in SOUNDING_FOLDERS for p in Path(root, folder).rglob("*.ogg")):
        picture_path = path.with_suffix(".png")
        if path.stem.endswith("_desc") or not picture_path.is_file():  # `_desc` is the object's name, spoken
            continue
        sound, picture = read_sound(path), read_picture(picture_path)
        if sound is None or picture is None or any(is_same_sound(sound, other.sound) for other in sprites):
            continue
        sprites.append(Sprite(path.stem, _reduced(picture, size), sound, picture))
    if len(sprites) < 3:
        raise AVSDatasetError(
            f"{root}: {len(sprites)} stamps of use, expected at least 3: <name>.png with alpha beside <name>.ogg, "
            f"in the folders {', '.join(SOUNDING_FOLDERS)}"
        )
    return sprites


def random_stamps(rng: np.random.Generator, stamps: Sequence[Sprite], subset: str) -> list[Sprite]:
    """The objects of a clip. S4: one that sounds and 0-2 silent ones. MS3: 2-3."""
    num_objects = int(rng.integers(1, 4) if subset == "s4" else rng.integers(2, 4))
    return [stamps[i] for i in rng.choice(len(stamps), num_objects, replace=False)]


class StampsMaker:
    """Makes clips of stamps over photographs; the pictures and sounds are read here, and kept in memory.

    Args:
        stamps_root: as `load_stamps` reads it.
        backgrounds_root: as `load_backgrounds` reads it.
        size: pixels of a side of the clips' frames.
        area: the least and the greatest share of the frame that an object is given.

    Raises:
        AVSDatasetError: if a folder holds too little.
    """

    def __init__(
        self,
        stamps_root: str | os.PathLike[str],
        backgrounds_root: str | os.PathLike[str],
        size: int = SIZE,
        area: tuple[float, float] = RANGES.area,
    ) -> None:
        self.size = size
        self.ranges = replace(RANGES, area=area)
        self.sprites = load_stamps(stamps_root, size)
        self.backgrounds = load_backgrounds(backgrounds_root, size)

    @property
    def names(self) -> list[str]:
        return [sprite.name for sprite in self.sprites]

    def make_clip(self, rng: np.random.Generator, subset: str, split: str, num_seconds: int = NUM_FRAMES) -> Clip:
        """The first of `random_stamps` sounds in S4, any of them in MS3."""
        sprites = random_stamps(rng, self.sprites, subset)
        active = random_schedule(rng, subset, len(sprites), num_seconds)
        background = Pan(rng, self.backgrounds[split], self.size)
        return make_clip(rng, background, sprites, active, self.ranges)
