from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model

from transavs.video import VideoWriter

ROOT = Path(__file__).resolve().parents[2]
RATE = 16000


@pytest.fixture(scope="module")
def model_arguments(small_cfg, small_overrides, tmp_path_factory):
    """What names a small model on the command line: the config first, the overrides last."""
    torch.manual_seed(0)
    model = build_model(small_cfg("INPUT.MIN_SIZE_TEST", 48))
    model.mask_head.classifier.bias.data = torch.tensor([9.0, 0.0])  # untrained, it would find nothing
    folder = tmp_path_factory.mktemp("model")
    DetectionCheckpointer(model, str(folder)).save("model")
    config = ["--config-file", str(ROOT / "configs/toy/toy_s4_R18.yaml")]
    weights = ["MODEL.WEIGHTS", str(folder / "model.pth")]
    return config, [*small_overrides, "INPUT.MIN_SIZE_TEST", "48", *weights, "TEST.MASK_THRESHOLD", "0.45"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder of two videos, 64 x 48, 2.4 s at 5 frames a second, and two files that are none."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for name in ("bell", "drum"):
        sound = 0.2 * np.sin(2 * np.pi * 440 * np.arange(round(2.4 * RATE)) / RATE)
        with VideoWriter(folder / f"{name}.mp4", 48, 64, fps=5, audio=(sound, RATE)) as writer:
            for number in range(12):
                frame = np.kron(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
                writer.write(frame, number / 5, 0.2)
    (folder / "broken.mp4").write_text("not a video")
    (folder / "notes.txt").write_text("not even called one")
    return folder
