#!/usr/bin/env python3
"""Draws the curves of trainings: losses, scores on the validation split, and what AQDL and AQML act on.

    tools/plot_training.py --input output/avs_s4_R101/metrics.json --output curves.png

Several files are drawn into one picture, each with its folder's name, or as much of its path as tells them apart.
"""

from pathlib import Path

from transavs.command_line import CommandParser, run
from transavs.visualization.curves import MetricsError, read_metrics, training_figure


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_argument(
        "--input", required=True, nargs="+", metavar="FILE", help="metrics.json of one or more trainings"
    )
    parser.add_output_file()
    return parser


def names_of(paths):
    """What each training is called."""
    folders = [Path(path).resolve().parent for path in paths]
    for length in range(1, max(len(folder.parts) for folder in folders)):
        names = ["/".join(folder.parts[-length:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    parser.check_new_output(args.output)
    figure = training_figure(dict(zip(names_of(args.input), map(read_metrics, args.input))))
    figure.savefig(args.output)
    print(f"The curves are in {args.output}")


if __name__ == "__main__":
    run(main, MetricsError, OSError)
