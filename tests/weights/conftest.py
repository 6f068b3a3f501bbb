import pytest
import torch

from detectron2.modeling import build_model


@pytest.fixture
def small_model(small_cfg):
    """Makes a small model in evaluation mode, on a ResNet-18 of Detectron2 or a timm model; takes config overrides."""
    def make(*overrides, timm=None):
        backbone = ["MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", timm] if timm else []
        return build_model(small_cfg(*backbone, *overrides)).eval()

    return make


@pytest.fixture
def saved(tmp_path):
    """Saves a state dict as torch does and gives its path."""
    def save(state_dict, name="weights.pth"):
        torch.save(state_dict, tmp_path / name)
        return str(tmp_path / name)

    return save
