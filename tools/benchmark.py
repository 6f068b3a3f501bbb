#!/usr/bin/env python3
"""What the configs cost: weights, FLOPs, seconds a clip beside the backbone's own, and memory, in one run.

    tools/benchmark.py --config-file configs/avs_ms3_R101.yaml
    tools/benchmark.py --config-file configs/avs_ms3_*.yaml --write configs/README.md
    tools/benchmark.py --config-file configs/avs_ms3_*.yaml --pixel-decoder FPNPixelDecoder MSDeformAttnPixelDecoder
    tools/benchmark.py --config-file configs/stamps/stamps_s4_R18.yaml --video 60 MODEL.WEIGHTS model_best.pth

Weights are random and the input is noise of the config's size: neither changes the cost. Model and backbone take
turns, so that a machine's moods meet both; medians are printed. Training is forward and backward, of the frames that
a training clip has annotated: all in MS3, one in S4.

With --video it is a whole video instead, as tools/demo.py does it, from the file to the file: once with a mask a
second, once with masks for all of its frames, and how much of the time each part takes.
"""

from pathlib import Path

import torch
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY

from transavs.benchmarks import cost, video
from transavs.benchmarks.measuring import device_name
from transavs.benchmarks.tables import MARKS, VIDEO_MARKS, around_marks, format_table, write_table
from transavs.command_line import CommandParser, run
from transavs.weights.published import WeightsError

VIDEO_SECONDS = 60


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file(nargs="+")
    parser.add_argument("--pixel-decoder", nargs="+", metavar="NAME", help="these in place of the config's, in turn")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each, after one that is not counted")
    parser.add_argument(
        "--video",
        type=int,
        nargs="?",
        const=VIDEO_SECONDS,
        metavar="SECONDS",
        help=f"a video of this length, with decoding, drawing and encoding (default: {VIDEO_SECONDS})",
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the table into this file, between its two marks"
    )
    parser.add_opts()
    return parser


def check(parser, args):
    unknown = set(args.pixel_decoder or ()) - {name for name, _ in SEM_SEG_HEADS_REGISTRY}
    if unknown:
        parser.error(f"--pixel-decoder: {', '.join(unknown)} not registered")
    parser.check_at_least("--runs", args.runs, 1)
    if args.video is not None:
        parser.check_at_least("--video", args.video, 1)
        if args.pixel_decoder:
            parser.error("--video takes each config as it is, without --pixel-decoder")
    if args.write:
        try:
            around_marks(args.write, VIDEO_MARKS if args.video else MARKS)
        except (OSError, ValueError) as error:
            parser.error(f"--write {error}")


def read_configs(parser, args):
    """Each of the configs with each of the pixel decoders: its file's name, and the config."""
    choices = [["MODEL.SEM_SEG_HEAD.NAME", name] for name in args.pixel_decoder or ()] or [[]]
    weights = [] if "MODEL.WEIGHTS" in args.opts else ["MODEL.WEIGHTS", ""]
    return [
        (Path(path).name, cost.prepare(parser.read_config(path, [*args.opts, *choice, *weights])))
        for path in args.config_file
        for choice in choices
    ]


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    check(parser, args)
    configs = read_configs(parser, args)
    if args.video:
        rows = [row for name, cfg in configs for row in video.measure_video(cfg, name, args.video, args.runs)]
        title = video.describe(args.video, args.runs, trained="MODEL.WEIGHTS" in args.opts)
        headers, marks = video.HEADERS, VIDEO_MARKS
    else:
        rows = [cost.measure_clip(cfg, name, args.runs) for name, cfg in configs]
        title = f"One clip, median of {args.runs}, PyTorch {torch.__version__}, {device_name()}."
        headers, marks = cost.HEADERS, MARKS
    table = format_table(title, rows, headers)
    print(table)
    if args.write:
        write_table(args.write, table, marks)


if __name__ == "__main__":
    run(main, WeightsError, OSError)
