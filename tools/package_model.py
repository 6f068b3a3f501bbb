#!/usr/bin/env python3
"""Makes a folder of a trained model, to be kept, passed on, and used by its name.

    tools/package_model.py --config-file configs/plus/stamps_s4_lite0.yaml --output checkpoints/stamps_s4_lite0 \\
        --results output/plus/stamps_s4_lite0/sounds MODEL.WEIGHTS output/plus/stamps_s4_lite0/model_best.pth

It holds model.safetensors (the weights in half precision, and nothing else of the checkpoint), config.yaml (which
builds on no other file), README.md (a card) and SHA256SUMS. What was written is read back and compared with the model,
on the first clip of DATASETS.TEST where that is there, else on noise.

Folders in checkpoints/ come along with the package. AVSPredictor.from_pretrained and --config-file take them by their
name, and any other by its path.
"""

import shlex
from pathlib import Path

from transavs import AVSPredictor
from transavs.command_line import CommandParser, run
from transavs.engine.devices import fall_back_to_cpu
from transavs.engine.export_check import clip_to_compare_on, compare_with_model
from transavs.weights.card import model_card, sounds_scores
from transavs.weights.packaging import write_trained_model
from transavs.weights.pretrained import WEIGHTS_FILE
from transavs.weights.published import WeightsError


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file()
    parser.add_output_folder()
    parser.add_argument("--results", metavar="FOLDER", help="the folder sounds/ of compare_sounds.py, for the card")
    parser.add_argument(
        "--made-by",
        action="append",
        metavar="COMMAND",
        help="for the card: a command that made it, given for each; default: train_net.py with the same arguments",
    )
    parser.add_opts()
    return parser


def training_command(args):
    """What has probably made MODEL.WEIGHTS."""
    pairs = [pair for pair in zip(args.opts[::2], args.opts[1::2]) if pair[0] != "MODEL.WEIGHTS"]
    words = ["tools/train_net.py", "--config-file", args.config_file, *(word for pair in pairs for word in pair)]
    return shlex.join(words)


def segment(folder, images, audio_log_mel):
    """What the packaged model says; see `compare_with_model`."""
    model = AVSPredictor.from_pretrained(folder, device=str(images.device)).model
    return model([{"images": images, "audio_log_mel": audio_log_mel}])[0]["sem_seg"]


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    cfg = parser.read_config(args.config_file, args.opts)
    parser.check_weights(cfg)
    parser.make_output_folder(Path(args.output).parent)
    parser.check_new_output(args.output)
    scores = sounds_scores(args.results) if args.results else None
    fall_back_to_cpu(cfg)
    folder = Path(args.output).resolve()
    card = model_card(folder.name, cfg, args.made_by or [training_command(args)], scores)
    digests = write_trained_model(cfg, folder, card)

    size = (folder / WEIGHTS_FILE).stat().st_size / 1e6
    print(f"Wrote {args.output}: {size:.1f} MB, SHA-256 {digests[WEIGHTS_FILE]}")
    what, clip = clip_to_compare_on(cfg, (cfg.INPUT.MIN_SIZE_TEST,) * 2)
    difference, highest = compare_with_model(AVSPredictor(cfg).model, segment, str(folder), clip)
    print(f"On {what} it differs from the model by {difference:.1e} at most, of a map that reaches {highest:.3f}")


if __name__ == "__main__":
    run(main, WeightsError, OSError)
