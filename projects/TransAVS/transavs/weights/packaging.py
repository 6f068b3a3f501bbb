"""Makes the folder of a trained model: its weights in half precision, its whole config, a card and the digests."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import yaml
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from torch import Tensor

from ..config import add_transavs_config
from ..data.class_names import known_class_names
from .comparing import compare
from .left_out import completed
from .pretrained import CARD_FILE, CONFIG_FILE, DIGESTS_FILE, WEIGHTS_FILE
from .published import WeightsError
from .reading import read_checkpoint

# Where the weights that training started from lie, and its results; a trained model has nothing to do with them.
PLACES = ("MODEL.WEIGHTS", "MODEL.BACKBONE.WEIGHTS", "MODEL.AUDIO_BACKBONE.WEIGHTS", "OUTPUT_DIR", "MODEL.DEVICE")


def write_trained_model(cfg: CfgNode, folder: str | os.PathLike[str], card: str) -> dict[str, str]:
    """Writes a trained model's folder, at once or not at all.

    Args:
        cfg: of the model; MODEL.WEIGHTS is what its training wrote.
        folder: must not be there yet.
        card: Markdown, for CARD_FILE.

    Returns:
        dict[str, str]: the SHA-256 of the weights and of the config, by their files' names. The same weights and config
        give the same ones.

    Raises:
        WeightsError: MODEL.WEIGHTS cannot be read, or is not what the config's model holds.
        FileExistsError: of the folder.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder}: is already there")
    weights = {name: to_half(value) for name, value in trained_weights(cfg).items()}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as unfinished:
        made = Path(unfinished, "model")
        made.mkdir()
        (made / WEIGHTS_FILE).write_bytes(safetensors.torch.save(weights))
        (made / CONFIG_FILE).write_text(whole_config(cfg), encoding="utf-8")
        (made / CARD_FILE).write_text(card, encoding="utf-8")
        digests = {name: hashlib.sha256((made / name).read_bytes()).hexdigest() for name in (WEIGHTS_FILE, CONFIG_FILE)}
        lines = [f"{digest}  {name}\n" for name, digest in digests.items()]
        (made / DIGESTS_FILE).write_text("".join(lines), encoding="utf-8")
        made.rename(folder)
    return digests


def trained_weights(cfg: CfgNode) -> dict[str, Tensor]:
    """The model's own weights out of MODEL.WEIGHTS, without optimizer, iteration and the like.

    Raises:
        WeightsError: it cannot be read, lacks some, or has others than the model.
    """
    model = _cpu_model(cfg)
    checkpoint = completed(read_checkpoint(cfg.MODEL.WEIGHTS), cfg.MODEL.WEIGHTS, model, cfg)
    comparison = compare(checkpoint["model"], model.state_dict())
    if comparison.problems:
        raise WeightsError(f"{cfg.MODEL.WEIGHTS}: does not fit the config's model: {comparison}")
    return comparison.matched


def _cpu_model(cfg: CfgNode) -> torch.nn.Module:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "cpu"
    return build_model(cfg)


def to_half(weight: Tensor) -> Tensor:
    """A copy in float16; integers, and numbers that float16 cannot hold, stay as they are."""
    half = weight.half() if weight.is_floating_point() else weight
    kept = half if bool(half.isfinite().all()) else weight
    return kept.clone(memory_format=torch.contiguous_format)  # of its own, which safetensors asks for


def whole_config(cfg: CfgNode) -> str:
    """YAML of a config that builds on no other file: TransAVS's keys, and Detectron2's that it or the config changes.

    What would name a file or a device of the machine that it was trained on (`PLACES`) is left as Detectron2 has it.
    The names of several classes, which the datasets tell, are written into it.
    """
    cfg, default = cfg.clone(), get_cfg()
    cfg.defrost()
    if cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES > 1:
        cfg.MODEL.CLASS_NAMES = known_class_names(cfg)
    for key in PLACES:
        *nodes, name = key.split(".")
        node, own = cfg, default
        for step in nodes:
            node, own = node[step], own.get(step, {})
        node[name] = own.get(name, "")
    ours = get_cfg()
    add_transavs_config(ours)
    changed = _difference(*(yaml.safe_load(config.dump()) for config in (cfg, ours, default)))
    return yaml.safe_dump({**changed, "VERSION": cfg.VERSION}, default_flow_style=None, width=120)


def _difference(found: dict[str, Any], ours: dict[str, Any], default: dict[str, Any]) -> dict[str, Any]:
    """What of `found`, or of `ours`, is not so in `default`, with the value in `found`."""
    parts: dict[str, Any] = {}
    for key, value in found.items():
        known = default.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            parts |= {key: inner} if (inner := _difference(value, ours[key], known)) else {}
        elif key not in default or not value == ours[key] == known:
            parts[key] = value
    return parts
