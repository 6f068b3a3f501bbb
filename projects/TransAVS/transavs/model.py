"""The meta-architecture: the paper's Fig. 2, top to bottom."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, build_backbone, build_sem_seg_head
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage, has_event_storage
from torch import Tensor, nn
from torch.nn import functional as F

from .data.model_input import ModelInput, complete_input
from .inference import SEMANTIC_MAPS, FrameSizes, Size, segment_frame
from .losses import Criterion, HungarianMatcher, confidence_threshold
from .modeling.activation_checkpointing import checkpoint_blocks
from .modeling.audio import build_audio_backbone
from .modeling.audio_query import build_audio_query_encoder, build_audio_visual_decoder
from .modeling.mask_head import MaskHead, mask_logits

LOG_PERIOD = 20  # iterations from one line of Detectron2's log to the next


class FusedQueries(NamedTuple):
    """What the model has found for F frames, before classes and masks are made of it.

    Args:
        audio_queries (Tensor): A_q, [F, N, d].
        fused (list[Tensor]): F_av after each decoder layer, [F, N, d].
        projected (Tensor): W2 f4, [F, d, h, w].
        padded_size (Size): height and width of the padded frames that h, w cover.
    """

    audio_queries: Tensor
    fused: list[Tensor]
    projected: Tensor
    padded_size: Size


@META_ARCH_REGISTRY.register()
class TransAVS(nn.Module):
    """End-to-end audio-visual segmentation with Transformer (arXiv 2305.07223).

    Frames of all clips in a batch run side by side and meet only in the audio queries, so a clip may come with as few
    of its T frames as are needed.
    """

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        pixel_decoder: nn.Module,
        audio_backbone: nn.Module,
        audio_query_encoder: nn.Module,
        decoder: nn.Module,
        mask_head: MaskHead,
        criterion: Criterion,
        num_frames: int,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        deep_supervision: bool,
        aqdl_confidence: tuple[float, float],
        aqml_confidence: tuple[float, float],
        threshold_step_iters: int,
        mask_threshold: float,
        semantic_map: str = "argmax",
        gradient_checkpointing: bool = False,
    ):
        """
        Args:
            backbone (Backbone): frames to visual features.
            pixel_decoder (nn.Module): those to f1, f2, f3 and f4.
            audio_backbone (nn.Module): log-mel [M, 1, 96, 64] to audio features [M, output_dim].
            audio_query_encoder (nn.Module): audio features to audio queries.
            decoder (nn.Module): audio queries and f1, f2, f3 to fused queries.
            mask_head (MaskHead): those and f4 to classes and masks.
            criterion (Criterion): the training objective.
            num_frames (int): T, seconds of sound in a clip.
            pixel_mean, pixel_std (list[float]): of each channel, of 255.
            deep_supervision (bool): losses on every decoder layer.
            aqdl_confidence, aqml_confidence (tuple[float, float]): start and end of delta1, delta2 (eq. 18).
            threshold_step_iters (int): iterations from one step of them to the next.
            mask_threshold (float): a pixel is foreground where p x m exceeds it.
            semantic_map (str): what `sem_seg` is made by, a key of `inference.SEMANTIC_MAPS`.
            gradient_checkpointing (bool): less memory for more time in training.
        """
        super().__init__()
        if semantic_map not in SEMANTIC_MAPS:
            raise ValueError(f"TEST.SEMANTIC_MAP is {semantic_map!r}, expected one of: {', '.join(SEMANTIC_MAPS)}")
        self.backbone = backbone
        self.pixel_decoder = pixel_decoder
        self.audio_backbone = audio_backbone
        self.audio_query_encoder = audio_query_encoder
        self.decoder = decoder
        self.mask_head = mask_head
        self.criterion = criterion
        self.num_frames = num_frames
        self.pixel_mean: Tensor
        self.pixel_std: Tensor
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), persistent=False)
        self.deep_supervision = deep_supervision
        self.aqdl_confidence = aqdl_confidence
        self.aqml_confidence = aqml_confidence
        self.threshold_step_iters = threshold_step_iters
        self.mask_threshold = mask_threshold
        self.semantic_map = semantic_map
        self.to(memory_format=torch.channels_last)  # convolutions and pooling are faster so, on a CPU by a tenth
        if gradient_checkpointing:
            checkpoint_blocks(self)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        backbone = build_backbone(cfg)
        pixel_decoder = build_sem_seg_head(cfg, backbone.output_shape())
        audio_backbone = build_audio_backbone(cfg)
        keys = cfg.MODEL.TRANSAVS
        num_classes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
        criterion = Criterion(
            num_classes=num_classes,
            dim=keys.HIDDEN_DIM,
            matcher=HungarianMatcher(keys.CLASS_WEIGHT, keys.DICE_WEIGHT, keys.MASK_WEIGHT),
            mask_logits=mask_logits,
            aqdl_weight=keys.AQDL_WEIGHT,
            aqml_weight=keys.AQML_WEIGHT,
            class_weight=keys.CLASS_WEIGHT,
            dice_weight=keys.DICE_WEIGHT,
            mask_weight=keys.MASK_WEIGHT,
            focal_gamma=keys.FOCAL_GAMMA,
            no_object_weight=keys.NO_OBJECT_WEIGHT,
            aqdl_distance_threshold=keys.AQDL_DISTANCE_THRESHOLD,
        )
        return {
            "backbone": backbone,
            "pixel_decoder": pixel_decoder,
            "audio_backbone": audio_backbone,
            "audio_query_encoder": build_audio_query_encoder(cfg, audio_backbone.output_dim),
            "decoder": build_audio_visual_decoder(cfg, pixel_decoder.output_dim),
            "mask_head": MaskHead(keys.HIDDEN_DIM, pixel_decoder.output_dim, num_classes),
            "criterion": criterion,
            "num_frames": keys.NUM_FRAMES,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "deep_supervision": keys.DEEP_SUPERVISION,
            "aqdl_confidence": keys.AQDL_CONFIDENCE,
            "aqml_confidence": keys.AQML_CONFIDENCE,
            "threshold_step_iters": keys.THRESHOLD_STEP_ITERS,
            "mask_threshold": cfg.TEST.MASK_THRESHOLD,
            "semantic_map": cfg.TEST.SEMANTIC_MAP,
            "gradient_checkpointing": cfg.MODEL.GRADIENT_CHECKPOINTING,
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[ModelInput]) -> dict[str, Tensor] | list[dict[str, Any]]:
        """
        Args:
            batched_inputs (list[dict]): one a clip: `images` uint8 [F, 3, H, W]; `audio_log_mel` [t, 1, 96, 64] or
                `audio_embedding` [t, C], t being T or, of a shorter clip, fewer; `frame_indices` int64 [F], which
                second each image shows; `height`, `width` of the output; in training `instances`, F `Instances` with
                `gt_classes` and `gt_masks`. Or `image` [3, H, W], a single frame, as Detectron2's `DefaultPredictor`
                sends it. No sound is taken as silence.

        Returns:
            in training, dict[str, Tensor]: the weighted losses. Else list[dict], one a clip: `sem_seg` float32
            [F, NUM_CLASSES, height, width], probabilities; `instances`: F `Instances` with `pred_masks`, `scores`,
            `pred_classes`, `query_index`. For a single `image` without the leading F.
        """
        clips = [complete_input(clip, self.num_frames) for clip in batched_inputs]
        images = [clip["images"].to(self.device) for clip in clips]
        targets = self._targets(clips, images) if self.training else []  # sent before a GPU has work to finish first
        audio_features = self._audio_features(clips)  # F_a: B T C
        outputs = self.fuse(images, audio_features, *self._frame_positions(clips))

        if self.training:
            return self._losses(outputs, targets)
        return self._results(outputs, clips, batched_inputs)

    def fuse(
        self, images: Sequence[Tensor], audio_features: Tensor, clip_of_frame: Tensor, second_of_frame: Tensor
    ) -> FusedQueries:
        """What classes and masks are made of, from tensors alone: what `forward` and an exported model share.

        Args:
            images (sequence[Tensor]): of each clip, [F_b, 3, H_b, W_b], of 255; F is the sum of F_b.
            audio_features (Tensor): F_a, [B, T, C].
            clip_of_frame (Tensor), second_of_frame (Tensor): int64 [F], in [0, B) and [0, T).

        Returns:
            FusedQueries
        """
        padded_size = self.padded_size(images)
        frames = torch.cat([self._normalize(clip, padded_size) for clip in images])  # F 3 H W
        levels, mask_features = self.pixel_decoder(self.backbone(frames))  # f1, f2, f3 and f4
        audio_queries = self.audio_query_encoder(audio_features, clip_of_frame, second_of_frame)  # A_q: F N d
        fused = self.decoder(audio_queries, levels)  # F_av of each layer: F N d
        return FusedQueries(audio_queries, fused, self.mask_head.project(mask_features), padded_size)

    def padded_size(self, images: Sequence[Tensor]) -> Size:
        """Height and width to which these frames, [..., H, W], are padded, as Detectron2's `ImageList` does."""
        constraints = self.backbone.padding_constraints
        divisor = max(self.backbone.size_divisibility, self.pixel_decoder.size_divisibility)
        divisor = max(1, constraints.get("size_divisibility", divisor))
        square = constraints.get("square_size", 0)
        height, width = (
            (square, square) if square else (max(sides) for sides in zip(*(clip.shape[-2:] for clip in images)))
        )
        return height + -height % divisor, width + -width % divisor

    def _normalize(self, images: Tensor, padded_size: Size) -> Tensor:
        """[F, 3, H, W] of 255 -> [F, 3, *padded_size] of mean 0 and deviation 1; the padding is 0."""
        height, width = images.shape[-2:]
        frames = (images - self.pixel_mean) / self.pixel_std
        return F.pad(frames, (0, padded_size[1] - width, 0, padded_size[0] - height))

    def _frame_positions(self, clips: list[ModelInput]) -> tuple[Tensor, Tensor]:
        """Which clip each frame belongs to, and which second of it the frame shows: int64 [F] each."""
        counts = torch.tensor([len(clip["images"]) for clip in clips])
        clip_of_frame = torch.arange(len(clips)).repeat_interleave(counts)
        seconds = torch.cat([clip["frame_indices"].to(self.device) for clip in clips])
        return clip_of_frame.to(self.device), seconds

    def _audio_features(self, clips: list[ModelInput]) -> Tensor:
        """F_a, [B, T, C]: of an embedding as it is, of log-mel through the audio backbone, all clips at once; 0 in the
        seconds that a clip does not have, as in AVSBench's own models."""
        spectrograms = [clip["audio_log_mel"] for clip in clips if "audio_embedding" not in clip]
        if spectrograms:
            computed = self.audio_backbone(torch.cat([log_mel.to(self.device) for log_mel in spectrograms]))
            of_clip = iter(computed.split([len(log_mel) for log_mel in spectrograms]))
        features = (
            clip["audio_embedding"].to(self.device) if "audio_embedding" in clip else next(of_clip) for clip in clips
        )
        return torch.stack([F.pad(given, (0, 0, 0, self.num_frames - len(given))) for given in features])

    def _targets(self, clips: list[ModelInput], images: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Each frame's objects: classes [n] and masks bool [n, H, W], padded as the batch is."""
        height, width = self.padded_size(images)
        targets = []
        for instances in (frame for clip in clips for frame in clip["instances"]):
            masks = instances.gt_masks.tensor.to(self.device, non_blocking=True)
            padded = F.pad(masks, (0, width - masks.shape[-1], 0, height - masks.shape[-2]))
            targets.append((instances.gt_classes.to(self.device, non_blocking=True), padded))
        return targets

    def _losses(self, outputs: FusedQueries, targets: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        iteration = get_event_storage().iter if has_event_storage() else 0
        delta = [
            confidence_threshold(iteration, start, end, self.threshold_step_iters)
            for start, end in (self.aqdl_confidence, self.aqml_confidence)
        ]
        supervised = outputs.fused if self.deep_supervision else outputs.fused[-1:]
        class_logits = [self.mask_head.class_logits(layer) for layer in supervised]
        with torch.autocast(self.device.type, enabled=False):
            losses = self.criterion(class_logits, supervised, outputs.projected, outputs.audio_queries, targets, *delta)
        if has_event_storage():
            found = {"delta1": delta[0], "delta2": delta[1], **self.criterion.metrics}
            logged = (iteration + 1) % LOG_PERIOD == 0
            # Detectron2's log prints losses, and what is named so. A tensor is fetched when it is logged alone, since
            # that waits for a GPU.
            named = {f"[metric]{k}": float(v) for k, v in found.items() if logged or not isinstance(v, Tensor)}
            get_event_storage().put_scalars(**named, smoothing_hint=False)
        return losses

    def _results(
        self, outputs: FusedQueries, clips: list[ModelInput], batched_inputs: list[ModelInput]
    ) -> list[dict[str, Any]]:
        fused = outputs.fused[-1]
        frames = zip(self.mask_head.class_logits(fused), fused, outputs.projected)
        results = []
        for clip, given in zip(clips, batched_inputs):
            height, width = clip["images"].shape[-2:]
            sizes = FrameSizes(outputs.padded_size, (height, width), (clip["height"], clip["width"]))
            found = [self._segment(*next(frames), sizes) for _ in clip["images"]]
            maps, instances = [soft_map for soft_map, _ in found], [of_frame for _, of_frame in found]
            single = "image" in given
            results.append(
                {
                    "sem_seg": maps[0] if single else torch.stack(maps),
                    "instances": instances[0] if single else instances,
                }
            )
        return results

    def _segment(
        self, class_logits: Tensor, fused: Tensor, projected: Tensor, sizes: FrameSizes
    ) -> tuple[Tensor, Instances]:
        """One frame, from [N, K], [N, d] and [d, h, w]: its soft map and the queries that own its pixels."""
        soft_map, fields = segment_frame(
            class_logits,
            lambda queries: mask_logits(fused[queries], projected),
            sizes,
            self.mask_threshold,
            self.semantic_map,
        )
        return soft_map, Instances(sizes.output, **fields)
