"""What a config costs: weights, FLOPs, seconds a clip beside the backbone's own, and memory."""

import copy
import warnings
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from detectron2.utils.analysis import FlopCountAnalysis
from torch import nn

from ..data.audio import EXAMPLE_SHAPE
from ..model import TransAVS
from ..modeling.prediction import prepare_for_prediction
from .measuring import DEVICE, extra_memory, in_turn

HEADERS = [
    "config",
    "pixel decoder",
    "weights (M)",
    "GFLOPs",
    "frames",
    "forward (s)",
    "of the backbone's",
    "clips/s",
    "peak (MiB)",
    "training: frames",
    "forward + backward (s)",
    "of the backbone's",
    "peak (MiB)",
]


def prepare(cfg: CfgNode) -> CfgNode:
    """The config for random weights, on the GPU if there is one."""
    cfg = cfg.clone()
    cfg.MODEL.DEVICE = DEVICE.type
    return cfg


def random_clip(cfg: CfgNode, num_frames: int) -> dict[str, Any]:
    """A clip of noise with one object in each frame."""
    side = cfg.INPUT.IMAGE_SIZE
    mask = torch.zeros(1, side, side, dtype=torch.bool)
    mask[:, side // 4 : side // 2, side // 4 : side // 2] = True
    target = Instances((side, side), gt_classes=torch.zeros(1, dtype=torch.int64), gt_masks=BitMasks(mask))
    return {
        "images": torch.randint(0, 256, (num_frames, 3, side, side), dtype=torch.uint8),
        "audio_log_mel": torch.randn(cfg.MODEL.TRANSAVS.NUM_FRAMES, *EXAMPLE_SHAPE),
        "frame_indices": torch.arange(num_frames),
        "height": side,
        "width": side,
        "instances": [target] * num_frames,
    }


def annotated_frames(cfg: CfgNode) -> int:
    """Frames of a training clip: S4 annotates one."""
    subset = MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).subset
    return 1 if subset == "s4" else cfg.MODEL.TRANSAVS.NUM_FRAMES


@torch.no_grad()
def measure_inference(model: TransAVS, clip: dict[str, Any], runs: int) -> tuple[float, float, float]:
    """Seconds of the model as the predictor runs it and of its backbone as it is built, and the model's extra MiB."""
    images = clip["images"].float().to(model.device)
    backbone, model = model.eval().backbone, copy.deepcopy(model)
    prepare_for_prediction(model)
    seconds, backbone_seconds = in_turn(runs, lambda: model([clip]), lambda: backbone(images))
    return seconds, backbone_seconds, extra_memory(lambda: model([clip]))


def measure_training(model: TransAVS, clip: dict[str, Any], runs: int) -> tuple[float, float, float]:
    """As `measure_inference`, forward and backward."""
    images = clip["images"].float().to(model.device)
    model.train()

    def backbone_alone() -> None:
        model.zero_grad()
        torch.stack([feature.mean() for feature in model.backbone(images).values()]).sum().backward()

    seconds, backbone_seconds = in_turn(runs, lambda: training_step(model, clip), backbone_alone)
    model.zero_grad()
    return seconds, backbone_seconds, extra_memory(lambda: training_step(model, clip))


def training_step(model: TransAVS, clip: dict[str, Any]) -> None:
    """Forward and backward, of a model in training."""
    model.zero_grad()
    torch.stack(list(model([clip]).values())).sum().backward()


@torch.no_grad()
def count_flops(model: TransAVS, clip: dict[str, Any]) -> float:
    """Multiply-adds of a clip's inference, as fvcore counts them, in billions."""
    tensors = {key: value for key, value in clip.items() if isinstance(value, torch.Tensor)}  # all that can be traced
    analysis = FlopCountAnalysis(_WithMaskFeatures(model.eval()), ([tensors],))
    analysis.set_op_handle("aten::scaled_dot_product_attention", _attention_flops)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # the trace is for this clip alone
        return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total() / 1e9


class _WithMaskFeatures(nn.Module):
    """Gives the mask features too: with random weights nothing sounds, and a trace leaves out what no output needs."""

    def __init__(self, model: TransAVS):
        super().__init__()
        self.model = model

    def forward(self, clips: list[dict[str, Any]]) -> tuple[Any, ...]:
        kept: list[torch.Tensor] = []
        with self.model.mask_head.mask_projection.register_forward_hook(lambda *given: kept.append(given[-1])):
            return self.model(clips), *kept


def _attention_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Queries x keys x width, for the scores and once more for the values."""
    *batch, queries, width = inputs[0].type().sizes()
    keys = inputs[1].type().sizes()[-2]
    return 2 * torch.Size(batch).numel() * queries * keys * width


def measure_clip(cfg: CfgNode, name: str, runs: int) -> list[Any]:
    """A row of the table of HEADERS.

    Args:
        cfg: as `prepare` gives it.
        name: the config's, for the table.
        runs: timed runs of each, after one that is not counted.
    """
    model = build_model(cfg)
    weights = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    clip, training_clip = random_clip(cfg, cfg.MODEL.TRANSAVS.NUM_FRAMES), random_clip(cfg, annotated_frames(cfg))
    row = [name, cfg.MODEL.SEM_SEG_HEAD.NAME, f"{weights:.1f}", f"{count_flops(model, clip):.1f}"]
    seconds, backbone, memory = measure_inference(model, clip, runs)
    row += [len(clip["images"]), f"{seconds:.3f}", f"{seconds / backbone:.2f}", f"{1 / seconds:.2f}", f"{memory:.0f}"]
    seconds, backbone, memory = measure_training(model, training_clip, runs)
    return row + [len(training_clip["images"]), f"{seconds:.3f}", f"{seconds / backbone:.2f}", f"{memory:.0f}"]
