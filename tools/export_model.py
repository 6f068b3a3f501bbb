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

import os

from transavs import AVSPredictor
from transavs.command_line import CommandParser, run
from transavs.engine import export_check
from transavs.engine.devices import fall_back_to_cpu
from transavs.export import ClipSegmenter, export_onnx, export_torchscript, run_onnx, run_torchscript
from transavs.weights.published import WeightsError

FORMATS = {"torchscript": (export_torchscript, run_torchscript), "onnx": (export_onnx, run_onnx)}
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file()
    parser.add_argument("--format", required=True, choices=FORMATS, help="of the file")
    parser.add_output_file()
    parser.add_argument(
        "--size",
        nargs=2,
        type=int,
        metavar=("H", "W"),
        help="of the frames, in pixels; default: INPUT.MIN_SIZE_TEST, both",
    )
    parser.add_opts()
    return parser


def compare(model, run_file, path, what, clip):
    difference, highest = export_check.compare_with_model(model, run_file, path, clip)
    print(
        f"Compared with the model on {what}: the largest difference is {difference:.1e}, of a map that reaches "
        f"{highest:.3f}"
    )
    if highest == 0:
        print("Nothing sounds to this model in that clip, so this says little: is MODEL.WEIGHTS a trained model?")
    export_check.check_difference(difference)


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    if args.format == "onnx":
        parser.check_packages("--format onnx", ONNX_PACKAGES)
    cfg = parser.read_config(args.config_file, args.opts)
    parser.check_new_output(args.output)
    fall_back_to_cpu(cfg)
    if args.format == "onnx":
        cfg.MODEL.DEVICE = "cpu"
    size = tuple(args.size or [cfg.INPUT.MIN_SIZE_TEST] * 2)
    model = AVSPredictor(cfg).model
    export, run_file = FORMATS[args.format]
    example = [tensor.to(model.device) for tensor in export_check.noise_clip(cfg, size)]
    unchecked = f"{args.output}.unchecked"
    try:
        export(ClipSegmenter(model, size), *example, unchecked)
        compare(model, run_file, unchecked, *export_check.clip_to_compare_on(cfg, size))
        os.replace(unchecked, args.output)
    finally:
        if os.path.exists(unchecked):
            os.remove(unchecked)
    print(
        f"Wrote {args.output}: {os.path.getsize(args.output) / 2**20:.1f} MiB, for frames of {size[0]} x {size[1]} "
        f"pixels (height x width), {cfg.INPUT.FORMAT}"
    )


if __name__ == "__main__":
    run(main, export_check.ExportError, WeightsError, OSError)
