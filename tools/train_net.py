#!/usr/bin/env python3
"""Trains or evaluates TransAVS; used as Detectron2's own tools/train_net.py is.

tools/train_net.py --config-file configs/avs_s4_R101.yaml --num-gpus 8
tools/train_net.py --config-file configs/avs_s4_R101.yaml --eval-only MODEL.WEIGHTS model_best.pth
"""

import logging
import sys

import torch
from arguments import require_config_file
from detectron2.engine import default_argument_parser, default_setup, launch
from detectron2.utils.logger import setup_logger

from transavs.config import read_config
from transavs.engine.trainer import AVSTrainer, check_datasets
from transavs.weights.checkpointer import AVSCheckpointer

logger = logging.getLogger("transavs.train_net")


def setup(args):
    """The config of the command line, frozen; seeds and loggers set."""
    cfg = read_config(args.config_file, args.opts)
    without_gpu = cfg.MODEL.DEVICE == "cuda" and not torch.cuda.is_available()
    if without_gpu:
        cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED = "cpu", False
    cfg.freeze()
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=args.machine_rank, name="transavs")
    if without_gpu:
        logger.warning("No GPU was found: running on the CPU, in one process and in float32.")
    return cfg


def main(args):
    cfg = setup(args)
    if args.eval_only:
        model = AVSTrainer.build_model(cfg)
        AVSCheckpointer(model, save_dir=cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        return AVSTrainer.test(cfg, model)

    check_datasets(cfg)
    trainer = AVSTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    trainer.train()
    return trainer.test_best()


def num_processes(args):
    """--num-gpus, checked against the GPUs there are; without any it is one process, on the CPU."""
    available = torch.cuda.device_count()
    if available and args.num_gpus > available:
        sys.exit(f"--num-gpus {args.num_gpus}: this machine has {available}")
    return args.num_gpus if available else 1


if __name__ == "__main__":
    parser = default_argument_parser()
    args = parser.parse_args()
    require_config_file(parser, args.config_file)
    launch(
        main,
        num_processes(args),
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(args,),
    )
