#!/usr/bin/env python3
"""Draws what a model predicted: a picture a clip, `results` with a row a clip, and `qualitative` as in the paper.

    python tools/visualize_results.py --dataset stamps_s4_test \
        --predictions output/inference/predictions.json --output output/pictures --format png pdf

Each shows the frames, the ground truth and the prediction, with the waveform under them. The predictions are those that
`AVSEvaluator` writes; the J in the pictures is computed from them. `qualitative` has the first two of the clips side by
side. A PDF is for papers: its text is text, its waveforms are lines.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.detection_utils import read_image

from transavs.data import AVSDatasetError
from transavs.data.audio import AudioError, read_waveform
from transavs.data.reading import read_mask
from transavs.evaluation.avs_evaluator import decode_mask
from transavs.evaluation.metrics import jaccard
from transavs.visualization import FORMATS, ClipPicture, clip_figure, qualitative_figure, results_sheet, save_figure

SHEET_NAME, QUALITATIVE_NAME = "results", "qualitative"
QUALITATIVE_CLIPS = 2  # side by side, as many as fit a page's width
DETAIL = {"png": 1, "pdf": 2}  # a PDF's frames are drawn larger than they are shown, since it can be magnified


class UsageError(ValueError):
    """What was asked for cannot be drawn; the message is one line that says why."""


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="registered name, e.g. avsbench_s4_test")
    parser.add_argument("--predictions", required=True, help="predictions.json of AVSEvaluator")
    parser.add_argument("--output", required=True, help="folder for the pictures")
    parser.add_argument("--num-clips", type=int, default=8, help="clips to draw, evenly spread over the dataset")
    parser.add_argument("--video-id", nargs="+", help="draw these clips instead")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=["png"], help="default: png")
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse_args(arguments)
    clips = load_dataset(args.dataset)
    predictions = load_predictions(args.predictions)
    chosen = choose_clips(args, clips, predictions)
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    pictures = []
    for video_id in chosen:
        pictures.append(make_picture(clips[video_id], predictions[video_id]))
        save(clip_figure, pictures[-1], output / video_id.replace(os.sep, "_"), args.format)
    save(qualitative_figure, pictures[:QUALITATIVE_CLIPS], output / QUALITATIVE_NAME, args.format)
    save(results_sheet, pictures, output / SHEET_NAME, args.format)
    print(f"Wrote {len(pictures)} clips and {output / SHEET_NAME}.{args.format[0]}")


def load_dataset(name):
    """Returns: {video_id: dataset dict}"""
    if name not in DatasetCatalog.list():
        known = (other for other in DatasetCatalog.list() if MetadataCatalog.get(other).get("evaluator_type") == "avs")
        raise UsageError(f"--dataset {name}: not registered; expected one of {', '.join(sorted(known))}")
    return {clip["video_id"]: clip for clip in DatasetCatalog.get(name)}


def load_predictions(path):
    """Returns: {video_id: the clip's frames as the file has them}"""
    if not os.path.isfile(path):
        raise UsageError(
            f"--predictions {path}: no such file; an evaluation writes it (tools/train_net.py --eval-only)"
        )
    try:
        with open(path) as file:
            return {clip["video_id"]: clip["frames"] for clip in json.load(file)["clips"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--predictions {path}: not a predictions.json of AVSEvaluator ({error!r})") from error


def choose_clips(args, clips, predictions):
    """The ids to draw: those asked for, or --num-clips spread over the dataset."""
    if args.video_id:
        for video_id in args.video_id:
            if video_id not in clips:
                raise UsageError(f"--video-id {video_id}: no such clip in {args.dataset}")
            if video_id not in predictions:
                raise UsageError(f"--video-id {video_id}: no prediction in {args.predictions}")
        return args.video_id
    if args.num_clips < 1:
        raise UsageError(f"--num-clips {args.num_clips}: must be at least 1")
    predicted = [video_id for video_id in clips if video_id in predictions]
    if not predicted:
        raise UsageError(f"--predictions {args.predictions}: has none of the {len(clips)} clips of {args.dataset}")
    count = min(args.num_clips, len(predicted))
    return [predicted[index * len(predicted) // count] for index in range(count)]


def make_picture(clip, predicted_frames):
    """Reads a clip's frames, masks and sound: `ClipPicture`."""
    decoded = {frame["frame_index"]: decode_mask(frame["segmentation"]) for frame in predicted_frames}
    predictions = [decoded.get(index) for index in range(len(clip["file_names"]))]
    for prediction in decoded.values():
        if prediction.shape != (clip["height"], clip["width"]):
            raise UsageError(
                f"clip {clip['video_id']}: predicted masks are {list(prediction.shape)}, its frames "
                f"{[clip['height'], clip['width']]}; are the predictions of another dataset?"
            )
    masks = [None if path is None else read_mask(path) for path in clip["sem_seg_file_names"]]
    scores = [
        float(jaccard(torch.from_numpy(prediction), torch.from_numpy(mask)))
        for prediction, mask in zip(predictions, masks)
        if prediction is not None and mask is not None
    ]
    # AVSBench's own files may hold the sound as a log-mel alone, which has no waveform.
    pickled = clip["audio_file_name"].endswith(".pkl")
    waveform, rate = (None, 1) if pickled else read_waveform(clip["audio_file_name"])
    return ClipPicture(
        frames=[read_image(path, "RGB") for path in clip["file_names"]],
        masks=masks,
        predictions=predictions,
        waveform=waveform,
        rate=rate,
        title=clip["video_id"],
        subtitle=clip.get("category", ""),
        jaccard=sum(scores) / len(scores) if scores else None,
    )


def save(draw, pictures, path, formats):
    """Draws and writes a figure in each format, the format being its suffix."""
    for suffix in formats:
        save_figure(draw(pictures, detail=DETAIL[suffix]), f"{path}.{suffix}")


if __name__ == "__main__":
    try:
        main()
    except (UsageError, AVSDatasetError, AudioError) as error:
        sys.exit(f"visualize_results: {error}")
