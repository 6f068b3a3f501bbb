"""Clips from disk, or from who composes them, into memory: frames, masks and sound, checked against each other."""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from . import audio
from .audio_embeddings import AudioEmbeddings
from .avis import instance_classes, instance_masks
from .errors import AVSDatasetError
from .images import read_frame, read_instances, read_mask
from .layout import FilePath
from .log_mel_files import read_log_mel
from .palette import read_label_map
from .raw_clip import Classes, RawClip
from .sound import Sound

NOISE_RMS = 0.1  # of full scale; for a clip whose own level is not known, having only its log-mel
TARGETS = ("union", "instances", "classes")


class ClipComposer(Protocol):
    """What a dataset dict has under `compose` in place of files: it makes a clip, another one at each call.

    It can be pickled, and is small: each clip of a dataset has one.
    """

    @property
    def annotated(self) -> Sequence[int]:
        """The seconds that can be asked for."""
        ...

    def __call__(self, rng: np.random.Generator, frame_indices: Sequence[int]) -> RawClip:
        """A clip with frames of these seconds, RGB."""
        ...


def annotated_seconds(clip: dict[str, Any]) -> list[int]:
    """The seconds of a dataset dict's clip, from 0, whose frames have a mask."""
    if "compose" in clip:
        composer: ClipComposer = clip["compose"]
        return list(composer.annotated)
    if "annotations" in clip:
        return list(range(len(clip["annotations"])))
    return [second for second, path in enumerate(clip["sem_seg_file_names"]) if path is not None]


@dataclass(frozen=True)
class ClipReader:
    """Reads a dataset dict's clip: in training the annotated frames with their masks, in testing all frames.

    Args:
        is_train: whether masks are read, and annotated frames only.
        num_frames: T, the seconds of sound a clip has.
        image_format: "RGB" or "BGR".
        targets: "union", one mask of all that sounds; "instances", a mask for each object; or "classes", a mask for
            each class of a label map.
        max_frames: of a training clip with more annotated frames, so many at random; 0 takes all.
        audio_mode: one of `audio_modes.AUDIO_MODES`; "silence" and "noise" replace the clip's sound.
        num_classes: of the model, "no object" not counted: where masks have classes, the dataset must have as many.
        embeddings: of sounds, which are then not read.

    Raises:
        ValueError: `targets` or `max_frames` make no sense; it names the config's key.
    """

    is_train: bool
    num_frames: int
    image_format: str = "RGB"
    targets: str = "union"
    max_frames: int = 0
    audio_mode: str = "original"
    num_classes: int = 1
    embeddings: AudioEmbeddings | None = None

    def __post_init__(self) -> None:
        if self.targets not in TARGETS:
            raise ValueError(f"INPUT.TARGETS is {self.targets!r}, expected one of: {', '.join(TARGETS)}")
        if self.targets == "union" and self.num_classes > 1:
            raise ValueError(
                f"INPUT.TARGETS is 'union', one mask of all that sounds, but MODEL.SEM_SEG_HEAD.NUM_CLASSES is "
                f"{self.num_classes}, expected 1; or 'classes'"
            )
        if self.max_frames < 0:
            raise ValueError(f"INPUT.MAX_FRAMES is {self.max_frames}, expected 0 (all) or more")

    def draws(self, clip: dict[str, Any]) -> bool:
        """Whether reading the clip takes random numbers."""
        return "compose" in clip or (self.is_train and self.max_frames > 0)

    def __call__(
        self, clip: dict[str, Any], rng: np.random.Generator | None = None, wanted: Sequence[int] | None = None
    ) -> RawClip:
        """
        Args:
            clip: a dataset dict; it is not changed.
            rng: needed where `draws` says so.
            wanted: the seconds to read, of those that are annotated; where none of them is, as without it.

        Raises:
            AVSDatasetError, AudioError, UnsafePickleError: a file is missing, unreadable or does not fit; it is named.
        """
        if "compose" in clip:
            return self._compose(clip, rng, wanted)
        num_seconds = len(clip["file_names"])
        self._check_length(clip, num_seconds)
        frame_indices = self._frame_indices(clip, rng, wanted)
        frames = self._read_frames(clip, frame_indices)
        masks, classes = self._read_masks(clip, frame_indices, frames[0].shape[:2]) if self.is_train else ([], [])
        category = clip.get("category")
        objects = clip.get("objects") or (category and [category])
        return RawClip(
            frames=frames,
            masks=masks,
            classes=classes,
            frame_indices=frame_indices,
            sound=self.read_sound(clip),
            objects=frozenset(objects) if objects else None,
            sounding=frozenset([category] if category else objects) if objects else None,
            video_id=clip.get("video_id", ""),
            num_seconds=num_seconds,
        )

    def _compose(self, clip: dict[str, Any], rng: np.random.Generator | None, wanted: Sequence[int] | None) -> RawClip:
        if not self.is_train:
            raise AVSDatasetError(
                f"clip {clip['video_id']} is composed anew each time that it is read: expected in DATASETS.TRAIN only"
            )
        assert rng is not None
        composer: ClipComposer = clip["compose"]
        self._check_classes(clip)
        raw = composer(rng, self._choose(annotated_seconds(clip), rng, wanted))
        if self.num_classes == 1:
            raw = replace(raw, classes=None)
        self._check_length(clip, raw.num_seconds)
        if self.image_format == "BGR":
            raw.frames[:] = [np.ascontiguousarray(frame[..., ::-1]) for frame in raw.frames]
        return raw

    def _frame_indices(
        self, clip: dict[str, Any], rng: np.random.Generator | None, wanted: Sequence[int] | None
    ) -> list[int]:
        if not self.is_train:
            return list(range(len(clip["file_names"])))
        annotated = annotated_seconds(clip)
        if not annotated:
            raise AVSDatasetError(
                f"clip {clip['video_id']} ({clip['file_names'][0]}, ...): no frame has a mask, expected at least one "
                "for training"
            )
        return self._choose(annotated, rng, wanted)

    def _choose(self, annotated: list[int], rng: np.random.Generator | None, wanted: Sequence[int] | None) -> list[int]:
        chosen = [index for index in annotated if wanted is None or index in wanted] or annotated
        if not self.max_frames or len(chosen) <= self.max_frames:
            return chosen
        assert rng is not None
        return sorted(rng.choice(chosen, self.max_frames, replace=False).tolist())

    def _read_frames(self, clip: dict[str, Any], frame_indices: list[int]) -> list[NDArray[np.uint8]]:
        """Returns: list of F uint8 [H, W, 3], all of the same size"""
        frames, expected = [], None
        for index in frame_indices:
            path = clip["file_names"][index]
            frame = read_frame(path, self.image_format)
            expected = expected or (clip.get("height") or frame.shape[0], clip.get("width") or frame.shape[1])
            if frame.shape[:2] != expected:
                raise AVSDatasetError(f"{path}: frame is {_show(frame.shape)}, expected {_show(expected)} as its clip")
            frames.append(frame)
        return frames

    def _read_masks(
        self, clip: dict[str, Any], frame_indices: list[int], size: tuple[int, int]
    ) -> tuple[list[NDArray[np.bool_]], list[Classes]]:
        """Returns: lists of F bool [n, H, W] and of F int64 [n], the masks' classes"""
        self._check_classes(clip)
        if "annotations" in clip:
            several = self.num_classes > 1
            frames = [clip["annotations"][index] for index in frame_indices]
            return [instance_masks(frame, *size) for frame in frames], [
                instance_classes(frame, several) for frame in frames
            ]
        by_instance = self.targets == "instances"
        if by_instance and "instance_file_names" not in clip:
            first = clip["sem_seg_file_names"][frame_indices[0]]
            folder = os.path.dirname(first).replace("gt_masks", "gt_instances", 1)
            raise AVSDatasetError(
                f"INPUT.TARGETS is 'instances', but clip {clip['video_id']} has no masks of its single objects: "
                f"expected them in {folder}, as datasets/README.md describes; 'union' needs none"
            )
        masks, classes = [], []
        for index in frame_indices:
            path = clip["instance_file_names" if by_instance else "sem_seg_file_names"][index]
            frame_masks, labels = self._read_frame_masks(path, clip.get("num_labels"))
            if frame_masks.shape[1:] != size:
                found = _show(frame_masks.shape[1:])
                raise AVSDatasetError(f"{path}: mask is {found}, expected {_show(size)} as its frame")
            seen = frame_masks.any((1, 2))
            masks.append(frame_masks[seen])
            classes.append(labels[seen])
        return masks, classes

    def _read_frame_masks(self, path: FilePath, num_labels: int | None) -> tuple[NDArray[np.bool_], Classes]:
        """Returns: bool [n, H, W] and int64 [n], their classes; of labels there are `num_labels`, where it is a map."""
        if self.targets == "instances":
            masks = read_instances(path)
        elif num_labels is None:
            masks = read_mask(path)[None]
        else:
            label_map = read_label_map(path, num_labels)
            if self.targets == "classes":
                labels = np.unique(label_map[label_map > 0]).astype(np.int64)
                return label_map == labels[:, None, None], labels - 1
            masks = (label_map > 0)[None]
        return masks, np.zeros(len(masks), np.int64)

    def _check_length(self, clip: dict[str, Any], num_seconds: int) -> None:
        if num_seconds > self.num_frames:
            raise AVSDatasetError(
                f"clip {clip['video_id']} lasts {num_seconds} s, expected at most {self.num_frames} as "
                "MODEL.TRANSAVS.NUM_FRAMES is"
            )

    def _check_classes(self, clip: dict[str, Any]) -> None:
        """Raises: AVSDatasetError: the targets have classes, the clip's masks none, or not as many as the model."""
        found = clip.get("num_labels")
        if self.targets != "classes" and self.num_classes == 1:
            return
        if found is None:
            raise AVSDatasetError(
                f"INPUT.TARGETS is {self.targets!r} with {self.num_classes} classes, but clip {clip['video_id']} has "
                "masks without classes: expected a dataset with label maps, as datasets/README.md describes"
            )
        if found - 1 != self.num_classes:
            raise AVSDatasetError(
                f"clip {clip['video_id']}: its dataset has {found - 1} classes beside the background, but "
                f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {self.num_classes}"
            )

    def read_sound(self, clip: dict[str, Any]) -> Sound:
        if self.audio_mode == "silence":
            return Sound(log_mel=audio.silent_examples(self.num_frames))
        path = clip["audio_file_name"]
        if self.audio_mode == "noise":
            return self._noise(clip)
        if self.embeddings is not None and (embedding := self.embeddings.of(clip)) is not None:
            return Sound(embedding=embedding)
        return Sound(log_mel=read_log_mel(path, self.num_frames)) if _is_pickle(path) else self._read_waveform(clip)

    def _read_waveform(self, clip: dict[str, Any]) -> Sound:
        """A clip's part of its sound; silence where a video's sound has ended before."""
        start = clip.get("audio_start", 0)
        waveform, rate = audio.read_waveform(clip["audio_file_name"], seconds=start + self.num_frames)
        own = waveform[start * rate :]
        return Sound(own if len(own) else np.zeros(rate, np.float32), rate)

    def _noise(self, clip: dict[str, Any]) -> Sound:
        """White noise as loud as the clip's own sound; the same for the same clip in every run."""
        path, level = clip["audio_file_name"], NOISE_RMS
        if not _is_pickle(path):
            waveform = self._read_waveform(clip).waveform
            assert waveform is not None
            level = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
        generator = torch.Generator().manual_seed(zlib.crc32(clip["video_id"].encode()))
        noise = torch.randn(self.num_frames * audio.SAMPLE_RATE, generator=generator)
        return Sound((level * noise).numpy())


def _is_pickle(path: FilePath) -> bool:
    return os.fspath(path).endswith(".pkl")


def _show(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]} pixels (width x height)"
