"""Data without an end: Stamps composed in the data loader, another scene each time that a clip is read.

With more photographs than the dataset on disk, and with smaller and larger objects. For training only: scores are taken
on clips that stay the same.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ..avsbench import AVSDatasetError
from ..layout import NUM_FRAMES
from ..raw_clip import RawClip
from ..registration import register_clips
from ..semantic_layout import KINDS, SEMANTIC_SUBSET
from ..sound import Sound
from .backgrounds import Pan, Photograph, load_backgrounds, read_photograph
from .clips import SUBSET_OF_KIND, random_schedule
from .debian import PackageError
from .scenes import MotionRanges, Sprite, frame_progresses, random_scene
from .sounds import SAMPLE_RATE, mix_sounds
from .sources import stamps_sources, training_photographs
from .stamps import SIZE, load_stamps, random_stamps

NUM_CLIPS = 600  # that the dataset is said to have; each is another scene whenever it is read
RANGES = MotionRanges(area=(0.03, 0.35), max_side=0.9, max_angle=25.0)  # wider than those of the clips on disk

Folder = str | os.PathLike[str] | None


@dataclass(frozen=True)
class StampsComposer:
    """Composes clips of stamps over photographs: what a dataset dict has under `compose`.

    Its pictures and sounds are read at the first use, once in a process.

    Args:
        subset: "s4", one sounding object and 0-2 silent ones, in one frame of any moment; "ms3", 2-3 objects that
            sound by chance; or a kind of AVSBench-semantic's clips: see `SUBSET_OF_KIND`.
        stamps_root, backgrounds_root: as `stamps_sources` takes them. Of the photographs those that train Stamps are
            taken; with Debian's, `training_photographs` as well.
        size: pixels of a side of the frames.
    """

    subset: str
    stamps_root: Folder = None
    backgrounds_root: Folder = None
    size: int = SIZE

    @property
    def rules(self) -> str:
        """ "s4" or "ms3"."""
        return SUBSET_OF_KIND.get(self.subset, self.subset)

    @property
    def num_seconds(self) -> int:
        return KINDS[self.subset].seconds if self.subset in KINDS else NUM_FRAMES

    @property
    def annotated(self) -> Sequence[int]:
        return (0,) if self.rules == "s4" else range(self.num_seconds)

    def sources(self) -> tuple[list[Sprite], list[Photograph]]:
        """The stamps and the photographs.

        Raises:
            AVSDatasetError: they cannot be had, or a folder holds too little.
        """
        roots = [None if root is None else os.fspath(root) for root in (self.stamps_root, self.backgrounds_root)]
        return _read_sources(*roots, self.size)

    def __call__(self, rng: np.random.Generator, frame_indices: Sequence[int]) -> RawClip:
        """A new clip, with frames of these seconds."""
        stamps, photographs = self.sources()
        classes = {sprite.name: number for number, sprite in enumerate(stamps)}
        sprites = random_stamps(rng, stamps, self.rules)
        active = random_schedule(rng, self.rules, len(sprites), self.num_seconds)
        depth = rng.permutation(len(sprites))  # who is in front must not tell who sounds
        # S4 has one frame a clip, all of whose seconds sound alike: any moment will do.
        progresses = frame_progresses(self.num_seconds)
        moments = [rng.random()] if self.rules == "s4" else [progresses[index] for index in frame_indices]
        background = Pan(rng, photographs, self.size)
        _, frames, visible = random_scene(rng, background, [sprites[i] for i in depth], RANGES, moments)
        waveform = mix_sounds(rng, [sprite.sound for sprite in sprites], active)
        numbers = np.array([classes[sprites[i].name] for i in depth], np.int64)
        heard = [active[depth, index] for index in frame_indices]
        return RawClip(
            frames=list(frames),
            masks=[visible[sounds, number] for number, sounds in enumerate(heard)],
            classes=[numbers[sounds] for sounds in heard],
            num_seconds=self.num_seconds,
            frame_indices=list(frame_indices),
            sound=Sound(waveform, SAMPLE_RATE),
            objects=frozenset(sprite.name for sprite in sprites),
            sounding=frozenset(sprite.name for sprite, seconds in zip(sprites, active) if seconds.any()),
        )


@lru_cache(maxsize=4)
def _read_sources(
    stamps_root: str | None, backgrounds_root: str | None, size: int
) -> tuple[list[Sprite], list[Photograph]]:
    try:
        sources = stamps_sources(stamps_root, backgrounds_root)
        more = training_photographs() if backgrounds_root is None else []
    except PackageError as error:
        raise AVSDatasetError(
            f"{error}; stamps are composed of its files: register_composed_dataset takes folders of your own"
        ) from error
    # A stamp in full detail is for frames of other sizes, and takes more memory than all the rest.
    stamps = [replace(sprite, original=None) for sprite in load_stamps(sources.stamps.folder, size)]
    photographs = load_backgrounds(sources.backgrounds.folder, size)["train"]
    return stamps, photographs + [read_photograph(path, size) for path in more]


def composed_clips(composer: StampsComposer, num_clips: int = NUM_CLIPS) -> list[dict[str, Any]]:
    """Dataset dicts whose clips `composer` makes; its pictures and sounds are read here, before workers share them.

    Clips of "ss" are of AVSBench-semantic's three kinds in turn.

    Raises:
        AVSDatasetError: they cannot be had.
    """
    stamps, _ = composer.sources()
    kinds = [replace(composer, subset=kind) for kind in KINDS] if composer.subset == SEMANTIC_SUBSET else [composer]
    labels = {"num_labels": len(stamps) + 1} if composer.subset == SEMANTIC_SUBSET else {}
    return [
        {"video_id": f"composed_{index:05d}", "compose": kinds[index % len(kinds)], **labels}
        for index in range(num_clips)
    ]


def _class_names(composer: StampsComposer) -> list[str]:
    """The stamps' names. Raises: FileNotFoundError: they cannot be had."""
    try:
        return [sprite.name for sprite in composer.sources()[0]]
    except AVSDatasetError as error:
        raise FileNotFoundError(str(error)) from error


def register_composed_dataset(
    name: str,
    subset: str,
    stamps_root: Folder = None,
    backgrounds_root: Folder = None,
    size: int = SIZE,
    num_clips: int = NUM_CLIPS,
) -> None:
    """Make clips that are composed in the loader known to Detectron2 under `name`, for DATASETS.TRAIN.

    Nothing is read here: what the clips are composed of is read, and downloaded where need be, at the first use.

    Args:
        name: for the config.
        subset: "s4", "ms3" or "ss".
        stamps_root, backgrounds_root, size: see `StampsComposer`.
        num_clips: how many clips the dataset counts, beside others of DATASETS.TRAIN.
    """
    composer = StampsComposer(subset, stamps_root, backgrounds_root, size)
    list_classes = partial(_class_names, composer) if subset == SEMANTIC_SUBSET else None
    register_clips(
        name,
        partial(composed_clips, composer, num_clips),
        list_classes,
        subset=subset,
        split="train",
        training_only=True,
    )
