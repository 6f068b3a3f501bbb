"""What the processes of test_soak.py do; a file of its own, since spawned processes import it."""

import re
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from detectron2.engine import HookBase

from transavs import AVSPredictor
from transavs.engine.setup import setup
from transavs.engine.trainer import AVSTrainer
from transavs.video import VideoError


class Use(NamedTuple):
    """What this process and those that it started hold.

    Args:
        mebibytes: of resident memory.
        files: that are open, sockets and pipes with them.
    """

    mebibytes: float
    files: int

    @classmethod
    def now(cls, process="self"):
        folder = Path("/proc", process)
        mebibytes = int(re.search(r"VmRSS:\s+(\d+) kB", (folder / "status").read_text())[1]) / 1024
        files = len(list((folder / "fd").iterdir()))
        for children in folder.glob("task/*/children"):
            for child in children.read_text().split():
                of_child = cls.now(child)
                mebibytes, files = mebibytes + of_child.mebibytes, files + of_child.files
        return cls(mebibytes, files)


class Watch(HookBase):
    def __init__(self, period):
        self.period, self.uses = period, []

    def after_step(self):
        if (self.trainer.iter + 1) % self.period == 0:
            self.uses.append(Use.now())


def train(cfg, period):
    """The use after each `period` steps."""
    trainer, watch = AVSTrainer(setup(cfg, Namespace())), Watch(period)
    trainer.register_hooks([watch])
    trainer.resume_or_load(resume=False)
    trainer.train()
    return watch.uses


def predict(cfg, videos, count, period):
    """The use after each `period` of `count` videos, which are taken in turn; and how many were segmented."""
    predictor, uses, segmented = AVSPredictor(cfg), [], 0
    for number in range(count):
        with suppress(VideoError):
            for _ in predictor.stream(videos[number % len(videos)], fps=2):
                pass
            segmented += 1
        if (number + 1) % period == 0:
            uses.append(Use.now())
    return uses, segmented
