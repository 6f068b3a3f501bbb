#!/usr/bin/env python3
"""Shows what a model receives: frames, masks and log-mel as they come out of the data loader, augmented.

    tools/visualize_data.py --config-file configs/avs_s4_R101.yaml --output output/data
    tools/visualize_data.py --config-file configs/avs_s4_R101.yaml --output output/attention --split test --attention \
        MODEL.WEIGHTS output/avs_s4_R101/model_best.pth

The clips of --split train are the first that training with the same SEED would see. --attention runs a trained model on
the clips, and shows the instances that it finds and which places its winning audio queries attend to.
"""

import argparse
import itertools
import os
import sys
from pathlib import Path

import torch
from arguments import require_config_file
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from detectron2.utils.env import seed_all_rng

from transavs.config import read_config
from transavs.data import AVSDatasetError
from transavs.data.audio import AudioError
from transavs.data.audio_modes import AudioModeError
from transavs.engine.trainer import AVSTrainer, check_datasets
from transavs.modeling.audio_query import record_attention
from transavs.visualization import FORMATS, attention_figure, frames_of, input_figure, save_figure
from transavs.weights.checkpointer import AVSCheckpointer


class UsageError(ValueError):
    """What was asked for cannot be drawn; the message is one line that says why."""


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument("--output", required=True, type=Path, help="folder for the pictures")
    parser.add_argument("--split", choices=("train", "test"), default="train", help="DATASETS.TRAIN or DATASETS.TEST")
    parser.add_argument("--num-clips", type=int, default=8)
    parser.add_argument("--video-id", action="append", help="draw this clip instead; can be given several times")
    parser.add_argument("--attention", action="store_true", help="show where the model of MODEL.WEIGHTS looks")
    parser.add_argument("--format", choices=FORMATS, default="png")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="overrides of the config: KEY VALUE ...")
    args = parser.parse_args(arguments)
    require_config_file(parser, args.config_file)
    if args.num_clips < 1:
        parser.error(f"--num-clips {args.num_clips}: must be at least 1")
    return args


def main(arguments=None):
    args = parse_args(arguments)
    cfg = load_config(args)
    model = load_model(cfg) if args.attention else None
    args.output.mkdir(parents=True, exist_ok=True)
    for clip in model_inputs(cfg, args.split, args.num_clips, args.video_id):
        figure = (
            input_figure(clip, cfg.INPUT.FORMAT) if model is None else draw_attention(model, clip, cfg.INPUT.FORMAT)
        )
        kind = "input" if model is None else "attention"
        path = args.output / f"{clip['video_id'].replace(os.sep, '_')}_{kind}.{args.format}"
        save_figure(figure, path)
        print(f"Wrote {path}", flush=True)


def load_config(args):
    cfg = read_config(args.config_file, args.opts)
    cfg.DATALOADER.NUM_WORKERS = 0  # a few clips need no processes of their own
    if not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    return cfg


def load_model(cfg):
    if not os.path.isfile(cfg.MODEL.WEIGHTS):
        raise UsageError(
            f"--attention needs a trained model: MODEL.WEIGHTS is {cfg.MODEL.WEIGHTS!r}, expected its file"
        )
    model = build_model(cfg).eval()
    AVSCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    return model


def model_inputs(cfg, split, num_clips, video_ids=None):
    """Yields the clips asked for as AVSTrainer's loaders give them, each once."""
    key = split.upper()
    try:
        check_datasets(cfg, (key,))
    except KeyError as error:
        raise UsageError(error.args[0]) from error
    known = [clip["video_id"] for name in cfg.DATASETS[key] for clip in DatasetCatalog.get(name)]
    for video_id in video_ids or ():
        if video_id not in known:
            raise UsageError(f"--video-id {video_id}: no such clip in DATASETS.{key}, {', '.join(cfg.DATASETS[key])}")
    seed_all_rng(cfg.SEED if cfg.SEED >= 0 else None)
    read = _training_clips if split == "train" else _test_clips
    yield from read(cfg, known, min(num_clips, len(known)), video_ids)


def _training_clips(cfg, known, num_clips, video_ids):
    """In the order of training, which goes on for ever and passes every clip."""
    wanted = set(video_ids or known)
    count = len(wanted) if video_ids else num_clips
    stream = itertools.chain.from_iterable(AVSTrainer.build_train_loader(cfg))
    while count:
        clip = next(stream)
        if clip["video_id"] in wanted:
            wanted.remove(clip["video_id"])
            count -= 1
            yield clip


def _test_clips(cfg, known, num_clips, video_ids):
    """Those asked for, or evenly spread over the datasets."""
    loaded = torch.utils.data.ConcatDataset(
        [AVSTrainer.build_test_loader(cfg, name).dataset for name in cfg.DATASETS.TEST]
    )
    spread = [index * len(known) // num_clips for index in range(num_clips)]
    for index in [known.index(video_id) for video_id in video_ids] if video_ids else spread:
        yield loaded[index]


def draw_attention(model, clip, image_format):
    """Runs the model on the clip and draws where it looked."""
    height, width = clip["images"].shape[-2:]
    with torch.no_grad(), record_attention(model) as attention:
        result = model([{**clip, "height": height, "width": width}])[0]  # at the size of the frames that it sees
    return attention_figure(frames_of(clip, image_format), result["instances"], attention, clip["video_id"])


if __name__ == "__main__":
    try:
        main()
    except (UsageError, AVSDatasetError, AudioError, AudioModeError) as error:
        sys.exit(f"visualize_data: {error}")
