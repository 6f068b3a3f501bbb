"""How many training clips a loader's worker makes in a second of its core's time, with mixing and without."""

import itertools
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from torch.utils.data import Dataset

from ..engine.trainer import AVSTrainer
from .measuring import in_turn

CLIPS = 64
HEADERS = ["config", "clips of", "frames", "pixels", "clips/s of a core", "all of them mixed"]


def measure_loading(cfg: CfgNode, name: str, runs: int) -> list[Any]:
    """A row of the table of HEADERS.

    Args:
        cfg: of the training; of its data sets the first clips that training would see are made, in one thread.
        name: the config's, for the table.
        runs: timed runs of each, after one that is not counted.
    """
    probabilities = [0.0] if cfg.INPUT.AUDIO.EMBEDDINGS else [0.0, 1.0]  # mixing needs the sounds themselves
    made = [_first_clips(_with_mixing(cfg, probability)) for probability in probabilities]
    clips, places = made[0]
    clip = clips[places[0]]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    try:
        seconds = in_turn(runs, *(partial(_make, *one) for one in made), clock=time.process_time)
    finally:
        torch.set_num_threads(threads)
    frames, _, height, width = clip["images"].shape
    rates = [f"{CLIPS / took:.1f}" for took in seconds]
    return [name, ", ".join(cfg.DATASETS.TRAIN), frames, f"{width} x {height}", *rates, *["–"] * (2 - len(rates))]


def _make(clips: Dataset[Any], places: Sequence[Any]) -> None:
    for place in places:
        clips[place]


def _with_mixing(cfg: CfgNode, probability: float) -> CfgNode:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.INPUT.MIXING.PROBABILITY = probability
    return cfg


def _first_clips(cfg: CfgNode) -> tuple[Dataset[Any], list[Any]]:
    """The training's clips, and the places of the first CLIPS that it sees."""
    loader = AVSTrainer.build_train_loader(cfg)
    assert loader.batch_sampler is not None
    return loader.dataset, list(itertools.islice(itertools.chain.from_iterable(loader.batch_sampler), CLIPS))
