"""Filling the parts of a new model with the weights that they start training from."""

import logging
from collections.abc import Collection

from detectron2.config import CfgNode
from torch import nn

from ..modeling.audio import TimmAudioBackbone
from ..modeling.backbone import TimmBackbone
from .conversion import convert
from .published import WeightsError

logger = logging.getLogger(__name__)


def initialize_parts(model: nn.Module, cfg: CfgNode, leave: Collection[str] = ()) -> set[str]:
    """Loads MODEL.BACKBONE.WEIGHTS and MODEL.AUDIO_BACKBONE.WEIGHTS, where the config gives any; the log has a report.

    Args:
        model: TransAVS, changed in place.
        cfg: that it was built from.
        leave: parts that have their weights already, "backbone" or "audio_backbone".

    Returns:
        set[str]: the parts that were filled.

    Raises:
        WeightsError: weights cannot be had or read, are of another kind, or do not fit as a whole; it names the key.
    """
    filled = set()
    for part, key, weights in (
        ("backbone", "MODEL.BACKBONE.WEIGHTS", cfg.MODEL.BACKBONE.WEIGHTS),
        ("audio_backbone", "MODEL.AUDIO_BACKBONE.WEIGHTS", cfg.MODEL.AUDIO_BACKBONE.WEIGHTS),
    ):
        if weights and part not in leave:
            _initialize(part, key, weights, model, cfg)
            filled.add(part)
    return filled


def _initialize(part: str, key: str, weights: str, model: nn.Module, cfg: CfgNode) -> None:
    try:
        conversion = convert(weights, model, part)
    except WeightsError as error:
        raise WeightsError(f"{key} {error}") from error
    if not conversion.complete:
        raise WeightsError(
            f"{key} {weights}: {conversion.source.name}, does not fit {_name_of(part, model, cfg)}: "
            + "; ".join([str(conversion.comparison), *(f"see {key}" for key in conversion.keys_to_look_at())])
        )
    model.load_state_dict(conversion.comparison.matched, strict=False)
    logger.info("%s %s", key, conversion.report())


def _name_of(part: str, model: nn.Module, cfg: CfgNode) -> str:
    """What the config calls the network in a part."""
    if part == "backbone":
        return cfg.MODEL.TIMM.NAME if isinstance(model.backbone, TimmBackbone) else cfg.MODEL.BACKBONE.NAME
    audio = cfg.MODEL.AUDIO_BACKBONE
    return audio.TIMM_MODEL if isinstance(model.audio_backbone, TimmAudioBackbone) else audio.NAME
