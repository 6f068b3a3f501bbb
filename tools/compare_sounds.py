#!/usr/bin/env python3
"""Does the model listen? Scores it with each clip's own sound and with sounds that nothing in the picture makes.

    tools/compare_sounds.py --config-file configs/avs_s4_R101.yaml MODEL.WEIGHTS output/avs_s4_R101/model_best.pth

It is `train_net.py --eval-only` once for each sound of TEST.AUDIO. Below OUTPUT_DIR/sounds it writes sounds.md (the
table that it prints) and sounds.png (the same as bars), and what the evaluator writes in a folder for each sound.
docs/METRICS.md tells what the scores are.
"""

import json
from pathlib import Path

import matplotlib
import numpy as np
from tabulate import tabulate

from transavs.command_line import CommandParser
from transavs.data.audio_modes import AUDIO_MODES, AudioModeError
from transavs.engine import AVSTrainer
from transavs.engine.setup import setup
from transavs.evaluation.avs_evaluator import RESULTS_FILE
from transavs.weights.checkpointer import AVSCheckpointer

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402  the backend comes first

SCORES = ("mJ", "mF", "FPR_pixel", "FPR_frame")


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file()
    parser.add_opts()
    parser.set_defaults(eval_only=True)
    return parser


def score(cfg, model, dataset, sound, folder):
    """Returns: dict[str, float or None], the SCORES in percent; None where no frame is silent."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.OUTPUT_DIR, cfg.TEST.AUDIO, cfg.DATASETS.TEST = str(folder / sound), sound, (dataset,)
    AVSTrainer.test(cfg, model)
    results = json.loads((folder / sound / "inference" / dataset / RESULTS_FILE).read_text())
    scores = {name: 100 * results["scores"][name] for name in SCORES}
    return scores if results["num_silent_frames"] else {**scores, "FPR_frame": None}


def draw_bars(results, title, path):
    """A group of bars a score, a bar a sound."""
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    width = 0.8 / len(results)
    for number, (sound, scores) in enumerate(results.items()):
        heights = [scores[name] or 0 for name in SCORES]
        bars = axes.bar(np.arange(len(SCORES)) + (number - (len(results) - 1) / 2) * width, heights, width, label=sound)
        axes.bar_label(bars, ["–" if scores[name] is None else f"{scores[name]:.0f}" for name in SCORES], fontsize=8)
    axes.set_xticks(range(len(SCORES)), SCORES)
    axes.set(title=title, ylabel="percent", ylim=(0, 105))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(ncols=len(results), loc="outside lower center", frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def compare(cfg, model, dataset, folder):
    """Scores every sound, draws the bars. Returns: the table, GitHub Markdown."""
    results, left_out = {}, []
    for sound in AUDIO_MODES:
        try:
            results[sound] = score(cfg, model, dataset, sound, folder)
        except AudioModeError as error:  # what AVSBench's MS3 clips show is not known
            left_out.append(f"\n{sound} left out: {error}")
    rows = [
        [sound, *("–" if value is None else f"{value:.1f}" for value in scores.values())]
        for sound, scores in results.items()
    ]
    table = tabulate(rows, [f"{dataset}: sound", *SCORES], tablefmt="github", disable_numparse=True)
    draw_bars(results, dataset, folder / f"{dataset}.png")
    return "\n".join([table, *left_out])


def main():
    parser = make_parser()
    args = parser.parse_args()
    cfg = setup(parser.read_config(args.config_file, args.opts), args)
    model = AVSTrainer.build_model(cfg)
    AVSCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    folder = Path(cfg.OUTPUT_DIR) / "sounds"
    folder.mkdir(parents=True, exist_ok=True)
    tables = [compare(cfg, model, dataset, folder) for dataset in cfg.DATASETS.TEST]
    (folder / "sounds.md").write_text("\n\n".join(tables) + "\n", encoding="utf-8")
    print("\n" + "\n\n".join(tables) + f"\n\nTables and pictures: {folder}")


if __name__ == "__main__":
    main()
