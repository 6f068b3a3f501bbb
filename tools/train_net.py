#!/usr/bin/env python3
"""Trains or evaluates TransAVS; used as Detectron2's own tools/train_net.py is.

tools/train_net.py --config-file configs/avs_s4_R101.yaml --num-gpus 8
torchrun --nproc-per-node 8 tools/train_net.py --config-file configs/avs_s4_R101.yaml
tools/train_net.py --config-file configs/avs_s4_R101.yaml --eval-only MODEL.WEIGHTS model_best.pth
"""

from transavs.command_line import CommandParser, run
from transavs.data.corrupt_clips import UNREADABLE
from transavs.engine.launch import LaunchError, ProcessLost, launch
from transavs.engine.setup import setup
from transavs.engine.trainer import AVSTrainer, check_datasets
from transavs.weights.checkpointer import AVSCheckpointer
from transavs.weights.published import WeightsError
from transavs.weights.writing import OutputError


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file()
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in OUTPUT_DIR")
    parser.add_argument("--eval-only", action="store_true", help="score MODEL.WEIGHTS on DATASETS.TEST, train nothing")
    parser.add_argument("--num-gpus", type=int, help="of each machine (default: one, or the CPU where there is none)")
    parser.add_argument("--num-processes", type=int, help="of each machine, on its CPU, in place of GPUs")
    parser.add_argument("--num-machines", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--machine-rank", type=int, default=0, help="of this machine, from 0 (default: %(default)s)")
    parser.add_argument(
        "--dist-url",
        default="auto",
        help="where the processes of several machines find each other: tcp://FIRST_MACHINE:PORT (default: this one)",
    )
    parser.add_opts()
    return parser


def work(cfg, args):
    """What each process does."""
    cfg = setup(cfg, args)
    if args.eval_only:
        model = AVSTrainer.build_model(cfg)
        AVSCheckpointer(model, cfg.OUTPUT_DIR, cfg).resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        return AVSTrainer.test(cfg, model)

    check_datasets(cfg)
    trainer = AVSTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    trainer.train()
    return trainer.test_best()


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    cfg = parser.read_config(args.config_file, args.opts)
    try:
        launch(work, cfg, args)
    except LaunchError as error:
        parser.error(str(error))


if __name__ == "__main__":
    run(main, *UNREADABLE, WeightsError, OutputError, FloatingPointError, ProcessLost, ValueError)
