#!/usr/bin/env python3
"""Makes a checkpoint to start training from out of published weights of the model's parts.

    tools/convert_weights.py --config-file configs/avs_s4_R101.yaml --output init.pth R-101.pkl vggish-10086976.pth
    tools/train_net.py --config-file configs/avs_s4_R101.yaml MODEL.WEIGHTS init.pth

Each file is recognised by its names: a ResNet of Detectron2, torchvision or timm, a Swin or PVT v2 of timm or of its
authors, a torchvision Swin, any other timm model that the config names, VGGish, or a Mask2Former, of which the
backbone, the pixel decoder and the decoder's layers are taken. They fit a config with MODEL.SEM_SEG_HEAD.NAME
MSDeformAttnPixelDecoder and MODEL.TRANSAVS.DIM_FEEDFORWARD 2048.

A file that does not fit as a whole is an error, and nothing is written; --allow-partial writes what fits. What no file
fills is not in the checkpoint: training starts it as without one.
"""

import os
import re

from detectron2.modeling import build_model

from transavs.command_line import CommandParser, run
from transavs.weights.conversion import convert, merge, write_checkpoint
from transavs.weights.published import WeightsError

CONFIG_KEY = r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)+"


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file()
    parser.add_output_file()
    parser.add_argument("--allow-partial", action="store_true", help="write what fits, though not all of a file does")
    parser.add_argument(
        "given",
        nargs="+",
        metavar="FILE ... KEY VALUE ...",
        help="files or addresses of weights; then changes to the config",
    )
    return parser


def split(given):
    """The files, and the KEY VALUE ... that follow them."""
    keys = [i for i, word in enumerate(given) if re.fullmatch(CONFIG_KEY, word) and not os.path.exists(word)]
    first_key = keys[0] if keys else len(given)
    return given[:first_key], given[first_key:]


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_intermixed_args(arguments)
    files, opts = split(args.given)
    if not files:
        parser.error("no file of weights was given")
    cfg = parser.read_config(args.config_file, opts)
    if not args.output.endswith(".pth"):
        parser.error(f"--output {args.output}: must end with .pth, by which Detectron2 knows how to read it")
    parser.check_new_output(args.output)

    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg)
    conversions = []
    for path in files:
        conversions.append(convert(path, model))
        print(conversions[-1].report(), flush=True)
    partial = [conversion.path for conversion in conversions if not conversion.complete]
    if partial and not args.allow_partial:
        raise WeightsError(
            f"{', '.join(partial)}: fits only in part; nothing was written (--allow-partial writes what fits)"
        )
    weights = merge(conversions)
    write_checkpoint(weights, args.output)
    filled = {name.split(".")[0] for name in weights}
    parts = [name for name, part in model.named_children() if part.state_dict() and name not in filled]
    print(
        f"Wrote {args.output}: {len(weights)} of the model's {len(model.state_dict())} weights. "
        f"Without any: {', '.join(parts) or 'no part'}"
    )


if __name__ == "__main__":
    run(main, WeightsError, OSError)
