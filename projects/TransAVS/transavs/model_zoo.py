"""Shipped configs and trained models by name, as in Detectron2's model zoo: wherever the package is installed."""

import difflib
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from .config import read_config
from .engine.devices import fall_back_to_cpu
from .weights.checkpointer import AVSCheckpointer
from .weights.pretrained import find_trained_model, trained_config, trained_models

__all__ = ["get", "get_config", "get_config_file", "trained_models"]

_PACKAGE = Path(__file__).resolve().parent


def get_config_file(config_path: str) -> str:
    """
    Args:
        config_path: a name relative to the configs folder, such as "avs_s4_R101.yaml" or "toy/toy_s4_R18.yaml"; or the
            name of a trained model, one of `trained_models()`.

    Returns:
        The path of that file on this machine.

    Raises:
        ValueError: there is no such config; the message names those with similar names.
        FileNotFoundError: the package was installed without its configs.
    """
    if config_path in trained_models():
        return find_trained_model(config_path)[0]
    folder = _configs_folder()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml"))
    if config_path not in names:
        close = _suggestion(config_path, [*names, *trained_models()])
        raise ValueError(f"no config is called {config_path!r}; {close}")
    return str(folder / config_path)


def get_config(config_path: str, trained: bool = False) -> CfgNode:
    """The config that one of the shipped files gives, with the files that it builds upon.

    Args:
        config_path: as of `get_config_file`.
        trained: MODEL.WEIGHTS is then the trained model's file; `config_path` must be the name of a trained model.

    Returns:
        A new config, to be changed at will.

    Raises:
        ValueError, FileNotFoundError: as of `get_config_file`; or there is no such trained model.
    """
    return trained_config(config_path) if trained else read_config(get_config_file(config_path))


def get(config_path: str, trained: bool = False, device: str | None = None) -> nn.Module:
    """The model that a config describes.

    Args:
        config_path, trained: as of `get_config`. Without `trained` the model has random weights.
        device: in place of MODEL.DEVICE, which is the GPU; the CPU where there is none.

    Returns:
        nn.Module: in training mode, as every new module.

    Raises:
        ValueError, FileNotFoundError: as of `get_config`.

    Example:
        >>> model = model_zoo.get("stamps_s4_lite0", trained=True).eval()
    """
    cfg = get_config(config_path, trained)
    if device is None:
        fall_back_to_cpu(cfg)
    else:
        cfg.MODEL.DEVICE = device
    model = build_model(cfg)
    if trained:
        AVSCheckpointer(model, cfg=cfg).load(cfg.MODEL.WEIGHTS)
    return model


def _configs_folder() -> Path:
    """Inside the package when it was installed from a wheel; in a checkout, the repository's own."""
    candidates = [_PACKAGE / "configs", _PACKAGE.parent.parent.parent / "configs"]
    for folder in candidates:
        if (folder / "Base-TransAVS.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no configs folder at {' or '.join(map(str, candidates))}: install the package again")


def _suggestion(config_path: str, names: list[str]) -> str:
    """What was probably meant: names that are similar, or end in the same file name."""
    same_file = [name for name in names if Path(name).name == Path(config_path).name]
    close = same_file or difflib.get_close_matches(config_path, names, n=4, cutoff=0.5)
    return f"close to it: {', '.join(close)}" if close else f"there are: {', '.join(names)}"
