"""Does the model listen? Its scores with each clip's own sound and with sounds that nothing in the picture makes."""

import json
from pathlib import Path

from detectron2.config import CfgNode
from tabulate import tabulate
from torch import nn

from ..data.audio_modes import AUDIO_MODES, AudioModeError
from ..evaluation.avs_evaluator import RESULTS_FILE
from .trainer import AVSTrainer

SCORES = ("mJ", "mF", "FPR_pixel", "FPR_frame")
Scores = dict[str, float | None]  # by name, in percent; None where there is none


def score_sounds(
    cfg: CfgNode, model: nn.Module, dataset: str, folder: Path
) -> tuple[dict[str, Scores], dict[str, str]]:
    """Scores the model once for each sound of TEST.AUDIO.

    Args:
        cfg: of the model.
        model: with its weights.
        dataset: a registered name.
        folder: gets a folder for each sound, with what the evaluator writes.

    Returns:
        the scores by sound; and why sounds were left out, by sound: what is off screen is not known of AVSBench's MS3.
    """
    results, left_out = {}, {}
    for sound in AUDIO_MODES:
        try:
            results[sound] = _score(cfg, model, dataset, sound, folder / sound)
        except AudioModeError as error:
            left_out[sound] = str(error)
    return results, left_out


def _score(cfg: CfgNode, model: nn.Module, dataset: str, sound: str, folder: Path) -> Scores:
    """SCORES, after mIoU where there are classes; FPR_frame is None where no frame is silent."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.OUTPUT_DIR, cfg.TEST.AUDIO, cfg.DATASETS.TEST = str(folder), sound, (dataset,)
    AVSTrainer.test(cfg, model)
    results = json.loads((folder / "inference" / dataset / RESULTS_FILE).read_text())
    scores: Scores = {name: 100 * results["scores"][name] for name in SCORES}
    if "semantic" in results:
        scores = {"mIoU": 100 * results["semantic"]["mIoU"], **scores}
    return scores if results["num_silent_frames"] else {**scores, "FPR_frame": None}


def sounds_table(dataset: str, results: dict[str, Scores], left_out: dict[str, str]) -> str:
    """GitHub Markdown of what `score_sounds` returns."""
    rows = [
        [sound, *("–" if value is None else f"{value:.1f}" for value in scores.values())]
        for sound, scores in results.items()
    ]
    headers = [f"{dataset}: sound", *next(iter(results.values()))]
    table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    return "\n".join([table, *(f"\n{sound} left out: {reason}" for sound, reason in left_out.items())])
