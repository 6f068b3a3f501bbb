#!/usr/bin/env python3
"""What the configs cost: weights, FLOPs, seconds a clip beside the backbone's own, and memory, in one run.

    tools/benchmark.py --config-file configs/avs_ms3_R101.yaml
    tools/benchmark.py --config-file configs/avs_ms3_*.yaml --write configs/README.md
    tools/benchmark.py --config-file configs/avs_ms3_*.yaml --pixel-decoder FPNPixelDecoder MSDeformAttnPixelDecoder
    tools/benchmark.py --config-file configs/stamps/stamps_s4_R18.yaml --video 60 MODEL.WEIGHTS model_best.pth

Weights are random and the input is noise of the config's size: neither changes the cost. Model and backbone take
turns, so that a machine's moods meet both; medians are printed. Training is forward and backward, of the frames that
a training clip has annotated: all in MS3, one in S4.

With --video it is a whole video instead, as tools/demo.py does it, from the file to the file: once with a mask a second,
once with masks for all of its frames, and how much of the time each part takes.
"""

import argparse
import warnings
from pathlib import Path

import torch
from detectron2.data import MetadataCatalog
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY, build_model
from detectron2.structures import BitMasks, Instances
from detectron2.utils.analysis import FlopCountAnalysis
from measuring import DEVICE, device_name, extra_memory, in_turn
from tabulate import tabulate
from video_benchmark import HEADERS as VIDEO_HEADERS
from video_benchmark import describe, measure_video

from transavs.config import read_config
from transavs.data.audio import EXAMPLE_SHAPE

HEADERS = [
    "config",
    "pixel decoder",
    "weights (M)",
    "GFLOPs",
    "frames",
    "forward (s)",
    "of the backbone's",
    "clips/s",
    "peak (MiB)",
    "training: frames",
    "forward + backward (s)",
    "of the backbone's",
    "peak (MiB)",
]
MARKS = "<!-- measured: start -->", "<!-- measured: end -->"
VIDEO_MARKS = "<!-- video measured: start -->", "<!-- video measured: end -->"
VIDEO_SECONDS = 60


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", nargs="+", required=True, metavar="FILE")
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
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="overrides: -- KEY VALUE ...")
    return parser.parse_args()


def load_config(path, overrides):
    """The config for random weights, on the GPU if there is one."""
    cfg = read_config(path, overrides)
    cfg.MODEL.DEVICE = DEVICE.type
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


def annotated_frames(cfg):
    """Frames of a training clip: S4 annotates one."""
    subset = MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).subset
    return 1 if subset == "s4" else cfg.MODEL.TRANSAVS.NUM_FRAMES


@torch.no_grad()
def measure_inference(model, clip, runs):
    """Returns: seconds of the model and of its backbone, and the model's extra MiB."""
    images = clip["images"].float().to(model.device)
    model.eval()
    times = in_turn(runs, lambda: model([clip]), lambda: model.backbone(images))
    return *times, extra_memory(lambda: model([clip]))


def measure_training(model, clip, runs):
    """As `measure_inference`, forward and backward."""
    images = clip["images"].float().to(model.device)
    model.train()

    def step():
        model.zero_grad()
        sum(model([clip]).values()).backward()

    def backbone_alone():
        model.zero_grad()
        sum(feature.mean() for feature in model.backbone(images).values()).backward()

    times = in_turn(runs, step, backbone_alone)
    model.zero_grad()
    return *times, extra_memory(step)


@torch.no_grad()
def count_flops(model, clip):
    """Multiply-adds of a clip's inference, as fvcore counts them, in billions."""
    tensors = {key: value for key, value in clip.items() if isinstance(value, torch.Tensor)}  # all that can be traced
    analysis = FlopCountAnalysis(model.eval(), ([tensors],))
    analysis.set_op_handle("aten::scaled_dot_product_attention", _attention_flops)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # the trace is for this clip alone
        return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total() / 1e9


def _attention_flops(inputs, outputs):
    """Queries x keys x width, for the scores and once more for the values."""
    *batch, queries, width = inputs[0].type().sizes()
    keys = inputs[1].type().sizes()[-2]
    return 2 * torch.Size(batch).numel() * queries * keys * width


def measure(path, opts, runs):
    """Returns: a row of the table."""
    cfg = load_config(path, opts)
    model = build_model(cfg)
    weights = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    clip, training_clip = random_clip(cfg, cfg.MODEL.TRANSAVS.NUM_FRAMES), random_clip(cfg, annotated_frames(cfg))
    row = [Path(path).name, cfg.MODEL.SEM_SEG_HEAD.NAME, f"{weights:.1f}", f"{count_flops(model, clip):.1f}"]
    seconds, backbone, memory = measure_inference(model, clip, runs)
    row += [len(clip["images"]), f"{seconds:.3f}", f"{seconds / backbone:.2f}", f"{1 / seconds:.2f}", f"{memory:.0f}"]
    seconds, backbone, memory = measure_training(model, training_clip, runs)
    return row + [len(training_clip["images"]), f"{seconds:.3f}", f"{seconds / backbone:.2f}", f"{memory:.0f}"]


def write_table(path, text, marks):
    """Puts the text between the marks of a file."""
    before, _, rest = path.read_text().partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not end:
        raise SystemExit(f"--write {path}: no {marks[0]} ... {marks[1]} in it")
    path.write_text(f"{before}{marks[0]}\n\n{text}\n\n{end}{after}")


def main():
    args = parse_arguments()
    unknown = set(args.pixel_decoder or ()) - {name for name, _ in SEM_SEG_HEADS_REGISTRY}
    if unknown:
        raise SystemExit(f"--pixel-decoder: {', '.join(unknown)} not registered")
    if args.video is not None and args.video < 1:
        raise SystemExit(f"--video {args.video}: must be at least 1 second")
    if args.video and args.pixel_decoder:
        raise SystemExit("--video takes each config as it is, without --pixel-decoder")
    opts = [word for word in args.opts if word != "--"]
    rows = []
    for path in args.config_file:
        for choice in args.pixel_decoder or [None]:
            chosen = [*opts, "MODEL.SEM_SEG_HEAD.NAME", choice] if choice else opts
            rows += (
                measure_video(path, chosen, args.video, args.runs) if args.video else [measure(path, chosen, args.runs)]
            )
    if args.video:
        title, headers, marks = describe(args.video, args.runs, opts), VIDEO_HEADERS, VIDEO_MARKS
    else:
        title = f"One clip, median of {args.runs}, PyTorch {torch.__version__}, {device_name()}."
        headers, marks = HEADERS, MARKS
    table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    print(f"{title}\n\n{table}")
    if args.write:
        write_table(args.write, f"{title}\n\n{table}", marks)


if __name__ == "__main__":
    main()
