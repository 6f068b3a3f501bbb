#!/usr/bin/env python3
"""Parts of the method, each timed side by side with a plain reference, in one run.

    tools/benchmark_parts.py

Candidate and reference take turns, so that a machine's moods meet both; medians are printed. The references are
torchvggish's NumPy code for the log-mel, a loop over the 255 thresholds for the metrics, one over the labels for the
scores of classes, `grid_sample` level by level for deformable attention's sampling, and a loop over all pairs of masks
for AQML, whose autograd graph is large: it is left out beyond --all-pairs queries.
"""

import torch
from tabulate import tabulate

from transavs.benchmarks import parts
from transavs.benchmarks.measuring import device_name
from transavs.command_line import CommandParser, run


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each, after one that is not counted")
    parser.add_argument("--sounds", type=int, default=256, help="clips of 5 s for the log-mel")
    parser.add_argument("--clips", type=int, default=4, help="for the metrics: of 5 frames, and of 10 with classes")
    parser.add_argument("--side", type=int, default=224, help="pixels of a frame's and a mask's side")
    parser.add_argument("--queries", type=int, nargs="+", default=[75, 150, 300], help="confident queries of a frame")
    parser.add_argument("--all-pairs", type=int, default=75, help="most queries that the pairwise AQML is run with")
    return parser


def show(rows, headers):
    print(tabulate(rows, headers, disable_numparse=True) + "\n")


def main(arguments=None):
    args = make_parser().parse_args(arguments)
    torch.manual_seed(0)
    print(f"Median seconds of {args.runs} runs, PyTorch {torch.__version__}, {device_name()}")
    compared = []
    try:
        compared.append(parts.benchmark_log_mel(args.runs, args.sounds))
    except ModuleNotFoundError as error:
        print(f"log-mel left out: {error}; pip install torchvggish")
    compared.append(parts.benchmark_metrics(args.runs, args.clips, args.side))
    compared.append(parts.benchmark_classes(args.runs, args.clips, args.side))
    show(compared, parts.COMPARED_HEADERS)
    show(parts.benchmark_sampling(args.runs, parts.CLIP_FRAMES, args.side), parts.SAMPLING_HEADERS)
    show(parts.benchmark_losses(args.runs, args.queries, args.side, args.all_pairs), parts.LOSS_HEADERS)


if __name__ == "__main__":
    run(main)
