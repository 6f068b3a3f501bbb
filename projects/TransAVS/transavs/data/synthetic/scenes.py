"""Scenes of synthetic clips: cut-out objects in motion over a background, drawn at any time and any size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..avsbench import NUM_FRAMES, AVSDatasetError

MIN_VISIBLE_SHARE = 0.5  # of an object's pixels, in every frame
MIN_VISIBLE_AREA = 0.01  # of the frame
MAX_PLACEMENTS = 300


def frame_progresses(num_seconds: int = NUM_FRAMES) -> list[float]:
    """When a clip's frames are seen, from 0, its start, to 1, its end: each in the middle of its second."""
    return [(t + 0.5) / num_seconds for t in range(num_seconds)]


@dataclass
class Sprite:
    """A cut-out object: `image` RGBA, `sound` float32 [samples] at 16 kHz.

    Scenes are decided, and drawn at their own size, with `image`; `original`, the same picture with all its detail, is
    for other sizes. `num_pixels` counts the solid ones of `image`.
    """

    name: str
    image: Image.Image
    sound: NDArray[np.float32]
    original: Image.Image | None = None
    num_pixels: int = field(init=False)

    def __post_init__(self) -> None:
        self.num_pixels = int((np.asarray(self.image)[..., 3] >= 128).sum())


@dataclass(frozen=True)
class MotionRanges:
    """How a maker's objects may move; shares are of the frame, angles in degrees, drift and turn over a whole clip."""

    area: tuple[float, float]
    max_side: float = 0.75
    max_drift: float = 0.25
    max_growth: float = 1.2
    max_angle: float = 20.0
    max_turn: float = 15.0


@dataclass
class Motion:
    """An object's way through a clip: each pair is the value at its start and at its end."""

    x: tuple[float, float]
    y: tuple[float, float]
    scale: tuple[float, float]
    angle: tuple[float, float]
    flip: bool

    def at(self, progress: float) -> tuple[float, float, float, float]:
        """Returns: x, y, scale, angle at a time from 0 to 1."""
        x, y, scale, angle = (a + (b - a) * progress for a, b in (self.x, self.y, self.scale, self.angle))
        return x, y, scale, angle


class Background(Protocol):
    """What a scene is painted on; `size`: pixels of a side of the scene's own frames, in which motions are given."""

    size: int

    def draw(self, progress: float, size: int) -> NDArray[np.uint8]:
        """The background at a time from 0 to 1. Returns: uint8 [size,size,3]."""
        ...


@dataclass
class Scene:
    """Objects in motion over a background.

    Args:
        background: what they move over.
        sprites: the objects, later ones in front.
        motions: each object's Motion.
    """

    background: Background
    sprites: Sequence[Sprite]
    motions: Sequence[Motion]

    def draw(self, progress: float, size: int | None = None) -> NDArray[np.uint8]:
        """One frame, at a time from 0, the clip's start, to 1, its end. Returns: uint8 [size,size,3]."""
        size = size or self.background.size
        zoom = size / self.background.size
        return compose(self.background.draw(progress, size), progress, self.sprites, self.motions, zoom)[0]


def random_motion(
    rng: np.random.Generator, sprite: Sprite, size: int, ranges: MotionRanges, shrink: float = 1.0
) -> Motion:
    """A way through frames of size x size pixels; `shrink` makes the object smaller than the ranges ask."""
    scale = shrink * np.sqrt(rng.uniform(*ranges.area) * size**2 / sprite.num_pixels)
    scale = min(scale, ranges.max_side * size / max(sprite.image.size))
    growth = np.exp(rng.uniform(-1, 1) * np.log(ranges.max_growth))
    angle = rng.uniform(-ranges.max_angle, ranges.max_angle)
    x, y = rng.uniform(0.1, 0.9, size=2) * size
    drift_x, drift_y = rng.uniform(-ranges.max_drift, ranges.max_drift, size=2) * size
    return Motion(
        x=(x - drift_x / 2, x + drift_x / 2),
        y=(y - drift_y / 2, y + drift_y / 2),
        scale=(scale / np.sqrt(growth), scale * np.sqrt(growth)),
        angle=(angle, angle + rng.uniform(-ranges.max_turn, ranges.max_turn)),
        flip=bool(rng.random() < 0.5),
    )


def draw_sprite(
    sprite: Sprite, motion: Motion, progress: float, size: int, zoom: float = 1.0
) -> tuple[NDArray[np.float32], tuple[slice, slice], int]:
    """The part of an object that lies in the frame.

    Returns:
        float32 RGBA [h,w,4] in [0,1]; where it lies, its rows and its columns as slices; and the object's number of
        pixels, those outside the frame included.
    """
    x, y, scale, angle = motion.at(progress)
    image = sprite.image if zoom == 1 else sprite.original or sprite.image
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if motion.flip else image
    width, height = (max(1, round(side * scale * zoom)) for side in sprite.image.size)
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    image = image.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    pixels = np.asarray(image)
    left, top = round(x * zoom - image.width / 2), round(y * zoom - image.height / 2)
    rows, columns = _inside(top, image.height, size), _inside(left, image.width, size)
    seen = pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return seen.astype(np.float32) / np.float32(255), (rows, columns), int((pixels[..., 3] >= 128).sum())


def _inside(start: int, length: int, size: int) -> slice:
    """The part of start ... start + length that lies in 0 ... size, as a slice."""
    first = min(max(0, start), size)
    return slice(first, max(first, min(start + length, size)))


def compose(
    background: NDArray[np.uint8],
    progress: float,
    sprites: Sequence[Sprite],
    motions: Sequence[Motion],
    zoom: float = 1.0,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.float64]]:
    """Paint the objects over the background, later ones in front.

    Args:
        background: uint8 [H,W,3], H = W.
        zoom: by how much the frame is larger than the one in whose pixels the motions are given.

    Returns:
        frame uint8 [H,W,3]; visible bool [n,H,W], each object's pixels that nothing hides; shares float [n], the
        visible share of all its pixels.
    """
    size = len(background)
    visible = np.zeros((len(sprites), size, size), dtype=bool)
    num_pixels = np.zeros(len(sprites), dtype=int)
    frame = background.astype(np.float32)
    for i, (sprite, motion) in enumerate(zip(sprites, motions)):
        layer, place, num_pixels[i] = draw_sprite(sprite, motion, progress, size, zoom)
        alpha = layer[..., 3:]
        frame[place] = frame[place] * (1 - alpha) + 255 * layer[..., :3] * alpha
        solid = alpha[..., 0] >= 0.5
        visible[(slice(i), *place)] &= ~solid
        visible[(i, *place)] = solid
    shares = visible.sum((1, 2)) / np.maximum(num_pixels, 1)
    return frame.round().clip(0, 255).astype(np.uint8), visible, shares


def random_scene(
    rng: np.random.Generator,
    background: Background,
    sprites: Sequence[Sprite],
    ranges: MotionRanges,
    moments: Sequence[float] = tuple(frame_progresses()),
) -> tuple[Scene, NDArray[np.uint8], NDArray[np.bool_]]:
    """Place the objects anew until each is sensibly visible in all frames that are drawn.

    Silent objects are held to the same rule as sounding ones: how well one sees an object must not tell if it sounds.

    Args:
        background: what they move over.
        sprites: the objects, later ones in front.
        ranges: how they may move.
        moments: from 0, the clip's start, to 1, its end: one for each of the T frames; by default those of
            a clip of 5 s.

    Returns:
        Scene; frames uint8 [T,H,W,3]; visible bool [n,T,H,W], each object's pixels that nothing hides.

    Raises:
        AVSDatasetError: if no placement shows every object.
    """
    pictures = [background.draw(progress, background.size) for progress in moments]
    for attempt in range(MAX_PLACEMENTS):
        shrink = 0.99 ** max(0, attempt - 50)
        motions = [random_motion(rng, sprite, background.size, ranges, shrink) for sprite in sprites]
        composed = [compose(*moment, sprites, motions) for moment in zip(pictures, moments)]
        frames, visible, shares = map(np.stack, zip(*composed))  # T H W 3, T n H W, T n
        if shares.min() >= MIN_VISIBLE_SHARE and visible.mean((2, 3)).min() >= MIN_VISIBLE_AREA:
            return Scene(background, sprites, motions), frames, visible.swapaxes(0, 1)
    names = ", ".join(sprite.name for sprite in sprites)
    size = f"{background.size}x{background.size}"
    raise AVSDatasetError(f"{names}: no placement in {MAX_PLACEMENTS} shows every object at {size} pixels")
