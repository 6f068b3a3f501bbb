#!/usr/bin/env python3
"""Teaches the audio backbone to name the sounds of Stamps, for a model that then starts with taught ears.

    tools/pretrain_audio.py --config-file configs/stamps/stamps_s4_R18.yaml --output output/ears MODEL.DEVICE cpu
    tools/train_net.py --config-file configs/stamps/stamps_s4_R18.yaml \\
        MODEL.AUDIO_BACKBONE.WEIGHTS output/ears/audio_backbone.safetensors

One to three sounds are heard together, coming and going, and in each second a linear classifier on the backbone's
features tells which. The output folder gets the backbone alone, and scores.json. docs/RESULTS.md tells what was
found out. MODEL.AUDIO_BACKBONE and INPUT.AUDIO count, of the config; the sounds' level and noise are changed, and the
backbone is not frozen, unless KEY VALUE says so. With SOLVER.AMP.ENABLED True it computes in bfloat16, which is faster
where the processor can.
"""

from pathlib import Path

from transavs.command_line import CommandParser, run
from transavs.data import AVSDatasetError
from transavs.data.synthetic.debian import PackageError
from transavs.data.synthetic.sources import stamps_source
from transavs.data.synthetic.stamps import SIZE, load_stamps
from transavs.engine.audio_pretraining import (
    CONFIG_CHANGES,
    LEARNING_RATE,
    SCORES_FILE,
    WEIGHTS_FILE,
    pretrain_and_write,
    scores_table,
)
from transavs.engine.setup import setup
from transavs.weights.published import WeightsError


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file()
    parser.add_output_folder()
    parser.add_argument("--iterations", type=int, default=2000, help="of 16 clips of 5 seconds (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same weights (default: 0)")
    parser.add_argument("--hold-out", action="store_true", help="keep the end of each sound, and score that as well")
    parser.add_argument("--most-sounds", type=int, default=3, help="heard together (default: 3)")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE, help=f"(default: {LEARNING_RATE})")
    parser.add_argument("--stamps-root", help="folder of animals/, hobbies/ ... with <name>.png beside <name>.ogg")
    parser.add_opts()
    return parser


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    parser.check_at_least("--iterations", args.iterations, 1)
    parser.check_at_least("--seed", args.seed, 0)
    parser.check_at_least("--most-sounds", args.most_sounds, 1)
    if not args.learning_rate > 0:
        parser.error(f"--learning-rate {args.learning_rate}: must be above 0")
    cfg = parser.read_config(args.config_file, args.opts, CONFIG_CHANGES)
    parser.make_output_folder(args.output)
    cfg.OUTPUT_DIR, cfg.SEED = args.output, args.seed
    cfg = setup(cfg, args)
    sounds = [stamp.sound for stamp in load_stamps(stamps_source(args.stamps_root).folder, SIZE)]
    results = pretrain_and_write(
        cfg,
        sounds,
        Path(args.output),
        args.iterations,
        args.seed,
        args.hold_out,
        most_sounds=args.most_sounds,
        learning_rate=args.learning_rate,
    )
    print(scores_table(results))
    print(f"\nWeights: {Path(args.output, WEIGHTS_FILE)}; scores: {Path(args.output, SCORES_FILE)}")


if __name__ == "__main__":
    run(main, AVSDatasetError, PackageError, WeightsError, ValueError, OSError)
