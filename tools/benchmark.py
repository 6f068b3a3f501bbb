#!/usr/bin/env python3
"""Seconds a clip takes, side by side with the model's own backbone alone, in one run.

    tools/benchmark.py --config-file configs/avs_ms3_R101.yaml configs/avs_s4_R101.yaml

Weights are random and the input is noise of the config's size: neither changes the time. Model and backbone take
turns, so that a machine's moods meet both; the median is printed. A training step is one clip's annotated frames,
forward, backward and the optimizer's step; the backbone beside it goes forward and backward.
"""
import argparse
import statistics
import time

import torch
from tabulate import tabulate

from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from transavs import add_transavs_config
from transavs.data.audio import EXAMPLE_SHAPE
from transavs.engine import AVSTrainer


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each, after one that is not counted")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="overrides: -- KEY VALUE ...")
    return parser.parse_args()


def load_config(path, overrides):
    cfg = get_cfg()
    add_transavs_config(cfg)
    cfg.merge_from_file(path)
    cfg.merge_from_list([word for word in overrides if word != "--"])
    cfg.MODEL.AUDIO_BACKBONE.WEIGHTS, cfg.MODEL.TIMM.PRETRAINED = "", False
    if not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    return cfg


def random_clip(cfg, num_frames):
    """A clip of noise with one object in each frame."""
    side = cfg.INPUT.IMAGE_SIZE
    mask = torch.zeros(1, side, side, dtype=torch.bool)
    mask[:, side // 4 : side // 2, side // 4 : side // 2] = True
    target = Instances((side, side), gt_classes=torch.zeros(1, dtype=torch.int64), gt_masks=BitMasks(mask))
    return {
        "images": torch.randint(0, 256, (num_frames, 3, side, side), dtype=torch.uint8),
        "audio_log_mel": torch.randn(cfg.MODEL.TRANSAVS.NUM_FRAMES, *EXAMPLE_SHAPE),
        "frame_indices": torch.arange(num_frames),
        "height": side,
        "width": side,
        "instances": [target] * num_frames,
    }


def seconds(run):
    _synchronize()
    start = time.perf_counter()
    run()
    _synchronize()
    return time.perf_counter() - start


def _synchronize():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def in_turn(runs, model_run, backbone_run):
    """Medians of the two, which run alternately; the first of each is not counted."""
    model_run(), backbone_run()
    times = [(seconds(model_run), seconds(backbone_run)) for _ in range(runs)]
    return [statistics.median(column) for column in zip(*times)]


def measure_inference(model, cfg, runs):
    clip = random_clip(cfg, cfg.MODEL.TRANSAVS.NUM_FRAMES)
    images = clip["images"].float().to(model.device)
    model.eval()
    with torch.no_grad():
        return in_turn(runs, lambda: model([clip]), lambda: model.backbone(images))


def measure_training(model, cfg, runs, num_frames):
    clip = random_clip(cfg, num_frames)
    images = clip["images"].float().to(model.device)
    optimizer = AVSTrainer.build_optimizer(cfg, model)
    model.train()

    def step():
        optimizer.zero_grad()
        sum(model([clip]).values()).backward()
        optimizer.step()

    def backbone_alone():
        sum(feature.mean() for feature in model.backbone(images).values()).backward()

    return in_turn(runs, step, backbone_alone)


def annotated_frames(cfg):
    """Frames of a training clip: S4 annotates one."""
    subset = MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).subset
    return 1 if subset == "s4" else cfg.MODEL.TRANSAVS.NUM_FRAMES


def main():
    args = parse_arguments()
    rows = []
    for path in args.config_file:
        cfg = load_config(path, args.opts)
        model = build_model(cfg)
        frames = annotated_frames(cfg)
        for what, num_frames, (whole, backbone) in (
            ("inference", cfg.MODEL.TRANSAVS.NUM_FRAMES, measure_inference(model, cfg, args.runs)),
            ("training step", frames, measure_training(model, cfg, args.runs, frames)),
        ):
            rows.append([path, what, num_frames, f"{whole:.3f}", f"{backbone:.3f}", f"{whole / backbone:.2f}"])
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(f"Seconds a clip, median of {args.runs}, PyTorch {torch.__version__}, {device}")
    print(tabulate(rows, ["config", "what", "frames", "model (s)", "backbone (s)", "ratio"], disable_numparse=True))


if __name__ == "__main__":
    main()
