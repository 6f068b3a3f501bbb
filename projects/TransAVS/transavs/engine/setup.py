"""What training and scoring do first, in each of their processes."""

import logging
import os
from argparse import Namespace

from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from ..weights.pretrained import find_trained_model
from .devices import fall_back_to_cpu
from .failures import told_in_one_line


def setup(cfg: CfgNode, args: Namespace) -> CfgNode:
    """Fits the config to this machine; sets seeds and loggers. Of several processes the main one alone writes a log.

    Args:
        cfg: as it was read; it is not changed.
        args: the command line, for the log; its config_file may be a trained model. With `eval_only`, cuDNN is not
            tuned for one size.

    Returns:
        CfgNode: frozen.

    Raises:
        OutputError: OUTPUT_DIR cannot be written.
    """
    cfg = cfg.clone()
    without_gpu = fall_back_to_cpu(cfg)
    cfg.freeze()
    logged = cfg.clone()
    if not comm.is_main_process():
        logged.defrost()
        logged.OUTPUT_DIR = None
    with told_in_one_line(cfg.OUTPUT_DIR):
        default_setup(logged, _with_config_path(args))
        setup_logger(logged.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="transavs")
    if without_gpu:
        logging.getLogger("transavs.train_net").warning("No GPU was found: running on the CPU, in float32.")
    return cfg


def _with_config_path(args: Namespace) -> Namespace:
    """Detectron2 writes the contents of config_file to the log."""
    path = getattr(args, "config_file", "")
    if not path or os.path.isfile(path):
        return args
    return Namespace(**vars(args) | {"config_file": find_trained_model(path)[0]})
