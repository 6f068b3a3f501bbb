"""How many training clips a loader's worker makes in a second, with mixing and without."""

import itertools
from typing import Any

import torch
from detectron2.config import CfgNode

from ..engine.trainer import AVSTrainer
from .measuring import in_turn

CLIPS = 64
HEADERS = ["config", "clips of", "frames", "pixels", "clips/s of a worker", "all of them mixed"]


def measure_loading(cfg: CfgNode, name: str, runs: int) -> list[Any]:
    """A row of the table of HEADERS.

    Args:
        cfg: of the training; of its data sets the first clips that training would see are made, in one thread.
        name: the config's, for the table.
        runs: timed runs of each, after one that is not counted.
    """
    plain, mixed = (_first_clips(_with_mixing(cfg, probability)) for probability in (0.0, 1.0))
    clip = plain[0][plain[1][0]]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    try:
        seconds = in_turn(runs, *(lambda made=made: [made[0][place] for place in made[1]] for made in (plain, mixed)))
    finally:
        torch.set_num_threads(threads)
    frames, _, height, width = clip["images"].shape
    rates = [f"{CLIPS / took:.1f}" for took in seconds]
    return [name, ", ".join(cfg.DATASETS.TRAIN), frames, f"{width} x {height}", *rates]


def _with_mixing(cfg: CfgNode, probability: float) -> CfgNode:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.INPUT.MIXING.PROBABILITY = probability
    return cfg


def _first_clips(cfg: CfgNode) -> tuple[Any, list[Any]]:
    """The training's clips, and the places of the first CLIPS that it sees."""
    loader = AVSTrainer.build_train_loader(cfg)
    assert loader.batch_sampler is not None
    return loader.dataset, list(itertools.islice(itertools.chain.from_iterable(loader.batch_sampler), CLIPS))
