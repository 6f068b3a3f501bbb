"""Trainings of two processes each, two on one machine at once: how they end when one process is told to or killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = [
    *("MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", "test_resnet", "INPUT.IMAGE_SIZE", "32"),
    *("SOLVER.IMS_PER_BATCH", "4", "SOLVER.MAX_ITER", "100000", "SOLVER.CHECKPOINT_PERIOD", "2"),
    *("TEST.EVAL_PERIOD", "0", "DATALOADER.NUM_WORKERS", "1"),
]


class Training:
    """`tools/train_net.py --resume --num-processes 2` in a process group of its own, that goes on until it is ended."""

    def __init__(self, folder, overrides, data):
        self.folder = folder
        command = [sys.executable, "tools/train_net.py", "--config-file", "configs/toy/toy_s4_R18.yaml", "--resume"]
        with open(f"{folder}.txt", "w") as output:
            self._process = subprocess.Popen(
                [*command, "--num-processes", "2", *overrides, *SETTINGS, "OUTPUT_DIR", folder],
                cwd=ROOT,
                env={**os.environ, "DETECTRON2_DATASETS": str(data)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.parent = self._process.pid

    def children(self):
        """The numbers of the two that train."""
        children = Path(f"/proc/{self.parent}/task/{self.parent}/children").read_text().split()
        return [int(child) for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]

    def iteration(self):
        """Of the last checkpoint; -1 where there is none."""
        name = self.folder / "last_checkpoint"
        return torch.load(self.folder / name.read_text())["iteration"] if name.exists() else -1

    def wait_beyond(self, iteration):
        while self.iteration() <= iteration:
            assert self._process.poll() is None, self.output()
            time.sleep(0.2)

    def end(self):
        """Waits for the end, and gives the exit code."""
        return self._process.wait(timeout=100)

    def output(self):
        return Path(f"{self.folder}.txt").read_text()

    def kill(self):
        if self._process.poll() is None:
            os.killpg(self.parent, signal.SIGKILL)


@pytest.fixture
def start(run_script, small_overrides, tmp_path):
    """Starts a training in a folder of that name, or goes on there."""
    made = run_script("datasets/prepare_toy.py", "--subset", "s4", "--output", tmp_path / "toy", "--clips", 4, 1, 1)
    assert made.returncode == 0, made.stdout
    started = []

    def run(name):
        started.append(Training(tmp_path / name, small_overrides, tmp_path))
        return started[-1]

    yield run
    for training in started:
        training.kill()


@pytest.mark.slow(minutes=2)
def test_a_process_that_is_told_to_stop_or_is_killed_ends_its_training_and_no_other(start):
    stopped, killed = start("stopped"), start("killed")
    stopped.wait_beyond(0)
    killed.wait_beyond(0)

    os.kill(stopped.children()[1], signal.SIGTERM)
    assert stopped.end() == 143
    assert "SIGTERM: training stops here; --resume goes on." in stopped.output()
    assert "Traceback" not in stopped.output()

    reached = killed.iteration()
    killed.wait_beyond(reached)  # nothing has happened to it yet
    os.kill(killed.children()[1], signal.SIGKILL)
    assert killed.end() == 1
    assert "train_net.py: error: process 1 was ended by SIGKILL" in killed.output().splitlines()

    reached = killed.iteration()
    resumed = start("killed")
    resumed.wait_beyond(reached)
    os.kill(resumed.parent, signal.SIGTERM)
    assert resumed.end() == 143
    assert f"Starting training from iteration {reached + 1}" in resumed.output()
    assert "SIGTERM: training stops here; --resume goes on." in resumed.output()
    assert "Traceback" not in resumed.output()
