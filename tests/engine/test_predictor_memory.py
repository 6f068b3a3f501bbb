"""How much memory a long video takes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from transavs.video import VideoWriter

RATE = 16000
CONFIG = Path(__file__).resolve().parents[2] / "configs/stamps/stamps_s4_R18.yaml"

FLAT_MEMORY = """
import re, sys
from pathlib import Path
import torch
from transavs import AVSPredictor
from transavs.config import read_config

def mebibytes(field):
    return int(re.search(rf"{field}:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

config, video = sys.argv[1:]
torch.manual_seed(0)
cfg = read_config(config, ["MODEL.DEVICE", "cpu"])
predictor = AVSPredictor(cfg)
predictor.model.mask_head.classifier.bias.data = torch.tensor([1.0, 0.0])  # untrained, it would find nothing
before, found = mebibytes("VmRSS"), 0
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
for number, result in enumerate(predictor.stream(video)):
    found += len(result.instances)
    if number == 120:
        early = mebibytes("VmHWM") - before
print(number + 1, found, early, mebibytes("VmHWM") - before)
"""


@pytest.fixture
def ten_minutes(tmp_path):
    """640 x 360, two frames a second, with a bright square that moves, and noise to be heard."""
    samples = 0.1 * np.random.default_rng(0).normal(size=600 * RATE).astype(np.float32)
    path = tmp_path / "long.mp4"
    with VideoWriter(path, 360, 640, fps=2, audio=(samples, RATE)) as writer:
        for number in range(1200):
            frame = np.full((360, 640, 3), 60, np.uint8)
            left = number % 500
            frame[100:220, left : left + 120] = 230, 160, 40
            writer.write(frame, number / 2, 0.5)
    return path


@pytest.mark.slow
def test_memory_stays_flat_over_ten_minutes(ten_minutes):
    done = subprocess.run(
        [sys.executable, "-c", FLAT_MEMORY, str(CONFIG), str(ten_minutes)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    count, found, early, late = map(float, done.stdout.split()[-4:])
    assert count == 600 and found > 0
    # The allocator wanders by some tens of MiB; all frames would be 396 MiB, their maps 527 MiB.
    assert late < 1500 and late - early < 100, (early, late)
