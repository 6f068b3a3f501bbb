#!/usr/bin/env python3
"""Shows what a model receives: frames, masks and log-mel as they come out of the data loader, augmented.

    tools/visualize_data.py --config-file configs/avs_s4_R101.yaml --output output/data
    tools/visualize_data.py --config-file configs/avs_s4_R101.yaml --output output/attention --split test --attention \\
        MODEL.WEIGHTS output/avs_s4_R101/model_best.pth

The clips of --split train are the first that training with the same SEED would see. --attention runs a trained model on
the clips, and shows the instances that it finds and which places its winning audio queries attend to.
"""

import os
from pathlib import Path

import torch

from transavs import AVSPredictor
from transavs.command_line import CommandParser, run
from transavs.data.audio_modes import AudioModeError
from transavs.data.corrupt_clips import UNREADABLE
from transavs.engine.devices import fall_back_to_cpu
from transavs.engine.inputs import model_inputs
from transavs.modeling.audio_query import record_attention
from transavs.visualization import FORMATS, attention_figure, frames_of, input_figure, save_figure
from transavs.weights.published import WeightsError


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file()
    parser.add_output_folder()
    parser.add_argument("--split", choices=("train", "test"), default="train", help="DATASETS.TRAIN or DATASETS.TEST")
    parser.add_argument("--num-clips", type=int, default=8, help="how many (default: %(default)s)")
    parser.add_argument(
        "--video-id", action="append", metavar="ID", help="draw this clip instead; can be given several times"
    )
    parser.add_argument("--attention", action="store_true", help="show where the model of MODEL.WEIGHTS looks")
    parser.add_argument("--format", choices=FORMATS, default="png", help="of the pictures (default: %(default)s)")
    parser.add_opts()
    return parser


def draw_attention(model, clip, image_format):
    """Runs the model on the clip and draws where it looked."""
    height, width = clip["images"].shape[-2:]
    with torch.no_grad(), record_attention(model) as attention:
        result = model([{**clip, "height": height, "width": width}])[0]  # at the size of the frames that it sees
    return attention_figure(frames_of(clip, image_format), result["instances"], attention, clip["video_id"])


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    parser.check_at_least("--num-clips", args.num_clips, 1)
    cfg = parser.read_config(args.config_file, args.opts)
    cfg.DATALOADER.NUM_WORKERS = 0  # a few clips need no processes of their own
    cfg.DATALOADER.MAX_CORRUPT_SHARE = 0.0  # one that was asked for is not replaced by another
    fall_back_to_cpu(cfg)
    model = None
    if args.attention:
        parser.check_weights(cfg)
        model = AVSPredictor(cfg).model
    parser.make_output_folder(args.output)
    for clip in model_inputs(cfg, args.split, args.num_clips, args.video_id):
        draw = input_figure if model is None else lambda *given: draw_attention(model, *given)
        figure = draw(clip, cfg.INPUT.FORMAT)
        kind = "input" if model is None else "attention"
        path = Path(args.output) / f"{clip['video_id'].replace(os.sep, '_')}_{kind}.{args.format}"
        save_figure(figure, path)
        print(f"Wrote {path}", flush=True)


if __name__ == "__main__":
    run(main, *UNREADABLE, AudioModeError, WeightsError, OSError)
