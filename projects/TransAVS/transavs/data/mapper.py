"""From a dataset dict (one clip on disk) to the model's input."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import transforms as T
from detectron2.projects.point_rend import ColorAugSSDTransform
from detectron2.structures import BitMasks, Instances
from numpy.typing import NDArray
from torch import Tensor

from . import audio
from .audio_embeddings import AudioEmbeddings, configured_embeddings
from .audio_modes import check_audio_mode
from .corrupt_clips import UNREADABLE, CorruptClips
from .mixing import ClipMixing
from .raw_clip import Classes, RawClip
from .reading import ClipReader
from .sound import AudioAugment

FRAME_PADDING = 128  # grey, where a frame is smaller than the crop


class AVSDatasetMapper:
    """Reads a clip's frames, masks and sound, mixes it with others and augments it in training.

    In training only the annotated frames are read, since frames meet only through the audio queries; flip, scale and
    crop are drawn once a clip and are the same for its frames and masks, the colour jitter is drawn for each frame. All
    that is random follows from the global states of Python, numpy and torch, which training sets for each clip: see
    `training_stream`.

    Args:
        is_train (bool): only the annotated frames, with `instances`.
        num_frames (int): T, the seconds of sound a clip has.
        image_format (str): "RGB" or "BGR".
        augmentations (list[T.Augmentation]): geometry; drawn once a clip.
        color_jitter (bool)
        resampler (str): see `audio.resample`.
        frequency_mask, time_mask (int): see `audio.SpecAugment`; 0 is off.
        audio_mode (str): which sound the model hears, one of `audio_modes.AUDIO_MODES`. "silence" and "noise" are made
            here; "shuffled" and "offscreen" are for `replace_audio`, which sees all the clips.
        clips (sequence of dataset dicts): those that a clip may be mixed with.
        mixing (ClipMixing or None): in training.
        targets (str): "union", "instances" or "classes"; see `ClipReader`.
        num_classes (int): of the model; see `ClipReader`.
        max_frames (int): of a training clip; see `ClipReader`.
        audio_augment (AudioAugment or None): in training.
        max_corrupt_share (float): of `clips`, in training: so many may be unreadable; see `CorruptClips`.
        embeddings (AudioEmbeddings or None): features of sounds that stay as they are; their files are not read.
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        num_frames: int,
        augmentations: list[T.Augmentation],
        image_format: str = "RGB",
        color_jitter: bool = False,
        resampler: str = "resampy",
        frequency_mask: int = 0,
        time_mask: int = 0,
        audio_mode: str = "original",
        clips: Sequence[dict[str, Any]] = (),
        mixing: ClipMixing | None = None,
        targets: str = "union",
        num_classes: int = 1,
        max_frames: int = 0,
        audio_augment: AudioAugment | None = None,
        max_corrupt_share: float = 0.0,
        embeddings: AudioEmbeddings | None = None,
    ):
        check_audio_mode(audio_mode)
        if resampler not in audio.RESAMPLERS:
            expected = ", ".join(audio.RESAMPLERS)
            raise ValueError(f"INPUT.AUDIO.RESAMPLER is {resampler!r}, expected one of: {expected}")
        if mixing is not None and not clips:
            raise ValueError("INPUT.MIXING.PROBABILITY is above 0, but the mapper got no `clips` to mix with")
        self.is_train = is_train
        self.num_frames = num_frames
        self.augmentations = T.AugmentationList(augmentations)
        self.color_jitter = ColorAugSSDTransform(image_format) if color_jitter else None
        self.resampler = resampler
        self.spec_augment = audio.SpecAugment(frequency_mask, time_mask) if frequency_mask or time_mask else None
        self.clips = clips
        self.mixing = mixing
        self.targets = targets
        self.audio_augment = audio_augment
        self.corrupt = CorruptClips(clips, max_corrupt_share) if max_corrupt_share else None
        self.read = ClipReader(
            is_train, num_frames, image_format, targets, max_frames, audio_mode, num_classes, embeddings
        )

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True, clips: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        mixing = ClipMixing(cfg.INPUT.MIXING.PROBABILITY, tuple(cfg.INPUT.MIXING.SHARES), cfg.INPUT.AUDIO.RESAMPLER)
        audio_augment = AudioAugment(cfg.INPUT.AUDIO.GAIN, cfg.INPUT.AUDIO.NOISE)
        return {
            "is_train": is_train,
            "num_frames": cfg.MODEL.TRANSAVS.NUM_FRAMES,
            "augmentations": _training_augmentations(cfg) if is_train else _test_augmentations(cfg),
            "image_format": cfg.INPUT.FORMAT,
            "color_jitter": is_train and cfg.INPUT.COLOR_JITTER,
            "resampler": cfg.INPUT.AUDIO.RESAMPLER,
            "frequency_mask": cfg.INPUT.AUDIO.FREQUENCY_MASK if is_train else 0,
            "time_mask": cfg.INPUT.AUDIO.TIME_MASK if is_train else 0,
            "audio_mode": "original" if is_train else cfg.TEST.AUDIO,
            "clips": clips,
            "mixing": mixing if is_train and mixing.probability else None,
            "targets": cfg.INPUT.TARGETS,
            "num_classes": cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            "max_frames": cfg.INPUT.MAX_FRAMES,
            "audio_augment": audio_augment if is_train and audio_augment else None,
            "max_corrupt_share": cfg.DATALOADER.MAX_CORRUPT_SHARE if is_train else 0.0,
            "embeddings": configured_embeddings(cfg, is_train),
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """
        Args:
            dataset_dict (dict): one clip, as `transavs.data.load_avsbench` lists them; it is not changed.

        Returns:
            dict: the dataset dict with `images` uint8 [F, 3, h, w], `audio_log_mel` float32 [t, 1, 96, 64] of the
            clip's t seconds or, from `embeddings`, `audio_embedding` [t, C], `frame_indices` int64 [F], `height` and
            `width` of the frames on disk; in training also `instances`, F `Instances` with `gt_classes` and `gt_masks`,
            and `mix`, what mixing made of the clip ("" for nothing).

        Raises:
            AVSDatasetError, AudioError, UnsafePickleError: a file is missing, unreadable or does not fit; it is named.
                In training, with `max_corrupt_share`: there are more than may be.
        """
        rng = self._generator(dataset_dict)
        clip, raw = self._read(dataset_dict, rng)
        clip = copy.copy(clip)
        if self.mixing is not None:
            assert rng is not None
            raw = self._mix(raw, self.mixing, rng)
        clip["height"], clip["width"] = raw.frames[0].shape[:2]
        targets = [self._targets(*frame) for frame in zip(raw.masks, raw.mask_classes())]
        frames, masks = self._augment(raw.frames, [frame_masks for frame_masks, _ in targets])
        clip["images"] = torch.stack([torch.from_numpy(np.ascontiguousarray(f.transpose(2, 0, 1))) for f in frames])
        clip["frame_indices"] = torch.tensor(raw.frame_indices, dtype=torch.int64)
        if raw.sound.embedding is not None:
            clip["audio_embedding"] = raw.sound.embedding
        else:
            clip["audio_log_mel"] = self._log_mel(raw, rng, clip.get("audio_file_name") or clip["video_id"])
        if self.is_train:
            clip["instances"] = [_sounding_instances(seen, of) for seen, (_, of) in zip(masks, targets)]
            clip["mix"] = raw.mix
        clip.pop("compose", None)  # it has done its work
        return clip

    def _generator(self, clip: dict[str, Any]) -> np.random.Generator | None:
        """The clip's own random numbers; where nothing needs them, numpy's global state is left as it is."""
        if self.is_train and (self.mixing or self.audio_augment or self.read.draws(clip)):
            return _new_generator()
        return None

    def _read(
        self, clip: dict[str, Any], rng: np.random.Generator | None, wanted: Sequence[int] | None = None
    ) -> tuple[dict[str, Any], RawClip]:
        """The clip or, in place of a corrupt one that may be left out, another."""
        while True:
            try:
                return clip, self.read(clip, rng, wanted)
            except UNREADABLE as error:
                if self.corrupt is None:
                    raise
                self.corrupt.add(clip, error)
            rng = rng or _new_generator()
            clip = self._draw(rng)

    def _draw(self, rng: np.random.Generator) -> dict[str, Any]:
        return self.clips[int(rng.integers(len(self.clips)))]

    def _mix(self, raw: RawClip, mixing: ClipMixing, rng: np.random.Generator) -> RawClip:
        def draw() -> RawClip:
            return self._read(self._draw(rng), rng, wanted=raw.frame_indices)[1]

        return mixing(raw, draw, rng)

    def _targets(self, masks: NDArray[np.bool_], classes: Classes) -> tuple[NDArray[np.bool_], Classes]:
        """What sounds in a frame: each object as its own target, or those of a class, the only one or not, as one.

        Takes and gives bool [n, H, W] and int64 [n].
        """
        if self.targets == "instances":
            return masks, classes
        present = np.unique(classes)
        united = [masks[classes == one].any(0) for one in present]
        return np.array(united, dtype=bool).reshape(-1, *masks.shape[1:]), present

    def _augment(
        self, frames: list[NDArray[np.uint8]], masks: list[NDArray[np.bool_]]
    ) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.bool_]]]:
        """Returns: F uint8 [h, w, 3] and F (in testing: 0) bool [n, h, w]"""
        if self.color_jitter is not None:
            frames = [self.color_jitter.apply_image(frame) for frame in frames]
        first = T.AugInput(frames[0])
        transform = self.augmentations(first)  # one draw for the whole clip
        frames = [first.image] + [transform.apply_image(frame) for frame in frames[1:]]
        return frames, [_transformed(frame_masks, transform, first.image.shape[:2]) for frame_masks in masks]

    def _log_mel(self, raw: RawClip, rng: np.random.Generator | None, name: str) -> Tensor:
        sound = raw.sound
        if self.audio_augment is not None:
            assert rng is not None
            sound = self.audio_augment(sound, rng)
        try:
            log_mel = sound.examples(min(raw.num_seconds, self.num_frames), self.resampler)
        except audio.AudioError as error:
            raise audio.AudioError(f"{name}: {error}") from error
        return log_mel if self.spec_augment is None else self.spec_augment(log_mel)


def _new_generator() -> np.random.Generator:
    """It follows from numpy's global state."""
    return np.random.default_rng(np.random.randint(2**63 - 1, dtype=np.int64))


def _training_augmentations(cfg: CfgNode) -> list[T.Augmentation]:
    size = cfg.INPUT.IMAGE_SIZE
    augmentations = []
    if cfg.INPUT.RANDOM_FLIP != "none":
        horizontal = cfg.INPUT.RANDOM_FLIP == "horizontal"
        augmentations.append(T.RandomFlip(horizontal=horizontal, vertical=not horizontal))
    return augmentations + [
        T.ResizeScale(*cfg.INPUT.SCALE_RANGE, size, size),
        T.FixedSizeCrop((size, size), pad=True, pad_value=FRAME_PADDING, seg_pad_value=0),
    ]


def _test_augmentations(cfg: CfgNode) -> list[T.Augmentation]:
    return [T.ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, "choice")]


def _transformed(masks: NDArray[np.bool_], transform: T.Transform, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Args: bool [n, H, W], and the size [h, w] that they get. Returns: bool [n, h, w]"""
    transformed = [transform.apply_segmentation(mask.astype(np.uint8)) for mask in masks]
    return np.array(transformed, dtype=bool).reshape(-1, *size)


def _sounding_instances(masks: NDArray[np.bool_], classes: Classes) -> Instances:
    """The masks bool [n, h, w] that have a pixel left, as `Instances` with their classes, int64 [n]."""
    instances = Instances(masks.shape[1:])
    seen = masks.any((1, 2))
    instances.gt_classes = torch.from_numpy(classes[seen])
    instances.gt_masks = BitMasks(torch.from_numpy(masks[seen]))
    return instances
