#!/usr/bin/env python3
"""Draws which class is taken for which, from the table that an evaluation of classes writes.

    tools/plot_confusion.py --input output/avss_R101/inference/avsbench_ss_test/confusion.csv --output confusion.png

A row is a true label, a column a predicted one; the numbers are percent of the row's pixels, in all annotated frames.
"""

from pathlib import Path

from transavs.command_line import CommandParser, run
from transavs.visualization.confusion import ConfusionError, confusion_figure, read_confusion


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_argument("--input", required=True, metavar="FILE", help="confusion.csv of an evaluation")
    parser.add_output_file()
    return parser


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    parser.check_new_output(args.output)
    title = f"{Path(args.input).resolve().parent.name}: percent of the true pixels"
    confusion_figure(read_confusion(args.input), title).savefig(args.output)
    print(f"The table is in {args.output}")


if __name__ == "__main__":
    run(main, ConfusionError, OSError)
