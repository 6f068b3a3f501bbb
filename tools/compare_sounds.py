#!/usr/bin/env python3
"""Does the model listen? Scores it with each clip's own sound and with sounds that nothing in the picture makes.

    tools/compare_sounds.py --config-file configs/avs_s4_R101.yaml MODEL.WEIGHTS output/avs_s4_R101/model_best.pth

It is `train_net.py --eval-only` once for each sound of TEST.AUDIO. Below OUTPUT_DIR/sounds it writes sounds.md (the
table that it prints), a picture a dataset (the same as bars), and what the evaluator writes in a folder for each sound.
docs/METRICS.md tells what the scores are.
"""

from pathlib import Path

from transavs import AVSPredictor
from transavs.command_line import CommandParser, run
from transavs.data.corrupt_clips import UNREADABLE
from transavs.engine.setup import setup
from transavs.engine.sounds import score_sounds, sounds_table
from transavs.visualization.scores import score_bars
from transavs.weights.published import WeightsError


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file()
    parser.add_opts()
    return parser


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    cfg = parser.read_config(args.config_file, args.opts)
    parser.check_weights(cfg)
    cfg = setup(cfg, args)
    model = AVSPredictor(cfg).model
    folder = Path(cfg.OUTPUT_DIR) / "sounds"
    folder.mkdir(parents=True, exist_ok=True)
    tables = []
    for dataset in cfg.DATASETS.TEST:
        results, left_out = score_sounds(cfg, model, dataset, folder)
        score_bars(results, dataset).savefig(folder / f"{dataset}.png")
        tables.append(sounds_table(dataset, results, left_out))
    (folder / "sounds.md").write_text("\n\n".join(tables) + "\n", encoding="utf-8")
    print("\n" + "\n\n".join(tables) + f"\n\nTables and pictures: {folder}")


if __name__ == "__main__":
    run(main, *UNREADABLE, WeightsError, OSError)
