"""Synthetic clips: a scene of moving objects, what can be heard of them, and the mask of what sounds in each second."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..avsbench import LAYOUTS, NUM_FRAMES, SPLITS
from ..semantic_layout import SEMANTIC_SUBSET
from .scenes import Background, MotionRanges, Scene, Sprite, frame_progresses, random_scene
from .sounds import mix_sounds

# Clips like AVSBench-semantic's of each `label` are like those of which other subset; KINDS has their lengths.
SUBSET_OF_KIND = {"v1s": "s4", "v1m": "ms3", "v2": "ms3"}
SOUNDING_PROBABILITY = 0.6  # of an object in one second of an MS3 clip
SUPERSAMPLING = 2  # objects are pasted at whole pixels; drawn larger and reduced, they neither jump nor have jags


@dataclass
class Clip:
    """`frames` uint8 [T,H,W,3], `waveform` float32 [samples].

    `category` is the first object's name, `objects` has all of them, in alphabetical order. `shown` bool [n,T,H,W]
    holds the visible pixels of each of them, in that order, `sounding` those in the seconds in which it sounds. `scene`
    draws the clip at other times and sizes than its frames'.
    """

    frames: NDArray[np.uint8]
    shown: NDArray[np.bool_]
    sounding: NDArray[np.bool_]
    waveform: NDArray[np.float32]
    category: str
    objects: list[str]
    scene: Scene

    @property
    def masks(self) -> NDArray[np.bool_]:
        """All that sounds in each frame: bool [T,H,W]."""
        return np.any(self.sounding, axis=0)

    @property
    def visible(self) -> NDArray[np.bool_]:
        """All objects in each frame: bool [T,H,W]."""
        return np.any(self.shown, axis=0)


class ClipMaker(Protocol):
    """Makes any number of clips of one kind; the same random numbers give the same clip. Can be pickled."""

    @property
    def names(self) -> list[str]:
        """Of all objects that its clips may show."""
        ...

    def make_clip(self, rng: np.random.Generator, subset: str, split: str, num_seconds: int = NUM_FRAMES) -> Clip:
        """A clip like those of `subset` ("s4" or "ms3") and `split` ("train", "val" or "test")."""
        ...


def clip_generator(seed: int, subset: str, split: str, index: int) -> np.random.Generator:
    """A clip's own random numbers, so that a clip does not depend on who makes the others, and in which order."""
    return np.random.default_rng([seed, [*LAYOUTS, SEMANTIC_SUBSET].index(subset), SPLITS.index(split), index])


def random_schedule(
    rng: np.random.Generator, subset: str, num_objects: int, num_seconds: int = NUM_FRAMES
) -> NDArray[np.bool_]:
    """Which object sounds in which second. Returns: bool [n,T], T being `num_seconds`.

    S4: the first object sounds throughout, the others never. MS3: by chance, with at least one sound in the clip.
    """
    if subset == "s4":
        return np.repeat(np.arange(num_objects)[:, None] == 0, num_seconds, axis=1)
    while True:
        active = rng.random((num_objects, num_seconds)) < SOUNDING_PROBABILITY
        if active.any():
            return active


def make_clip(
    rng: np.random.Generator,
    background: Background,
    sprites: Sequence[Sprite],
    active: NDArray[np.bool_],
    ranges: MotionRanges,
) -> Clip:
    """A whole clip of objects in motion.

    Args:
        background: its `size` is that of the clip's frames.
        sprites: the objects; the first one's name is the clip's category.
        active: bool [n,T], whether an object sounds in a second.
        ranges: how the objects may move.

    Raises:
        AVSDatasetError: if no placement shows every object.
    """
    depth = rng.permutation(len(sprites))  # who is in front must not tell who sounds
    moments = frame_progresses(active.shape[1])
    scene, frames, visible = random_scene(rng, background, [sprites[i] for i in depth], ranges, moments)
    sounding = visible & active[depth][:, :, None, None]
    order = sorted(range(len(scene.sprites)), key=lambda number: scene.sprites[number].name)
    waveform = mix_sounds(rng, [sprite.sound for sprite in sprites], active)
    objects = [scene.sprites[number].name for number in order]
    return Clip(frames, visible[order], sounding[order], waveform, sprites[0].name, objects, scene)


def spread_test_clips(maker: ClipMaker, subset: str, num_clips: int, available: int, seed: int) -> list[Clip]:
    """Some of the `available` test clips of the dataset made with `seed`, at equal distances."""
    indices = [number * available // num_clips for number in range(num_clips)]
    return [maker.make_clip(clip_generator(seed, subset, "test", index), subset, "test") for index in indices]


def draw_in_motion(clips: Sequence[Clip], fps: int, size: int) -> Iterator[NDArray[np.uint8]]:
    """The clips' scenes one after the other, drawn anew at `fps` frames a second. Yields: uint8 [size,size,3]."""
    num_frames = NUM_FRAMES * fps  # of a clip: its frames stand for a second each
    for clip in clips:
        for frame in range(num_frames):
            drawn = clip.scene.draw(frame / num_frames, SUPERSAMPLING * size)
            yield np.asarray(Image.fromarray(drawn).reduce(SUPERSAMPLING))
