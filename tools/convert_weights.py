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

import argparse
import os
import re
import sys

from arguments import require_config_file, require_new_output
from detectron2.modeling import build_model

from transavs.config import read_config
from transavs.weights.conversion import convert, merge, write_checkpoint
from transavs.weights.reading import WeightsError

CONFIG_KEY = r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)+"


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, metavar="FILE", help="of the model that the weights are for")
    parser.add_argument("--output", required=True, metavar="FILE.pth", help="a new file")
    parser.add_argument("--allow-partial", action="store_true", help="write what fits, though not all of a file does")
    parser.add_argument(
        "given",
        nargs="+",
        metavar="FILE ... [KEY VALUE ...]",
        help="files or addresses of weights; then changes to the config",
    )
    args = parser.parse_intermixed_args(arguments)
    keys = [i for i, word in enumerate(args.given) if re.fullmatch(CONFIG_KEY, word) and not os.path.exists(word)]
    first_key = keys[0] if keys else len(args.given)
    args.files, args.opts = args.given[:first_key], args.given[first_key:]
    if not args.files:
        parser.error("no file of weights was given")
    if len(args.opts) % 2:
        parser.error(f"the config's keys and values do not pair up: {' '.join(args.opts)}")
    require_config_file(parser, args.config_file)
    if not args.output.endswith(".pth"):
        parser.error(f"--output {args.output}: must end with .pth, by which Detectron2 knows how to read it")
    require_new_output(parser, args.output)
    return args


def build(args):
    """The config's model with random weights, on the CPU."""
    cfg = read_config(args.config_file, args.opts)
    cfg.MODEL.DEVICE = "cpu"
    return build_model(cfg)


def main(arguments=None):
    args = parse_args(arguments)
    model = build(args)
    conversions = []
    for path in args.files:
        conversions.append(convert(path, model))
        print(conversions[-1].report(), flush=True)
    partial = [conversion.path for conversion in conversions if not conversion.complete]
    if partial and not args.allow_partial:
        raise WeightsError(
            f"{', '.join(partial)}: fits only in part; nothing was written (--allow-partial writes what fits)"
        )
    weights = merge(conversions)
    write_checkpoint(weights, args.output)
    parts = [
        name
        for name, part in model.named_children()
        if part.state_dict() and not any(key.startswith(f"{name}.") for key in weights)
    ]
    print(
        f"Wrote {args.output}: {len(weights)} of the model's {len(model.state_dict())} weights. "
        f"Without any: {', '.join(parts) or 'no part'}"
    )


if __name__ == "__main__":
    try:
        main()
    except (WeightsError, OSError) as error:
        sys.exit(f"convert_weights: {error}")
