#!/usr/bin/env python3
"""Where a clip's time goes, on the CPU: a table of the model's parts, and a flame picture.

    tools/profile_model.py --config-file configs/avs_ms3_R50.yaml --output inference.svg
    tools/profile_model.py --config-file configs/avs_ms3_R50.yaml --training --output training.svg

Weights are random and the input is noise of the config's size: neither changes the cost. It is PyTorch's profile of the
fastest of a few runs; profiling itself takes a little time too.
"""

from pathlib import Path

import torch
from detectron2.modeling import build_model
from tabulate import tabulate

from transavs.benchmarks import cost, flames
from transavs.benchmarks.measuring import device_name
from transavs.command_line import CommandParser, run
from transavs.modeling.prediction import prepare_for_prediction


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file()
    parser.add_argument("--training", action="store_true", help="forward and backward, in place of a prediction")
    parser.add_argument("--runs", type=int, default=3, help="of which the fastest counts, after one that never does")
    parser.add_output_file()
    parser.add_opts()
    return parser


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    parser.check_at_least("--runs", args.runs, 1)
    parser.check_new_output(args.output)
    cfg = parser.read_config(args.config_file, ["MODEL.WEIGHTS", "", *args.opts])
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg).train(args.training)
    if args.training:
        clip = cost.random_clip(cfg, cost.annotated_frames(cfg))
        microseconds = flames.profile_stacks(model, lambda: cost.training_step(model, clip), args.runs)
    else:
        clip = cost.random_clip(cfg, cfg.MODEL.TRANSAVS.NUM_FRAMES)
        prepare_for_prediction(model)
        with torch.no_grad():
            microseconds = flames.profile_stacks(model, lambda: model([clip]), args.runs)
    what = f"{'training step' if args.training else 'prediction'} of a clip of {len(clip['images'])} frames"
    title = (
        f"{Path(args.config_file).name}, {cfg.MODEL.SEM_SEG_HEAD.NAME}, {what}: "
        f"{microseconds.total() / 1000:.0f} ms, PyTorch {torch.__version__}, {device_name()}"
    )
    print(
        f"{title}\n\n{tabulate(flames.table_of_parts(microseconds), flames.HEADERS, 'github', disable_numparse=True)}"
    )
    Path(args.output).write_text(flames.flame_picture(microseconds, title))


if __name__ == "__main__":
    run(main, OSError)
