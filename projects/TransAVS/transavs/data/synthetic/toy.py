"""Toy: drawn shapes, each with a sound of its own.

An object's size, place and depth say nothing about whether it sounds; only its kind and the sound together do.
"""

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..avsbench import NUM_FRAMES
from .clips import Clip, make_clip, random_schedule
from .scenes import MotionRanges, Sprite
from .sounds import CLIP_SAMPLES, SAMPLE_RATE

SIZE = 64  # pixels of a frame's side, by default
COUNTS = (400, 20, 40)  # clips in train, val and test, by default
SPRITE_SIDE = 96  # pixels; scaled down into the frame
DETAIL = 8  # times as many pixels a side has a shape's original, for frames larger than the clips' own
NOISE = 8  # of the background, standard deviation; white is 255
RANGES = MotionRanges(area=(0.06, 0.14), max_angle=180.0, max_turn=40.0)


def _regular_points(radii: Sequence[float], phase: float = -np.pi / 2) -> list[tuple[float, float]]:
    """Corners at equal angles, at the given distances from the centre (1 reaches the sprite's border)."""
    angles = phase + 2 * np.pi * np.arange(len(radii)) / len(radii)
    centre = SPRITE_SIDE / 2
    return [(centre + centre * r * np.cos(a), centre + centre * r * np.sin(a)) for r, a in zip(radii, angles)]


def _cross_points() -> list[tuple[float, float]]:
    thin, wide = 0.32, 0.95
    corners = [(thin, wide), (thin, thin), (wide, thin), (wide, -thin), (thin, -thin), (thin, -wide)]
    corners += [(-x, -y) for x, y in corners]
    return [(SPRITE_SIDE / 2 * (1 + x), SPRITE_SIDE / 2 * (1 + y)) for x, y in corners]


OUTLINES = {
    "circle": _regular_points([0.95] * 64),
    "square": _regular_points([0.98] * 4),
    "triangle": _regular_points([0.98] * 3),
    "star": _regular_points([0.98, 0.42] * 5),
    "cross": _cross_points(),
}


def _sine(frequency: float, times: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sin(2 * np.pi * frequency * times)


def shape_sound(shape: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Five seconds of the shape's sound, slightly detuned. Returns: float32 [samples]."""
    t = np.arange(CLIP_SAMPLES) / SAMPLE_RATE
    f = np.exp(rng.uniform(-0.03, 0.03))
    if shape == "circle":  # a low, pure tone
        sound = _sine(300 * f, t)
    elif shape == "square":  # a buzz, rich in harmonics
        sound = np.sign(_sine(150 * f, t))
    elif shape == "triangle":  # beeps, eight a second
        sound = _sine(1400 * f, t) * (_sine(8, t) > 0)
    elif shape == "star":  # a siren between 2 and 4 kHz
        sound = np.sin(2 * np.pi * (3000 * f * t + 1000 * (1 - np.cos(2 * np.pi * 2 * t)) / (2 * np.pi * 2)))
    else:  # the cross: a rattle of noise, twelve a second
        sound = rng.normal(0, 1, t.size) * (_sine(12, t) > 0.3)
    return sound.astype(np.float32)


def draw_shape(shape: str, colour: tuple[int, int, int], detail: int = 1) -> Image.Image:
    """An RGBA picture of the shape in one colour, SPRITE_SIDE * detail pixels wide and high."""
    side = SPRITE_SIDE * detail
    image = Image.new("RGBA", (side, side), (*colour, 0))
    points = [(x * detail, y * detail) for x, y in OUTLINES[shape]]
    ImageDraw.Draw(image).polygon(points, fill=(*colour, 255))
    return image


def random_sprite(shape: str, rng: np.random.Generator) -> Sprite:
    """The shape in about its own hue, so that a small model soon tells shapes apart; which one sounds is only heard."""
    hue = (list(OUTLINES).index(shape) + rng.uniform(-0.25, 0.25)) / len(OUTLINES)
    saturation, value = rng.uniform(0.6, 1), rng.uniform(0.7, 1)
    red, green, blue = (round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value))
    colour = red, green, blue
    return Sprite(shape, draw_shape(shape, colour), shape_sound(shape, rng), draw_shape(shape, colour, DETAIL))


class NoisyPattern:
    """A smooth, dim colour pattern, with fresh noise in every frame; a Scene's background."""

    def __init__(self, rng: np.random.Generator, size: int, num_seconds: int = NUM_FRAMES) -> None:
        self.size = size
        self.patches = Image.fromarray(rng.integers(30, 140, size=(4, 4, 3), dtype=np.uint8))
        self.noise = rng.normal(0, NOISE, size=(num_seconds, size, size, 3))  # of the frames of the clip
        self.other_noise = rng.spawn(1)[0]  # of all others: it takes no number from the clip's own generator

    def draw(self, progress: float, size: int) -> NDArray[np.uint8]:
        pattern = np.asarray(self.patches.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)
        if size == self.size:
            noise = self.noise[min(int(progress * len(self.noise)), len(self.noise) - 1)]
        else:
            nearest = np.arange(size) * self.size // size  # its grains are as large in the scene as those of the clip
            noise = self.other_noise.normal(0, NOISE, size=self.noise.shape[1:])[nearest][:, nearest]
        drawn: NDArray[np.float64] = (pattern + noise).round().clip(0, 255)
        return drawn.astype(np.uint8)


class ToyMaker:
    """Makes clips of shapes; `size`: pixels of a side of their frames."""

    def __init__(self, size: int = SIZE) -> None:
        self.size = size

    @property
    def names(self) -> list[str]:
        return list(OUTLINES)

    def make_clip(self, rng: np.random.Generator, subset: str, split: str, num_seconds: int = NUM_FRAMES) -> Clip:
        """Two or three different shapes."""
        shapes = rng.permutation(list(OUTLINES))[: rng.integers(2, 4)].tolist()
        sprites = [random_sprite(shape, rng) for shape in shapes]
        active = random_schedule(rng, subset, len(shapes), num_seconds)
        return make_clip(rng, NoisyPattern(rng, self.size, num_seconds), sprites, active, RANGES)
