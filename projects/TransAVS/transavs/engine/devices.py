"""Which device a command runs on."""

import torch
from detectron2.config import CfgNode


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fall_back_to_cpu(cfg: CfgNode) -> bool:
    """Where the config asks for a GPU and there is none, it gets the CPU, and float32. In place.

    Returns:
        whether that was so.
    """
    needed = cfg.MODEL.DEVICE.startswith("cuda") and best_device().type == "cpu"
    if needed:
        cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED = "cpu", False
    return needed
