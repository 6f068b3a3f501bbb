"""How often a training step waits for its device."""

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine.train_loop import SimpleTrainer
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from ..engine.trainer import AVSTrainer
from ..model import LOG_PERIOD
from .cost import annotated_frames, random_clip
from .waits import WaitCounter

CLIPS = 2  # a step
HEADERS = ["config", "frames of a clip", "layers", "waits of a step", "of one that is logged"]


def measure_waits(cfg: CfgNode, name: str) -> list[Any]:
    """A row of the table of HEADERS; `name` is the config's."""
    torch.manual_seed(0)
    frames = annotated_frames(cfg)
    model = build_model(cfg).train()
    batch = [random_clip(cfg, frames) for _ in range(CLIPS)]
    trainer = SimpleTrainer(model, [batch] * 2, AVSTrainer.build_optimizer(cfg, model))
    counts = [_count(trainer, iteration) for iteration in (0, LOG_PERIOD - 1)]
    return [name, frames, cfg.MODEL.TRANSAVS.DEC_LAYERS, *counts]


def _count(trainer: SimpleTrainer, iteration: int) -> int:
    trainer.iter = iteration
    with EventStorage(iteration) as trainer.storage, WaitCounter() as waits:
        trainer.run_step()
    return waits.found.total()
