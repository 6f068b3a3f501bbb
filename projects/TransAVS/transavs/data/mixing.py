"""Mixing: the sounding object of another clip is pasted over a clip's frames, and the sound says which one to segment.

A model that is shown one sounding object a frame learns to segment what looks as if it could sound. Here the same
frames come with different sounds and different masks, so that only who listens knows what to segment.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .raw_clip import Classes, RawClip
from .sound import Sound, add_sounds, amplify, coloured_noise, factor_of

KINDS = ("first", "second", "both", "neither")  # whose sound is heard
# What "neither" is, and how often. What sounds off the screen is the hardest to leave alone: with a third of each, a
# model still marked something in 91 % of such frames, in 8 % of those with noise, and in none of the silent ones.
OTHER_SOUNDS = {"silence": 0.15, "noise": 0.2, "offscreen": 0.65}
MIXES = (*KINDS[:3], *OTHER_SOUNDS)
MAX_DRAWS = 10  # of another clip, until one can be used
MAX_PLACEMENTS = 10  # of what is pasted, until both objects are seen
MIN_VISIBLE_SHARE = 0.4  # of each of the first clip's objects, and of what is pasted, in every frame that shows it
MIN_PASTED_AREA = 0.005  # of the frame
PASTED_SCALE = (0.6, 1.5)  # of the object's share of its own frame's height
PASTED_CENTRE = (0.15, 0.85)  # of the frame's sides
GAIN_DECIBELS = (-6.0, 3.0)  # of the second sound, where both are heard
NOISE_DECIBELS = (-40.0, -15.0)  # below full scale
FAINT_DECIBELS = (-90.0, -50.0)  # a recorder's own noise, under half of the silence

Frame = NDArray[np.uint8]
Masks = NDArray[np.bool_]  # [n, H, W]


@dataclass(frozen=True)
class ClipMixing:
    """Mixes a clip with others.

    Where it is known what the clips show, no object is pasted beside one of the same name: nobody could tell which of
    them sounds. Where that is not known, it happens.

    Args:
        probability: that a clip is mixed at all.
        shares: of the mixed clips, how many keep the first sound, take the second one's, have both, or have neither's:
            silence, noise, or the sound of a third clip that is not in the picture.
        resampler: for sounds of different sample rates; see `audio.resample`.

    Raises:
        ValueError: a number is none of these; it names the config's key.
    """

    probability: float
    shares: tuple[float, float, float, float]
    resampler: str = "torchaudio"

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"INPUT.MIXING.PROBABILITY is {self.probability}, expected 0 to 1")
        if len(self.shares) != len(KINDS) or min(self.shares) < 0 or sum(self.shares) <= 0:
            expected = f"{len(KINDS)} numbers, none below 0 and not all 0: {', '.join(KINDS)}"
            raise ValueError(f"INPUT.MIXING.SHARES is {list(self.shares)}, expected {expected}")

    def __call__(self, first: RawClip, draw: Callable[[], RawClip], rng: np.random.Generator) -> RawClip:
        """
        Args:
            first: the clip; it is not changed.
            draw: gives another clip, at random, with frames of the same seconds where it has them.
            rng: all else is drawn from it.

        Returns:
            RawClip: frames of the same seconds, with masks of what is heard and still visible. It is `first` itself
            where chance leaves it alone, or where no clip was drawn that can be pasted.
        """
        if rng.random() >= self.probability:
            return first
        kind = str(rng.choice(KINDS, p=np.divide(self.shares, sum(self.shares))))
        drawn = _draw_pasted(first, draw, rng)
        if drawn is None:  # the frames stay as they are, which only other sounds can do without
            return first if kind != "neither" else _with_other_sound(first, draw, rng)
        second, pasted = drawn
        objects = None
        if first.objects is not None and second.sounding is not None:
            objects = first.objects | second.sounding
        mixed = replace(first, frames=pasted.frames, objects=objects, mix=kind)
        if kind == "neither":
            return _with_other_sound(mixed, draw, rng)
        if kind == "first":
            return replace(mixed, masks=pasted.still_visible)
        if kind == "second":
            return replace(
                mixed, masks=pasted.shown, classes=pasted.classes, sound=second.sound, sounding=second.sounding
            )
        masks = [np.concatenate(pair) for pair in zip(pasted.still_visible, pasted.shown)]
        classes = [np.concatenate(pair) for pair in zip(first.mask_classes(), pasted.classes)]
        sounding = None
        if first.sounding is not None and second.sounding is not None:
            sounding = first.sounding | second.sounding
        return replace(
            mixed, masks=masks, classes=classes, sound=self._both_sounds(first, second, rng), sounding=sounding
        )

    def _both_sounds(self, first: RawClip, second: RawClip, rng: np.random.Generator) -> Sound:
        """The sum of both, turned down where it would exceed full scale."""
        louder_or_softer = amplify(second.sound, factor_of(rng.uniform(*GAIN_DECIBELS)))
        total = add_sounds(first.sound, louder_or_softer, self.resampler)
        peak = 0.0 if total.waveform is None else float(np.abs(total.waveform).max())
        return amplify(total, 1 / peak) if peak > 1 else total


def _draw_pasted(
    first: RawClip, draw: Callable[[], RawClip], rng: np.random.Generator
) -> tuple[RawClip, "Pasted"] | None:
    """A second clip, and the first one's frames with its object in them; None if none of MAX_DRAWS can be used."""
    for _ in range(MAX_DRAWS):
        second = draw()
        pasted = paste(first, second, rng) if _fits(first, second) else None
        if pasted is not None:
            return second, pasted
    return None


def _fits(first: RawClip, second: RawClip) -> bool:
    """Whether `second` is another clip, with other objects, and something sounds in a second that `first` shows.

    A shorter one would fall silent before the first one ends, which no clip of a dataset does.
    """
    if second.num_seconds < first.num_seconds:
        return False
    if first.video_id and first.video_id == second.video_id:
        return False
    if first.objects is not None and second.sounding is not None and first.objects & second.sounding:
        return False
    return any(_sounding(second, index) is not None for index in first.frame_indices)


def _sounding(clip: RawClip, index: int) -> tuple[Frame, Masks, Classes] | None:
    """The frame of a second, and the masks of what sounds in it with their classes, if anything does."""
    if index not in clip.frame_indices:
        return None
    number = clip.frame_indices.index(index)
    masks = clip.masks[number]
    return (clip.frames[number], masks, clip.mask_classes()[number]) if masks.any() else None


# ---- Pictures --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pasted:
    """Frames with an object pasted over them.

    Args:
        frames: F uint8 [H, W, 3].
        still_visible: for each frame bool [n, H, W], the first clip's masks without what is hidden now.
        shown: for each frame bool [m, H, W], the masks of what was pasted; m is 0 where nothing was.
        classes: for each frame int64 [m], the classes of `shown`.
    """

    frames: list[Frame]
    still_visible: list[Masks]
    shown: list[Masks]
    classes: list[Classes]


@dataclass(frozen=True)
class _CutOut:
    """A frame moved to its place in another one, float32 [H, W, 3]; each mask's opacity there, float32 [m, H, W]; and
    the share of the masks that lies inside."""

    frame: NDArray[np.float32]
    opacities: NDArray[np.float32]
    inside: float

    def opacity(self) -> NDArray[np.float32]:
        """Of all masks together: float32 [H, W]."""
        return self.opacities.sum(0).clip(0, 1)

    def solid(self) -> NDArray[np.bool_]:
        """Where more is seen of it than of what lies behind: bool [H, W]."""
        return np.asarray(self.opacity() >= 0.5)

    def shown(self) -> Masks:
        """The solid pixels, each given to one of the masks: bool [m, H, W]."""
        owner = self.opacities.argmax(0)
        return (owner == np.arange(len(self.opacities))[:, None, None]) & self.solid()


def paste(first: RawClip, second: RawClip, rng: np.random.Generator) -> Pasted | None:
    """Pastes what sounds in `second` over the frames of `first`, in each second in which it does.

    It is shifted, scaled and perhaps mirrored, once for the whole clip.

    Returns:
        Pasted, or None if no placement of MAX_PLACEMENTS leaves both to be seen.
    """
    height, width = first.frames[0].shape[:2]
    sources = [_sounding(second, index) for index in first.frame_indices]
    masks = [source[1] for source in sources if source is not None]
    for _ in range(MAX_PLACEMENTS):
        matrix = _random_placement(masks, (height, width), rng)
        cut_outs = [None if source is None else _place(*source[:2], matrix, (height, width)) for source in sources]
        still_visible = [
            before if cut_out is None else before & ~cut_out.solid() for before, cut_out in zip(first.masks, cut_outs)
        ]
        if _all_are_seen(first.masks, still_visible, cut_outs):
            nothing = np.zeros((0, height, width), dtype=bool)
            return Pasted(
                frames=[_blend(frame, cut_out) for frame, cut_out in zip(first.frames, cut_outs)],
                still_visible=still_visible,
                shown=[nothing if cut_out is None else cut_out.shown() for cut_out in cut_outs],
                classes=[np.zeros(0, np.int64) if source is None else source[2] for source in sources],
            )
    return None


def _random_placement(masks: list[Masks], size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """The affine map, float64 [2, 3], that takes the middle of all the masks to a random place in a frame of `size`."""
    rows, columns = np.nonzero(np.any([frame.any(0) for frame in masks], axis=0))
    middle_x, middle_y = (columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2
    scale = rng.uniform(*PASTED_SCALE) * size[0] / masks[0].shape[1]
    across = -scale if rng.random() < 0.5 else scale
    x, y = rng.uniform(*PASTED_CENTRE, size=2) * (size[1], size[0])
    return np.array([[across, 0, x - across * middle_x], [0, scale, y - scale * middle_y]])


def _place(frame: Frame, masks: Masks, matrix: NDArray[np.float64], size: tuple[int, int]) -> _CutOut:
    target = size[1], size[0]  # OpenCV's order
    moved = cv2.warpAffine(frame, matrix, target, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    opacities = np.stack([cv2.warpAffine(mask.astype(np.float32), matrix, target) for mask in masks])
    num_pixels = masks.any(0).sum() * abs(matrix[0, 0] * matrix[1, 1])
    return _CutOut(moved.astype(np.float32), opacities, float(opacities.sum() / max(num_pixels, 1)))


def _all_are_seen(before: list[Masks], after: list[Masks], cut_outs: Iterable[_CutOut | None]) -> bool:
    for whole, visible, cut_out in zip(before, after, cut_outs):
        if cut_out is None:
            continue
        if cut_out.inside < MIN_VISIBLE_SHARE or cut_out.solid().mean() < MIN_PASTED_AREA:
            return False
        if (visible.sum((1, 2)) < MIN_VISIBLE_SHARE * whole.sum((1, 2))).any():
            return False
    return True


def _blend(frame: Frame, cut_out: _CutOut | None) -> Frame:
    if cut_out is None:
        return frame
    opacity = cut_out.opacity()[..., None]
    blended = frame * (1 - opacity) + cut_out.frame * opacity
    return blended.round().clip(0, 255).astype(np.uint8)


# ---- Sounds ----------------------------------------------------------------------------------------------------------


def _with_other_sound(clip: RawClip, draw: Callable[[], RawClip], rng: np.random.Generator) -> RawClip:
    """Silence, noise or, where it is known what the frames show, the sound of something that they do not."""
    clip = replace(clip, masks=[masks[:0] for masks in clip.masks], classes=None, sounding=frozenset())
    shares = {mix: share for mix, share in OTHER_SOUNDS.items() if mix != "offscreen" or clip.objects is not None}
    mix = str(rng.choice(list(shares), p=np.divide(list(shares.values()), sum(shares.values()))))
    if mix == "offscreen":
        third = _draw_stranger(clip, draw)
        if third is not None:
            return replace(clip, sound=third.sound, sounding=third.sounding, mix=mix)
        mix = "silence"
    num_samples = clip.sound.num_samples()
    if mix == "silence" and rng.random() < 0.5:
        waveform = np.zeros(num_samples, np.float32)
    else:
        decibels = rng.uniform(*(NOISE_DECIBELS if mix == "noise" else FAINT_DECIBELS))
        waveform = np.float32(factor_of(decibels)) * coloured_noise(num_samples, rng)
    return replace(clip, sound=Sound(waveform, clip.sound.sample_rate), mix=mix)


def _draw_stranger(clip: RawClip, draw: Callable[[], RawClip]) -> RawClip | None:
    """A clip in which nothing sounds that `clip` shows; None if none of MAX_DRAWS is one."""
    assert clip.objects is not None
    for _ in range(MAX_DRAWS):
        third = draw()
        if third.sounding is not None and not third.sounding & clip.objects:
            return third
    return None
