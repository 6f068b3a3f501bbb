"""Segments what sounds in a video, from its file or from arrays."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.data.transforms import AugInput, AugmentationList, ResizeShortestEdge
from detectron2.modeling import build_model
from detectron2.structures import Instances
from detectron2.utils.logger import log_first_n
from torch import Tensor

from ..data.audio import log_mel_examples, silent_examples
from ..data.class_names import class_names
from ..modeling.prediction import prepare_for_prediction
from ..tracking import ObjectTracker
from ..video import FrameRate, VideoReader, exact_rate
from ..weights.checkpointer import AVSCheckpointer
from ..weights.pretrained import trained_config
from .ahead import ahead
from .devices import fall_back_to_cpu
from .engines import use_engine
from .windows import Frame, SlidingSound, Windows, frames_at_once, frames_together

logger = logging.getLogger(__name__)


@dataclass
class FrameResult:
    """What sounds in one frame.

    Args:
        time (float): seconds; where in the video the frame stands.
        frame (ndarray): uint8 [H, W, 3], RGB.
        sem_seg (Tensor): float32 [NUM_CLASSES, H, W], probabilities, on the CPU.
        instances (Instances): `pred_masks`, `scores`, `pred_classes`, `query_index`, `object_number`, on the CPU; an
            object keeps its number from frame to frame. Where windows overlap, they are of the window in whose middle
            the frame is the most, as the queries of two do not correspond.
    """

    time: float
    frame: np.ndarray
    sem_seg: Tensor
    instances: Instances


class AVSPredictor:
    """A trained model, ready for videos of any length, size and frame rate, with or without sound.

    It loads `cfg.MODEL.WEIGHTS` and runs on `cfg.MODEL.DEVICE`. The model sees windows of T (5) seconds, the last one
    padded with silence; `cfg.TEST.WINDOW_OVERLAP` and `WINDOW_BLENDING` tell how they overlap. A frame at the time t in
    [k, k + 1) is one of second k, as in training.

    Example:
        >>> predictor = AVSPredictor.from_pretrained("stamps_ms3_lite0")  # or AVSPredictor(cfg)
        >>> for result in predictor.stream("street.mp4"):
        ...     sounding = result.sem_seg[0] > predictor.cfg.TEST.MASK_THRESHOLD  # H W, at result.time

    Attributes:
        class_names (list[str]): the names of what `pred_classes` and the channels of `sem_seg` stand for.
    """

    def __init__(self, cfg: CfgNode, engine: str = "eager"):
        """
        Args:
            cfg (CfgNode)
            engine (str): "eager", "compile" or "onnxruntime", see `use_engine`: the same results to 1e-4.

        Raises:
            ValueError: there is no such engine, or it is not for MODEL.DEVICE.
            WeightsError: the weights cannot be had or read.
        """
        self.cfg = cfg.clone()
        self.model = build_model(self.cfg).eval()
        AVSCheckpointer(self.model, cfg=cfg).load(cfg.MODEL.WEIGHTS)
        prepare_for_prediction(self.model)
        use_engine(self.model, self.cfg, engine)
        self.class_names = class_names(cfg)
        if cfg.DATASETS.TEST:
            self.metadata = MetadataCatalog.get(cfg.DATASETS.TEST[0])
        self.resize = ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str],
        device: str | None = None,
        threshold: float | None = None,
        engine: str = "eager",
    ) -> "AVSPredictor":
        """A trained model by its name.

        Args:
            model: one of `transavs.model_zoo.trained_models()`; or the folder or the address of one, see
                `transavs.weights.pretrained.trained_config`.
            device: in place of MODEL.DEVICE, which is the GPU; the CPU where there is none.
            threshold: in place of TEST.MASK_THRESHOLD, in [0, 1): a pixel sounds above it.
            engine: as for the class.

        Raises:
            WeightsError: there is no such model, or it cannot be had or read.
        """
        cfg = trained_config(model)
        if device is None:
            fall_back_to_cpu(cfg)
        else:
            cfg.MODEL.DEVICE = str(device)
        if threshold is not None:
            cfg.TEST.MASK_THRESHOLD = float(threshold)
        return cls(cfg, engine)

    def __call__(
        self,
        video: str | os.PathLike[str] | Sequence[np.ndarray],
        waveform: np.ndarray | None = None,
        sample_rate: int | None = None,
        fps: FrameRate = 1,
    ) -> dict[str, Any]:
        """The whole video at once.

        Args:
            video (str, PathLike or sequence[ndarray]): a video file; or F frames, uint8 [H, W, 3], RGB, of one size.
            waveform (ndarray): with frames, their sound, float [samples] in [-1, 1]; None is silence.
            sample_rate (int): its samples a second.
            fps (float or "source"): frames a second. Of a file, so many are segmented, "source" being all. Of given
                frames, the i-th one stands at i / fps seconds.

        Returns:
            dict: `sem_seg` float32 [F, NUM_CLASSES, H, W], probabilities; `instances`, F `Instances` with `pred_masks`,
            `scores`, `pred_classes`, `query_index`, `object_number`; `times`, F seconds. All on the CPU.

        Raises:
            VideoError: of a file that cannot be read.
            ValueError: frames of different sizes or none, a sound without a sample rate, or arguments that do not go
                together.
        """
        if isinstance(video, (str, os.PathLike)):
            if waveform is not None:
                raise ValueError("a waveform goes with frames; a video file brings its own sound")
            results = self.stream(video, fps)
        else:
            if fps == "source":
                raise ValueError('fps="source" goes with a video file; of given frames it must be a number')
            results = self._segment_arrays(video, waveform, sample_rate, exact_rate(fps))
        # The frames themselves are not kept.
        parts = [(result.sem_seg, result.instances, result.time) for result in results]
        sem_seg, instances, times = zip(*parts)
        return {"sem_seg": torch.stack(sem_seg), "instances": list(instances), "times": list(times)}

    def stream(self, video: str | os.PathLike[str] | VideoReader, fps: FrameRate = 1) -> Iterator[FrameResult]:
        """One frame's result after the other; memory does not grow with the video's length.

        Decoding and model work ahead in threads of their own, by as many frames as a clip has, while results are used.

        Args:
            video (str, PathLike or VideoReader)
            fps (float or "source"): frames a second to segment; "source" is all of them.

        Returns:
            iterator[FrameResult]

        Raises:
            VideoError: at once, or later where the file turns out to be broken.
        """
        reader = video if isinstance(video, VideoReader) else VideoReader(video)
        windows = self._windows(reader.num_seconds(fps))  # checks fps too
        if not reader.has_audio:
            logger.warning("%s: has no sound: it is taken as silence.", reader.path)
        sound = SlidingSound(reader.audio_blocks(), reader.audio_rate)
        depth = frames_at_once(reader.height, reader.width, windows.length)

        def results() -> Iterator[FrameResult]:
            with closing(ahead(reader.sample(fps), depth)) as frames:
                yield from self._segment(frames, sound, windows)

        return ahead(results(), depth)

    def _segment_arrays(
        self, video: Sequence[np.ndarray], waveform: np.ndarray | None, sample_rate: int | None, fps: Fraction
    ) -> Iterator[FrameResult]:
        frames = [np.asarray(frame) for frame in video]
        shapes = {frame.shape for frame in frames}
        if not frames or len(shapes) != 1 or frames[0].shape[2:] != (3,):
            raise ValueError(f"expected 1 or more frames, all [H, W, 3], found {len(frames)} of {sorted(shapes)}")
        if waveform is not None and sample_rate is None:
            raise ValueError("a waveform needs its sample_rate, in samples a second")
        if waveform is None:
            log_first_n(logging.WARNING, "An input has no sound: it is taken as silence.", n=1, key="message")
        elif np.ndim(waveform) != 1:
            raise ValueError(f"waveform must be mono, [samples], found {list(np.shape(waveform))}")
        sound = SlidingSound(iter([] if waveform is None else [np.asarray(waveform)]), sample_rate)
        timed = [(number / fps, frame) for number, frame in enumerate(frames)]
        return self._segment(timed, sound, self._windows(int(timed[-1][0]) + 1))

    def _windows(self, num_seconds: int) -> Windows:
        keys = self.cfg.TEST
        return Windows(num_seconds, self.cfg.MODEL.TRANSAVS.NUM_FRAMES, keys.WINDOW_OVERLAP, keys.WINDOW_BLENDING)

    def _segment(self, timed_frames: Iterable[Frame], sound: SlidingSound, windows: Windows) -> Iterator[FrameResult]:
        """
        Args:
            timed_frames (iterable[tuple[Fraction, ndarray]]): seconds, never decreasing, and uint8 [H, W, 3].
            sound (SlidingSound)
            windows (Windows)

        Yields:
            FrameResult
        """
        tracker = ObjectTracker()
        features: dict[int, Tensor] = {}  # of the windows under way, by their first second
        for chunk in frames_together(timed_frames, windows.length):
            seconds = [int(time) for time, _ in chunk]
            features = {start: known for start, known in features.items() if start + windows.length > seconds[0]}
            for start in sorted({start for second in seconds for start in windows.starts_of(second)} - set(features)):
                heard = windows.seconds_heard(start)
                features[start] = self._audio_features(*sound.cut(start, start + heard), heard)
            for result in self._segment_chunk(chunk, seconds, features, windows):
                found = result.instances
                found.object_number = tracker.update(
                    result.time, found.pred_masks, found.pred_classes, found.query_index
                )
                yield result

    @torch.no_grad()
    def _audio_features(self, waveform: np.ndarray | None, rate: int | None, length: int) -> Tensor:
        """F_a of a window's `length` seconds, [length, C]: computed once, however many frames are seen with it."""
        if waveform is None or rate is None:
            log_mel = silent_examples(length)
        else:
            samples = torch.as_tensor(waveform, dtype=torch.float32)
            log_mel = log_mel_examples(samples, rate, length, resampler=self.cfg.INPUT.AUDIO.RESAMPLER)
        return self.model.audio_backbone(log_mel.to(self.model.device))

    @torch.no_grad()
    def _segment_chunk(
        self, chunk: list[Frame], seconds: list[int], features: dict[int, Tensor], windows: Windows
    ) -> list[FrameResult]:
        """A few frames in all the windows that they lie in; `features` are the windows' by their first second."""
        frames = [frame for _, frame in chunk]
        images = [self._image(frame) for frame in frames]
        height, width = frames[0].shape[:2]
        maps: dict[int, Tensor] = {}  # of each frame, by its number
        instances: list[Instances | None] = [None] * len(chunk)
        weights, heaviest = [0] * len(chunk), [0] * len(chunk)
        for start in sorted(features):
            inside = [number for number, second in enumerate(seconds) if start in windows.starts_of(second)]
            if not inside:
                continue
            seen = torch.stack([images[number] for number in inside])
            offsets = torch.tensor([seconds[number] - start for number in inside])
            outputs = self._run_model(seen, offsets, features[start], (height, width))
            for number, (soft_map, found) in zip(inside, outputs):
                weight = windows.weight(seconds[number] - start)
                maps[number] = maps[number] + weight * soft_map if number in maps else weight * soft_map
                weights[number] += weight
                nearness = windows.nearness(seconds[number] - start)
                if nearness > heaviest[number]:
                    heaviest[number], instances[number] = nearness, found.to("cpu")
        return [
            FrameResult(float(time), frame, maps[number] / weights[number], instances[number])
            for number, (time, frame) in enumerate(chunk)
        ]

    def _run_model(
        self, images: Tensor, seconds: Tensor, audio_features: Tensor, size: tuple[int, int]
    ) -> list[tuple[Tensor, Instances]]:
        """Each frame's soft map, on the CPU, and objects; one frame at a time where a GPU lacks the memory for all."""
        clip = {
            "images": images,
            "audio_embedding": audio_features,
            "frame_indices": seconds,
            "height": size[0],
            "width": size[1],
        }
        try:
            output = self.model([clip])[0]
            return list(zip(output["sem_seg"].cpu(), output["instances"]))
        except torch.OutOfMemoryError:
            if len(images) == 1:
                raise
        # Outside of `except`, so that what the failed attempt holds is free.
        logger.warning("%d frames at once are too many for the GPU's memory: one at a time is tried.", len(images))
        parts = zip(images.split(1), seconds.split(1))
        return [found for image, second in parts for found in self._run_model(image, second, audio_features, size)]

    def _image(self, frame: np.ndarray) -> Tensor:
        image = AugInput(frame if self.cfg.INPUT.FORMAT == "RGB" else frame[:, :, ::-1])
        AugmentationList([self.resize])(image)
        return torch.as_tensor(np.ascontiguousarray(image.image.transpose(2, 0, 1)))
