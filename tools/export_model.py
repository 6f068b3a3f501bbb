#!/usr/bin/env python3
"""Writes a trained model as one file that runs without this project: TorchScript, or ONNX.

    tools/export_model.py --config-file configs/avs_s4_R101.yaml --format torchscript --output model.pt \\
        MODEL.WEIGHTS output/avs_s4_R101/model_best.pth

The file takes one clip: `images` [F, 3, H, W], of 255, in the config's INPUT.FORMAT, frame i showing second i, F at
most T; and `audio_log_mel` float32 [T, 1, 96, 64]. It gives `sem_seg` float32 [F, NUM_CLASSES, H, W], probabilities.
H and W are fixed: frames are to be resized to them before. TorchScript takes images of uint8 or float, and runs on the
device it was exported on, MODEL.DEVICE; ONNX takes float32.

What was written is run and compared with the model, on the first clip of DATASETS.TEST where that is there, else on
noise. Where it differs, the file is not kept and the exit status is not zero. ONNX needs the packages onnx, onnxscript
and onnxruntime.
"""

import argparse
import importlib.util
import os
import sys

import torch
from arguments import require_config_file, require_new_output
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from torch.nn import functional as F

from transavs.config import read_config
from transavs.data import AVSDatasetError
from transavs.data.audio import EXAMPLE_SHAPE
from transavs.data.mapper import AVSDatasetMapper
from transavs.export import ClipSegmenter, export_onnx, export_torchscript, run_onnx, run_torchscript
from transavs.weights.checkpointer import AVSCheckpointer

FORMATS = {"torchscript": (export_torchscript, run_torchscript), "onnx": (export_onnx, run_onnx)}
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
LARGEST_DIFFERENCE = 1e-3  # of a probability, from the model's own


class ExportError(RuntimeError):
    """What was written does not do what the model does."""


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, metavar="FILE", help="of the model")
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--output", required=True, metavar="FILE", help="a new file")
    parser.add_argument(
        "--size",
        nargs=2,
        type=int,
        metavar=("H", "W"),
        help="of the frames, in pixels; default: INPUT.MIN_SIZE_TEST, both",
    )
    parser.add_argument(
        "opts",
        nargs=argparse.REMAINDER,
        metavar="KEY VALUE",
        help="changes to the config; MODEL.WEIGHTS is the checkpoint",
    )
    args = parser.parse_args(arguments)
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if args.format == "onnx" and missing:
        parser.error(f"--format onnx needs {', '.join(missing)}: pip install {' '.join(missing)}")
    require_config_file(parser, args.config_file)
    if not os.path.isdir(os.path.dirname(args.output) or "."):
        parser.error(f"--output {args.output}: there is no folder {os.path.dirname(args.output)}")
    require_new_output(parser, args.output)
    return args


def load_config(args):
    cfg = read_config(args.config_file, args.opts)
    if args.format == "onnx" or not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    return cfg


def noise_clip(cfg, size):
    """Returns: images uint8 [T, 3, H, W] and log-mel float32 [T, 1, 96, 64]"""
    generator, seconds = torch.Generator().manual_seed(0), cfg.MODEL.TRANSAVS.NUM_FRAMES
    images = torch.randint(0, 256, (seconds, 3, *size), dtype=torch.uint8, generator=generator)
    return images, torch.randn(seconds, *EXAMPLE_SHAPE, generator=generator)


def clip_to_compare_on(cfg, size):
    """The first clip of DATASETS.TEST, its frames brought to `size`; noise where there is none.

    Returns:
        tuple[str, Tensor, Tensor]: what it is, images uint8 [T, 3, H, W], log-mel float32 [T, 1, 96, 64]
    """
    try:
        name = cfg.DATASETS.TEST[0]
        clip = AVSDatasetMapper(cfg, is_train=False)(DatasetCatalog.get(name)[0])
    except (AVSDatasetError, IndexError, KeyError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        return f"noise, for want of a clip of DATASETS.TEST ({reason})", *noise_clip(cfg, size)
    images = F.interpolate(clip["images"].float(), size=size, mode="bilinear", align_corners=False)
    return f"clip {clip['video_id']} of {name}", images.round().byte(), clip["audio_log_mel"]


@torch.no_grad()
def check(model, run, path, what, images, audio_log_mel):
    """Compares the file with the model, on the whole clip and on its first frame alone; prints what it finds.

    Raises:
        ExportError: they differ by more than LARGEST_DIFFERENCE.
    """
    expected = model([{"images": images, "audio_log_mel": audio_log_mel}])[0]["sem_seg"]
    images, audio_log_mel = images.to(model.device), audio_log_mel.to(model.device)
    difference = (
        torch.stack(
            [(run(path, images[:frames], audio_log_mel) - expected[:frames]).abs().max() for frames in (len(images), 1)]
        )
        .max()
        .item()
    )
    print(
        f"Compared with the model on {what}: the largest difference is {difference:.1e}, of a map that reaches "
        f"{expected.max():.3f}"
    )
    if expected.max() == 0:
        print("Nothing sounds to this model in that clip, so this says little: is MODEL.WEIGHTS a trained model?")
    if not difference <= LARGEST_DIFFERENCE:  # nor may it be NaN
        raise ExportError(f"differs from the model by {difference:.1e}, more than {LARGEST_DIFFERENCE:.0e}")


def main(arguments=None):
    args = parse_args(arguments)
    cfg = load_config(args)
    size = tuple(args.size or [cfg.INPUT.MIN_SIZE_TEST] * 2)
    model = build_model(cfg).eval()
    AVSCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    export, run = FORMATS[args.format]
    unchecked = f"{args.output}.unchecked"
    try:
        export(ClipSegmenter(model, size), *(tensor.to(model.device) for tensor in noise_clip(cfg, size)), unchecked)
        check(model, run, unchecked, *clip_to_compare_on(cfg, size))
        os.replace(unchecked, args.output)
    finally:
        if os.path.exists(unchecked):
            os.remove(unchecked)
    print(
        f"Wrote {args.output}: {os.path.getsize(args.output) / 2**20:.1f} MiB, for frames of {size[0]} x {size[1]} "
        f"pixels (height x width), {cfg.INPUT.FORMAT}"
    )


if __name__ == "__main__":
    try:
        main()
    except (ExportError, OSError) as error:
        sys.exit(f"export_model: {error}")
