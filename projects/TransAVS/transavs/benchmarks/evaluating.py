"""What an evaluation takes beside the model alone: loading, scoring, encoding and writing.

By processor time, all of it in one process: what overlaps with the model counts as if it did not.
"""

import tempfile
import time
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.evaluation import inference_on_dataset
from detectron2.modeling import build_model

from ..engine.trainer import AVSTrainer
from ..weights.checkpointer import AVSCheckpointer
from .measuring import in_turn

HEADERS = ["config", "dataset", "clips", "model alone (s/clip)", "evaluation (s/clip)", "more (%)"]


def measure_evaluation(cfg: CfgNode, name: str, runs: int) -> list[Any]:
    """A row of the table of HEADERS, for the first of DATASETS.TEST.

    Args:
        cfg: of the model; with "" as MODEL.WEIGHTS they are random.
        name: the config's, for the table.
        runs: timed runs of each, after one that is not counted.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATALOADER.NUM_WORKERS = 0
    model = build_model(cfg).eval()
    AVSCheckpointer(model, cfg=cfg).load(cfg.MODEL.WEIGHTS)
    dataset = cfg.DATASETS.TEST[0]
    loader = AVSTrainer.build_test_loader(cfg, dataset)
    batches = list(loader)

    @torch.no_grad()
    def model_alone() -> None:
        for batch in batches:
            model(batch)

    with tempfile.TemporaryDirectory() as folder:
        cfg.OUTPUT_DIR = folder
        evaluator = AVSTrainer.build_evaluator(cfg, dataset)
        evaluation = partial(inference_on_dataset, model, loader, evaluator)
        alone, whole = in_turn(runs, model_alone, evaluation, clock=time.process_time)
    clips = len(batches)
    return [name, dataset, clips, f"{alone / clips:.3f}", f"{whole / clips:.3f}", f"{100 * (whole / alone - 1):.1f}"]
