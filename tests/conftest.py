import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model

from transavs import add_transavs_config

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def small_cfg():
    """Makes the config of a model that runs in a fraction of a second; takes overrides as KEY, VALUE, ..."""

    def make(*overrides, file="toy/toy_s4_R18.yaml"):
        cfg = get_cfg()
        add_transavs_config(cfg)
        cfg.merge_from_file(str(ROOT / "configs" / file))
        small = [
            "MODEL.DEVICE",
            "cpu",
            "MODEL.TRANSAVS.NUM_QUERIES",
            6,
            "MODEL.TRANSAVS.HIDDEN_DIM",
            32,
            "MODEL.SEM_SEG_HEAD.CONVS_DIM",
            32,
            "MODEL.AUDIO_BACKBONE.TIMM_MODEL",
            "test_resnet",
        ]
        cfg.merge_from_list([*small, *overrides])
        return cfg

    return make


@pytest.fixture
def run_script():
    """Runs a script of the repository as a user does; gives the finished process, its output as text."""

    def run(script, *arguments, timeout=600, **environment):
        return subprocess.run(
            [sys.executable, str(ROOT / script), *map(str, arguments)],
            cwd=ROOT,
            timeout=timeout,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )

    return run


@pytest.fixture
def small_model(small_cfg):
    """Makes a small model in evaluation mode, on a ResNet-18 of Detectron2 or a timm model; takes config overrides."""

    def make(*overrides, timm=None):
        backbone = ["MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", timm] if timm else []
        return build_model(small_cfg(*backbone, *overrides)).eval()

    return make


@pytest.fixture
def make_timm():
    """Makes timm's own model, whole, with biases and norms that are not those of a fresh model."""

    def make(name, **options):
        model = timm.create_model(name, **options).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        return model

    return make


@pytest.fixture
def saved(tmp_path):
    """Saves a state dict as torch does, or as .safetensors, and gives its path."""

    def save(state_dict, name="weights.pth"):
        write = safetensors.torch.save_file if name.endswith(".safetensors") else torch.save
        write(state_dict, tmp_path / name)
        return str(tmp_path / name)

    return save
