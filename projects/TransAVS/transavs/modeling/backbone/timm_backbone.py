"""Any timm model that has features at strides 4, 8, 16 and 32 as visual backbone."""

import difflib
from typing import Any, cast

import timm
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from timm.layers import DropPath, LayerNorm2d
from timm.models.swin_transformer import SwinTransformerBlock
from timm.models.swin_transformer_v2 import SwinTransformerV2Block
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = {"res2": 4, "res3": 8, "res4": 16, "res5": 32}


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> "TimmBackbone":
    """What `cfg.MODEL.TIMM` describes."""
    return TimmBackbone(cfg, input_shape)


class TimmBackbone(Backbone):
    """Frames to `res2` .. `res5`, a timm model's last features at strides 4, 8, 16 and 32.

    `model` is timm's, without head and last norm and under its own names: timm's `layers.0.blocks.0.norm1.weight` is
    `model.layers.0.blocks.0.norm1.weight` here. `norms` holds what `output_norm` adds; Mask2Former's norm0 .. norm3.

    Swin and Swin V2 take frames of any size. Other models that timm fixes to a size (CoAtNet, MaxViT, ...) do not.
    """

    @configurable
    def __init__(
        self,
        *,
        model_name: str,
        drop_path_rate: float = 0.0,
        output_norm: bool = False,
        freeze_at: int = 0,
        gradient_checkpointing: bool = False,
    ) -> None:
        """
        Args:
            model_name: timm's, with or without the tag of its weights.
            drop_path_rate: probability of stochastic depth at the last block; it grows linearly up to there.
            output_norm: a learned LayerNorm on each feature, for models whose features are bare sums of
                residuals (Swin, ConvNeXt).
            freeze_at: 0 trains all, 1 freezes the stem, 2 also res2, ... 5 all; with batch norm's statistics.
            gradient_checkpointing: less memory, more time; batch norm's statistics then move twice a step.

        Raises:
            ValueError: timm has no such model, or none of such strides.
        """
        super().__init__()
        _check_name(model_name)
        options: dict[str, Any] = (
            {"drop_path_rate": drop_path_rate} if drop_path_rate else {}
        )  # some models have no such option
        if timm.models.is_model_in_modules(model_name, ("swin_transformer", "swin_transformer_v2")):
            options["dynamic_img_size"] = True
        self.model = timm.create_model(model_name, pretrained=False, **options)
        full_model = self.model.state_dict().keys()
        self.indices = _feature_indices(self.model, model_name)
        self.model.prune_intermediate_layers(self.indices, prune_norm=True, prune_head=True)
        self.unused_names = full_model - self.model.state_dict().keys()  # the head's and the last norm's
        for module in self.model.modules():
            if isinstance(module, DropPath) and not drop_path_rate:
                module.drop_prob = 0.0  # timm's default for Swin is 0.1
            if type(module) in ANY_SIZE_BLOCKS:
                module.__class__ = ANY_SIZE_BLOCKS[type(module)]
        self.model.set_grad_checkpointing(gradient_checkpointing)

        features = [self.model.feature_info[index] for index in self.indices]
        self._out_features, self._out_feature_strides = list(STRIDES), STRIDES
        self._out_feature_channels = {name: feature["num_chs"] for name, feature in zip(STRIDES, features)}
        self.norms = nn.ModuleDict({n: LayerNorm2d(c) for n, c in self._out_feature_channels.items() if output_norm})
        self._freeze(model_name, [feature["module"] for feature in features], freeze_at)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        return {
            "model_name": cfg.MODEL.TIMM.NAME,
            "drop_path_rate": cfg.MODEL.TIMM.DROP_PATH_RATE,
            "output_norm": cfg.MODEL.TIMM.OUTPUT_NORM,
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT,
            "gradient_checkpointing": cfg.MODEL.GRADIENT_CHECKPOINTING,
        }

    @property
    def size_divisibility(self) -> int:
        return max(STRIDES.values())

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        """
        Args:
            frames: [F, 3, H, W], normalised; sides that are no multiples of 32 are padded with zeros.

        Returns:
            dict[str, Tensor]: `res2` .. `res5`, each [F, C, H / stride, W / stride].
        """
        rows, columns = (-side % self.size_divisibility for side in frames.shape[-2:])
        frames = F.pad(frames, (0, columns, 0, rows))
        features = self.model.forward_intermediates(frames, self.indices, output_fmt="NCHW", intermediates_only=True)
        return {name: self.norms[name](feature) if self.norms else feature for name, feature in zip(STRIDES, features)}

    def _freeze(self, model_name: str, stages: list[str], freeze_at: int) -> None:
        """Freezes what timm registers before the first of the modules `stages`, then each up to and with its own."""
        parts = []
        for name, child in self.model.named_children():
            holds_stages = any(stage.startswith(f"{name}.") for stage in stages)
            parts += [f"{name}.{inner}" for inner, _ in child.named_children()] if holds_stages else [name]
        at = [i for stage in stages for i, part in enumerate(parts) if f"{stage}.".startswith(f"{part}.")]
        counts = [0, at[0], *(i + 1 for i in at)] if len(at) == len(stages) else [0]  # HRNet's stages run side by side
        if freeze_at not in range(len(counts)):
            raise ValueError(f"MODEL.BACKBONE.FREEZE_AT is {freeze_at}, {model_name} takes 0 to {len(counts) - 1}")
        if freeze_at:
            timm.utils.freeze(self.model, parts[: counts[freeze_at]])
            norms = nn.ModuleList(list(self.norms.values())[: freeze_at - 1])
            for parameter in (*self.model.parameters(recurse=False), *norms.parameters()):  # the former: positions
                parameter.requires_grad = False


class _WindowsOfAnySize:
    """Pads a map to whole windows before it is shifted, as torchvision does; a side that one window covers is not.

    timm pads after: its mask then misses the seam, and the map's opposite edges see each other.
    """

    window_size: tuple[int, int]
    target_shift_size: tuple[int, int]

    def _attn(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]  # F h w C
        x = F.pad(x, (0, 0, 0, -width % self.window_size[1], 0, -height % self.window_size[0]))
        if any(self.target_shift_size):
            sides = zip(x.shape[1:3], self.window_size)
            self.shift_size = tuple(window // 2 if side > window else 0 for side, window in sides)
        return super()._attn(x)[:, :height, :width]  # type: ignore[misc]  # of the block beside it


class AnySizeSwinBlock(_WindowsOfAnySize, SwinTransformerBlock):
    """Swin's, for any size."""


class AnySizeSwinV2Block(_WindowsOfAnySize, SwinTransformerV2Block):
    """Swin V2's, for any size."""


ANY_SIZE_BLOCKS = {SwinTransformerBlock: AnySizeSwinBlock, SwinTransformerV2Block: AnySizeSwinV2Block}


def _check_name(name: str) -> None:
    known = sorted({*timm.list_models(), *timm.list_models(pretrained=True)})
    if name not in known:
        close = ", ".join(difflib.get_close_matches(name, known, n=5)) or "none"
        raise ValueError(f"MODEL.TIMM.NAME is {name!r}, unknown to timm {timm.__version__}; close to it: {close}")


def _feature_indices(model: nn.Module, name: str) -> list[int]:
    """Which of the model's features is the last of each stride."""
    last = {feature["reduction"]: index for index, feature in enumerate(cast(Any, model.feature_info))}
    if not set(STRIDES.values()) <= set(last):
        raise ValueError(f"MODEL.TIMM.NAME is {name!r}, with features at strides {sorted(last)}; expected 4, 8, 16, 32")
    return [last[stride] for stride in STRIDES.values()]
