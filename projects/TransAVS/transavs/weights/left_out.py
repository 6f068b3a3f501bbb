"""A frozen audio backbone that checkpoints do without, since its own file gives it again: VGGish has 288 MB."""

from typing import Any

from detectron2.config import CfgNode
from torch import Tensor, nn

from .comparing import digest_of
from .initializing import initialize_parts
from .published import WeightsError

PART = "audio_backbone"
DIGEST = "left_out_audio_backbone"  # a checkpoint's key: which weights are to be had from elsewhere


class LeftOutError(WeightsError):
    """What a checkpoint does without cannot be had again; the message names the config's key."""


def without_audio_backbone(model: nn.Module) -> dict[str, Any]:
    """`model` and DIGEST, for a checkpoint."""
    weights = {name: value for name, value in model.state_dict().items() if name.split(".")[0] != PART}
    return {"model": weights, DIGEST: digest_of(_part(model))}


def completed(checkpoint: dict[str, Any], path: str, model: nn.Module, cfg: CfgNode | None) -> dict[str, Any]:
    """A checkpoint with all of its model: what it does without is loaded from MODEL.AUDIO_BACKBONE.WEIGHTS.

    Args:
        checkpoint: as `read_checkpoint` gives it.
        path: of the checkpoint, for errors.
        model: TransAVS; its audio backbone is filled.
        cfg: that it was built from, where it is known.

    Raises:
        LeftOutError: the file cannot be had, or has other weights than those that were left out.
    """
    if DIGEST not in checkpoint:
        return checkpoint
    rest = {key: value for key, value in checkpoint.items() if key != DIGEST}
    file = cfg.MODEL.AUDIO_BACKBONE.WEIGHTS if cfg is not None else ""
    told = f"{path}: was written without the audio backbone, to be had from MODEL.AUDIO_BACKBONE.WEIGHTS, which is "
    if not file or cfg is None:
        raise LeftOutError(f"{told}'', expected the file of the training")
    try:
        found = _load(model, cfg)
    except (WeightsError, OSError) as error:
        raise LeftOutError(f"{told}{file!r}: {error}") from error
    if digest_of(found) != checkpoint[DIGEST]:
        raise LeftOutError(f"{told}{file!r}: it has other weights than those of the training")
    return {**rest, "model": {**checkpoint["model"], **{f"{PART}.{name}": value for name, value in found.items()}}}


def check_can_be_left_out(model: nn.Module, cfg: CfgNode) -> None:
    """
    Args:
        model: as it starts training.
        cfg: that it was built from; MODEL.AUDIO_BACKBONE.IN_CHECKPOINTS is False.

    Raises:
        LeftOutError: the audio backbone could not be had again from MODEL.AUDIO_BACKBONE.WEIGHTS.
    """
    audio, told = cfg.MODEL.AUDIO_BACKBONE, "MODEL.AUDIO_BACKBONE.IN_CHECKPOINTS is False, "
    if not (audio.FREEZE and audio.WEIGHTS):
        found = f"FREEZE is {audio.FREEZE} and WEIGHTS {audio.WEIGHTS!r}"
        raise LeftOutError(f"{told}but {found}: expected a frozen audio backbone from a file of its own")
    expected = digest_of(_part(model))
    if digest_of(_load(model, cfg)) != expected:
        raise LeftOutError(f"{told}but MODEL.WEIGHTS has another audio backbone than WEIGHTS, {audio.WEIGHTS}")


def _load(model: nn.Module, cfg: CfgNode) -> dict[str, Tensor]:
    initialize_parts(model, cfg, leave={"backbone"})
    return _part(model)


def _part(model: nn.Module) -> dict[str, Tensor]:
    part: nn.Module = model.get_submodule(PART)
    return part.state_dict()
