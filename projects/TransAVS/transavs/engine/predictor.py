"""Segments what sounds in a clip, from arrays."""
import numpy as np
import torch

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.data import MetadataCatalog
from detectron2.data.transforms import AugmentationList, AugInput, ResizeShortestEdge
from detectron2.modeling import build_model

from ..config import forget_part_weights
from ..data.audio import log_mel_examples


class AVSPredictor:
    """A trained model, ready for clips: one frame a second and their sound.

    It loads `cfg.MODEL.WEIGHTS` and runs on `cfg.MODEL.DEVICE`. For a single frame without sound Detectron2's own
    `DefaultPredictor` works as well.

    Example:
        >>> predictor = AVSPredictor(cfg)
        >>> result = predictor(frames, waveform, sample_rate)
        >>> sounding = result["sem_seg"][:, 0] > cfg.TEST.MASK_THRESHOLD  # F H W
    """

    def __init__(self, cfg):
        self.cfg = cfg.clone()
        self.cfg.defrost()
        forget_part_weights(self.cfg)
        self.model = build_model(self.cfg).eval()
        DetectionCheckpointer(self.model).load(cfg.MODEL.WEIGHTS)
        if cfg.DATASETS.TEST:
            self.metadata = MetadataCatalog.get(cfg.DATASETS.TEST[0])
        self.resize = ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)

    @torch.no_grad()
    def __call__(self, frames, waveform=None, sample_rate=None):
        """
        Args:
            frames (sequence[ndarray]): F frames, uint8 [H, W, 3], RGB, all of one size; F at most T (5). Frame i shows
                second i of the sound.
            waveform (ndarray): the sound, float [samples] in [-1, 1]; None is silence.
            sample_rate (int): its samples a second.

        Returns:
            dict: `sem_seg` float32 [F, NUM_CLASSES, H, W], probabilities, and `instances`, F `Instances` with
            `pred_masks`, `scores`, `pred_classes`, `query_index`.

        Raises:
            ValueError: frames of different sizes, none or too many, or a sound without a sample rate.
        """
        longest = self.cfg.MODEL.TRANSAVS.NUM_FRAMES
        frames = [np.asarray(frame) for frame in frames]
        shapes = {frame.shape for frame in frames}
        if not 1 <= len(frames) <= longest or len(shapes) != 1 or frames[0].shape[2:] != (3,):
            raise ValueError(f"expected 1 to {longest} frames, all [H, W, 3], found {len(frames)} of {sorted(shapes)}")
        if waveform is not None and sample_rate is None:
            raise ValueError("a waveform needs its sample_rate, in samples a second")
        height, width = frames[0].shape[:2]
        clip = {
            "images": torch.stack([self._image(frame) for frame in frames]),
            "frame_indices": torch.arange(len(frames)),
            "height": height,
            "width": width,
        }
        if waveform is not None:
            clip["audio_log_mel"] = log_mel_examples(
                torch.as_tensor(waveform, dtype=torch.float32), sample_rate, longest,
                resampler=self.cfg.INPUT.AUDIO.RESAMPLER,
            )
        return self.model([clip])[0]

    def _image(self, frame):
        image = AugInput(frame if self.cfg.INPUT.FORMAT == "RGB" else frame[:, :, ::-1])
        AugmentationList([self.resize])(image)
        return torch.as_tensor(np.ascontiguousarray(image.image.transpose(2, 0, 1)))
