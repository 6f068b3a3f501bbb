"""Scenes of synthetic clips: cut-out objects in motion over a background, drawn at any time and any size."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from .data.avsbench import NUM_FRAMES, AVSDatasetError

FRAME_PROGRESSES = [(t + 0.5) / NUM_FRAMES for t in range(NUM_FRAMES)]  # a frame stands for the middle of its second
MIN_VISIBLE_SHARE = 0.5  # of an object's pixels, in every frame
MIN_VISIBLE_AREA = 0.01  # of the frame
MAX_PLACEMENTS = 300


@dataclass
class Sprite:
    """A cut-out object: `image` RGBA, `sound` float32 [samples] at 16 kHz.

    Scenes are decided, and drawn at their own size, with `image`; `original`, the same picture with all its detail, is
    for other sizes.
    """

    name: str
    image: Image.Image
    sound: np.ndarray
    original: Image.Image | None = None

    def __post_init__(self):
        self.num_pixels = int((np.asarray(self.image)[..., 3] >= 128).sum())
        self.original = self.original or self.image


@dataclass(frozen=True)
class MotionRanges:
    """How a maker's objects may move; shares are of the frame, angles in degrees, drift and turn over a whole clip."""

    area: tuple
    max_side: float = 0.75
    max_drift: float = 0.25
    max_growth: float = 1.2
    max_angle: float = 20.0
    max_turn: float = 15.0


@dataclass
class Motion:
    """An object's way through a clip: each pair is the value at its start and at its end."""

    x: tuple
    y: tuple
    scale: tuple
    angle: tuple
    flip: bool

    def at(self, progress):
        return tuple(start + (end - start) * progress for start, end in (self.x, self.y, self.scale, self.angle))


@dataclass
class Scene:
    """Objects in motion over a background.

    Args:
        background: what has `size`, the pixels of a side of the scene's own frames, in which the motions are given, and
            `draw(progress, size) -> uint8 [size,size,3]`.
        sprites: the objects, later ones in front.
        motions: each object's Motion.
    """

    background: Any
    sprites: list
    motions: list

    def draw(self, progress, size=None):
        """One frame, at a time from 0, the clip's start, to 1, its end. Returns: uint8 [size,size,3]."""
        size = size or self.background.size
        zoom = size / self.background.size
        return compose(self.background.draw(progress, size), progress, self.sprites, self.motions, zoom)[0]


def random_motion(rng, sprite, size, ranges, shrink=1.0):
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


def draw_sprite(sprite, motion, progress, size, zoom=1.0):
    """The part of an object that lies in the frame.

    Returns:
        float32 RGBA [h,w,4] in [0,1]; where it lies, its rows and its columns as slices; and the object's number of pixels,
        those outside the frame included.
    """
    x, y, scale, angle = motion.at(progress)
    image = sprite.image if zoom == 1 else sprite.original
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if motion.flip else image
    sides = [max(1, round(side * scale * zoom)) for side in sprite.image.size]
    image = image.resize(sides, Image.Resampling.LANCZOS)
    image = image.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    pixels = np.asarray(image)
    left, top = round(x * zoom - image.width / 2), round(y * zoom - image.height / 2)
    rows, columns = _inside(top, image.height, size), _inside(left, image.width, size)
    seen = pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return seen.astype(np.float32) / 255, (rows, columns), int((pixels[..., 3] >= 128).sum())


def _inside(start, length, size):
    """The part of start ... start + length that lies in 0 ... size, as a slice."""
    first = min(max(0, start), size)
    return slice(first, max(first, min(start + length, size)))


def compose(background, progress, sprites, motions, zoom=1.0):
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


def random_scene(rng, background, sprites, ranges):
    """Place the objects anew until each is sensibly visible in all frames of the clip.

    Silent objects are held to the same rule as sounding ones: how well one sees an object must not tell if it sounds.

    Returns:
        Scene; frames uint8 [T,H,W,3]; visible bool [n,T,H,W], each object's pixels that nothing hides.
    """
    pictures = [background.draw(progress, background.size) for progress in FRAME_PROGRESSES]
    for attempt in range(MAX_PLACEMENTS):
        shrink = 0.99 ** max(0, attempt - 50)
        motions = [random_motion(rng, sprite, background.size, ranges, shrink) for sprite in sprites]
        composed = [compose(*moment, sprites, motions) for moment in zip(pictures, FRAME_PROGRESSES)]
        frames, visible, shares = map(np.stack, zip(*composed))  # T H W 3, T n H W, T n
        if shares.min() >= MIN_VISIBLE_SHARE and visible.mean((2, 3)).min() >= MIN_VISIBLE_AREA:
            return Scene(background, sprites, motions), frames, visible.swapaxes(0, 1)
    names = ", ".join(sprite.name for sprite in sprites)
    size = f"{background.size}x{background.size}"
    raise AVSDatasetError(f"{names}: no placement in {MAX_PLACEMENTS} shows every object at {size} pixels")
