"""What training and scoring do first, in each of their processes."""

import logging
from argparse import Namespace

import torch
from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from .devices import fall_back_to_cpu


def setup(cfg: CfgNode, args: Namespace) -> CfgNode:
    """Fits the config to this machine; sets seeds and loggers.

    Args:
        cfg: as it was read; it is not changed.
        args: the command line, for the log. With `eval_only`, cuDNN is not tuned for one size.

    Returns:
        CfgNode: frozen.
    """
    cfg = cfg.clone()
    without_gpu = fall_back_to_cpu(cfg)
    cfg.freeze()
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="transavs")
    if without_gpu:
        logging.getLogger("transavs.train_net").warning(
            "No GPU was found: running on the CPU, in one process and in float32."
        )
    return cfg


def num_processes(num_gpus: int) -> int:
    """A process a GPU, checked against the GPUs there are; without any it is one, on the CPU.

    Raises:
        ValueError: there are fewer GPUs, but some.
    """
    available = torch.cuda.device_count()
    if available and num_gpus > available:
        raise ValueError(f"--num-gpus {num_gpus}: this machine has {available}")
    return num_gpus if available else 1
