#!/usr/bin/env python3
"""Draws what a model predicted: a picture a clip, `results` with a row a clip, and `qualitative` as in the paper.

    tools/visualize_results.py --dataset stamps_s4_test \\
        --predictions output/inference/predictions.json --output output/pictures --format png pdf

Each shows the frames, the ground truth and the prediction, with the waveform under them. The predictions are those that
`AVSEvaluator` writes; the J in the pictures is computed from them. `qualitative` has the first two of the clips side by
side. A PDF is for papers: its text is text, its waveforms are lines.
"""

import os
from pathlib import Path

from transavs.command_line import CommandParser, run
from transavs.data.corrupt_clips import UNREADABLE
from transavs.visualization import FORMATS, clip_figure, qualitative_figure, results_sheet, save_figure
from transavs.visualization.predictions import (
    PredictionsError,
    choose_clips,
    load_dataset,
    load_predictions,
    make_picture,
)

SHEET_NAME, QUALITATIVE_NAME = "results", "qualitative"
QUALITATIVE_CLIPS = 2  # side by side, as many as fit a page's width
DETAIL = {"png": 1, "pdf": 2}  # a PDF's frames are drawn larger than they are shown, since it can be magnified


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_argument("--dataset", required=True, metavar="NAME", help="as registered, e.g. avsbench_s4_test")
    parser.add_argument("--predictions", required=True, metavar="FILE", help="predictions.json of AVSEvaluator")
    parser.add_output_folder()
    parser.add_argument(
        "--num-clips", type=int, default=8, help="evenly spread over the dataset (default: %(default)s)"
    )
    parser.add_argument("--video-id", nargs="+", metavar="ID", help="draw these clips instead")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=["png"], help="of the pictures (default: png)")
    return parser


def save(draw, pictures, path, formats):
    """Draws and writes a figure in each format, the format being its suffix."""
    for suffix in formats:
        save_figure(draw(pictures, detail=DETAIL[suffix]), f"{path}.{suffix}")


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    parser.check_at_least("--num-clips", args.num_clips, 1)
    clips = load_dataset(args.dataset)
    predictions = load_predictions(args.predictions)
    chosen = choose_clips(clips, predictions, args.num_clips, args.video_id)
    parser.make_output_folder(args.output)
    output = Path(args.output)
    pictures = []
    for video_id in chosen:
        pictures.append(make_picture(clips[video_id], predictions[video_id]))
        save(clip_figure, pictures[-1], output / video_id.replace(os.sep, "_"), args.format)
    save(qualitative_figure, pictures[:QUALITATIVE_CLIPS], output / QUALITATIVE_NAME, args.format)
    save(results_sheet, pictures, output / SHEET_NAME, args.format)
    print(f"Wrote {len(pictures)} clips and {output / SHEET_NAME}.{args.format[0]}")


if __name__ == "__main__":
    run(main, PredictionsError, *UNREADABLE, OSError)
