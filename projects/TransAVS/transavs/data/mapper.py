"""From a dataset dict (one clip on disk) to the model's input."""

import copy
import os
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import detection_utils
from detectron2.data import transforms as T
from detectron2.projects.point_rend import ColorAugSSDTransform
from detectron2.structures import BitMasks, Instances
from PIL import Image
from torch import Tensor

from . import audio
from .audio_modes import check_audio_mode
from .avsbench import AVSDatasetError
from .layout import FilePath
from .safe_pickle import load_tensor

NOISE_RMS = 0.1  # of full scale; for a clip whose own level is not known, having only its log-mel
FRAME_PADDING = 128  # grey, where a frame is smaller than the crop


class AVSDatasetMapper:
    """Reads a clip's frames, masks and sound, and augments them in training.

    In training only the annotated frames are read, since frames meet only through the audio queries; flip, scale and
    crop are drawn once a clip and are the same for its frames and masks, the colour jitter is drawn for each frame.

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
    ):
        check_audio_mode(audio_mode)
        if resampler not in audio.RESAMPLERS:
            expected = ", ".join(audio.RESAMPLERS)
            raise ValueError(f"INPUT.AUDIO.RESAMPLER is {resampler!r}, expected one of: {expected}")
        self.is_train = is_train
        self.num_frames = num_frames
        self.image_format = image_format
        self.augmentations = T.AugmentationList(augmentations)
        self.color_jitter = ColorAugSSDTransform(image_format) if color_jitter else None
        self.resampler = resampler
        self.spec_augment = audio.SpecAugment(frequency_mask, time_mask) if frequency_mask or time_mask else None
        self.audio_mode = audio_mode

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
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
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """
        Args:
            dataset_dict (dict): one clip, as `transavs.data.load_avsbench` lists them; it is not changed.

        Returns:
            dict: the dataset dict with `images` uint8 [F, 3, h, w], `audio_log_mel` float32 [T, 1, 96, 64],
            `frame_indices` int64 [F], `height` and `width` of the frames on disk; in training also `instances`,
            F `Instances` with `gt_classes` and `gt_masks`.

        Raises:
            AVSDatasetError, AudioError, UnsafePickleError: a file is missing, unreadable or does not fit; it is named.
        """
        clip = copy.copy(dataset_dict)
        frame_indices = self._frame_indices(clip)
        frames = self._read_frames(clip, frame_indices)
        clip["height"], clip["width"] = frames[0].shape[:2]
        masks = self._read_masks(clip, frame_indices, frames[0].shape[:2]) if self.is_train else [None] * len(frames)
        frames, augmented_masks = self._augment(frames, masks)
        clip["images"] = torch.stack([torch.from_numpy(np.ascontiguousarray(f.transpose(2, 0, 1))) for f in frames])
        clip["frame_indices"] = torch.tensor(frame_indices, dtype=torch.int64)
        clip["audio_log_mel"] = self._read_log_mel(clip)
        if self.is_train:
            clip["instances"] = [_sounding_instances(mask) for mask in augmented_masks if mask is not None]
        return clip

    def _frame_indices(self, clip: dict[str, Any]) -> list[int]:
        if not self.is_train:
            return list(range(len(clip["file_names"])))
        annotated = [index for index, path in enumerate(clip["sem_seg_file_names"]) if path is not None]
        if not annotated:
            raise AVSDatasetError(
                f"clip {clip['video_id']} ({clip['file_names'][0]}, ...): no frame has a mask, expected at least one "
                "for training"
            )
        return annotated

    def _read_frames(self, clip: dict[str, Any], frame_indices: list[int]) -> list[np.ndarray]:
        """Returns: list of F uint8 [H, W, 3], all of the same size"""
        frames, expected = [], None
        for index in frame_indices:
            path = clip["file_names"][index]
            frame = _read_image(path, "frame", lambda file: detection_utils.read_image(file, self.image_format))
            expected = expected or (clip.get("height") or frame.shape[0], clip.get("width") or frame.shape[1])
            if frame.shape[:2] != expected:
                raise AVSDatasetError(f"{path}: frame is {_show(frame.shape)}, expected {_show(expected)} as its clip")
            frames.append(frame)
        return frames

    def _read_masks(self, clip: dict[str, Any], frame_indices: list[int], size: tuple[int, int]) -> list[np.ndarray]:
        """Returns: list of F bool [H, W]"""
        masks = []
        for index in frame_indices:
            path = clip["sem_seg_file_names"][index]
            mask = read_mask(path)
            if mask.shape != size:
                raise AVSDatasetError(f"{path}: mask is {_show(mask.shape)}, expected {_show(size)} as its frame")
            masks.append(mask)
        return masks

    def _augment(
        self, frames: list[np.ndarray], masks: Sequence[np.ndarray | None]
    ) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
        """Returns: F uint8 [h, w, 3] and F bool [h, w] (or None)"""
        if self.color_jitter is not None:
            frames = [self.color_jitter.apply_image(frame) for frame in frames]
        first = T.AugInput(frames[0])
        transform = self.augmentations(first)  # one draw for the whole clip
        frames = [first.image] + [transform.apply_image(frame) for frame in frames[1:]]
        masks = [
            None if mask is None else transform.apply_segmentation(mask.astype(np.uint8)).astype(bool) for mask in masks
        ]
        return frames, masks

    def _read_log_mel(self, clip: dict[str, Any]) -> Tensor:
        if self.audio_mode == "silence":
            return audio.silent_examples(self.num_frames)
        if self.audio_mode == "noise":
            return self._noise_log_mel(clip)
        path = clip["audio_file_name"]
        if _is_pickle(path):
            log_mel = read_log_mel(path, self.num_frames)
        else:
            log_mel = self._log_mel(*audio.read_waveform(path), path)
        return log_mel if self.spec_augment is None else self.spec_augment(log_mel)

    def _noise_log_mel(self, clip: dict[str, Any]) -> Tensor:
        """White noise as loud as the clip's own sound; the same for the same clip in every run."""
        path, level = clip["audio_file_name"], NOISE_RMS
        if not _is_pickle(path):
            waveform, _ = audio.read_waveform(path)
            level = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
        generator = torch.Generator().manual_seed(zlib.crc32(clip["video_id"].encode()))
        noise = torch.randn(self.num_frames * audio.SAMPLE_RATE, generator=generator)
        return self._log_mel(level * noise, audio.SAMPLE_RATE, path)

    def _log_mel(self, waveform: np.ndarray | Tensor, rate: int, path: FilePath) -> Tensor:
        try:
            return audio.log_mel_examples(waveform, rate, self.num_frames, self.resampler)
        except audio.AudioError as error:
            raise audio.AudioError(f"{path}: {error}") from error


def read_mask(path: FilePath) -> np.ndarray:
    """Reads a mask image of any mode: grey, palette, RGB, black-and-white.

    Returns:
        bool [H, W]: True where the pixel's colour is not black, which is where the frame's object sounds

    Raises:
        AVSDatasetError: the file is missing or not an image.
    """
    return _read_image(path, "mask", _mask_pixels)


def read_log_mel(path: FilePath, num_frames: int) -> Tensor:
    """Reads AVSBench's pickled log-mel.

    Returns:
        float32 tensor [num_frames, 1, 96, 64]: a shorter one is padded with silence, a longer one cut

    Raises:
        UnsafePickleError, AVSDatasetError: the file is not a pickled tensor, or not one of log-mel examples.
    """
    log_mel = load_tensor(path)
    shape = tuple(log_mel.shape)
    if len(shape) != 4 or shape[0] < 1 or shape[1:] != audio.EXAMPLE_SHAPE:
        raise AVSDatasetError(f"{path}: log-mel has shape {list(shape)}, expected {[num_frames, *audio.EXAMPLE_SHAPE]}")
    if log_mel.dtype != torch.float32:
        raise AVSDatasetError(f"{path}: log-mel has dtype {log_mel.dtype}, expected torch.float32")
    if not torch.isfinite(log_mel).all():
        raise AVSDatasetError(f"{path}: log-mel holds NaN or infinite values, expected finite ones")
    return audio.fit_examples(log_mel, num_frames)


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


def _read_image(path: FilePath, what: str, read: Callable[[FilePath], np.ndarray]) -> np.ndarray:
    if not os.path.isfile(path):
        raise AVSDatasetError(f"{path}: no such file, expected a {what}")
    try:
        return read(path)
    # Pillow raises OSError, SyntaxError, ValueError, ... for broken files.
    except Exception as error:
        raise AVSDatasetError(f"{path}: not a readable {what} ({type(error).__name__}: {error})") from error


def _mask_pixels(path: FilePath) -> np.ndarray:
    with Image.open(path) as image:
        # By its colours, not by its indices: a palette may have black anywhere. An alpha channel says nothing here.
        pixels = np.asarray(image.convert("RGB") if image.mode in ("P", "PA", "LA", "RGBA") else image)
    return pixels.astype(bool) if pixels.ndim == 2 else np.asarray(pixels.any(axis=2))


def _sounding_instances(mask: np.ndarray) -> Instances:
    """Args: bool [h, w]. Returns: `Instances` with all the sounding pixels as one, or with none if there are none"""
    instances = Instances(mask.shape)
    masks = torch.from_numpy(np.ascontiguousarray(mask))[None]
    masks = masks if mask.any() else masks[:0]
    instances.gt_classes = torch.zeros(len(masks), dtype=torch.int64)
    instances.gt_masks = BitMasks(masks)
    return instances


def _is_pickle(path: FilePath) -> bool:
    return os.fspath(path).endswith(".pkl")


def _show(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]} pixels (width x height)"
