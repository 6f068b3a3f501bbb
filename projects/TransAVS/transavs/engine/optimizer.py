"""AdamW as TransAVS trains with it: learning rates, weight decay and clipping of each kind of parameter."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver import get_default_optimizer_params
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW; BACKBONE_MULTIPLIER on both backbones; no weight decay on norms, positions and level embeddings."""
    no_decay = {"weight_decay": cfg.SOLVER.WEIGHT_DECAY_EMBED}
    embeddings = ("query_positions", "queries", "second_positions", "level_embedding")
    without_decay = (*embeddings, "relative_position_bias_table")  # the last is Swin's
    parameters = get_default_optimizer_params(
        model,
        base_lr=cfg.SOLVER.BASE_LR,
        weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
        lr_factor_func=lambda name: cfg.SOLVER.BACKBONE_MULTIPLIER if "backbone." in name else 1.0,
        overrides=dict.fromkeys(without_decay, no_decay),
    )
    # fused: one pass over the parameters, on a CPU several times faster than the default
    build: Any = optimizer_class(cfg)
    return build(parameters, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY, fused=True)


def optimizer_class(cfg: CfgNode) -> type[torch.optim.Optimizer]:
    """AdamW, with the gradients clipped as SOLVER.CLIP_GRADIENTS says.

    CLIP_TYPE "full_model" clips the norm over all parameters, as Mask2Former does; "norm" and "value", Detectron2's
    own, clip each parameter by itself.

    Raises:
        ValueError: CLIP_TYPE is another.
    """
    settings = cfg.SOLVER.CLIP_GRADIENTS
    if not settings.ENABLED:
        return torch.optim.AdamW
    if settings.CLIP_TYPE not in CLIPPING:
        expected = ", ".join(CLIPPING)
        raise ValueError(f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE is {settings.CLIP_TYPE!r}, expected one of: {expected}")
    clip = CLIPPING[settings.CLIP_TYPE]

    class ClippedAdamW(torch.optim.AdamW):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            # A GradScaler is to unscale the gradients before `step`, which clips them; fused, it would do so after.
            self._step_supports_amp_scaling = False

        def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
            parameters = [parameter for group in self.param_groups for parameter in group["params"]]
            clip(parameters, settings.CLIP_VALUE, settings.NORM_TYPE)
            return super().step(closure)

    return ClippedAdamW


def _clip_each_norm(parameters: Sequence[nn.Parameter], value: float, norm_type: float) -> None:
    for parameter in parameters:
        clip_grad_norm_(parameter, value, norm_type)


CLIPPING: dict[str, Callable[[Sequence[nn.Parameter], float, float], Any]] = {
    "full_model": clip_grad_norm_,
    "norm": _clip_each_norm,
    "value": lambda parameters, value, _: clip_grad_value_(parameters, value),
}
