import pytest
import torch
from timm.layers import StdConv2d
from torch import nn

from transavs.modeling.backbone.timm_backbone import TimmBackbone
from transavs.modeling.linear import PointwiseConv2d
from transavs.modeling.prediction import BATCH_NORMS, prepare_for_prediction

BOTTLENECKS = "MODEL.RESNETS.DEPTH", 50, "MODEL.RESNETS.RES2_OUT_CHANNELS", 256  # convolutions of one pixel


def check_that_it_gives_the_same(backbone):
    """After preparing. Its batch norms are first given what training might."""
    for layer in backbone.modules():
        if isinstance(layer, BATCH_NORMS):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.normal_()
    frames = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = backbone(frames)
        prepare_for_prediction(backbone)
        found = backbone(frames)
    for name, feature in expected.items():
        assert (found[name] - feature).abs().max() <= 1e-5 * feature.abs().max()


def batch_norms(backbone):
    return [layer for layer in backbone.modules() if isinstance(layer, BATCH_NORMS)]


@pytest.mark.parametrize("norm", ["FrozenBN", "BN"])
def test_a_prepared_backbone_gives_the_same_features_without_a_batch_norm(small_model, norm):
    backbone = small_model("MODEL.RESNETS.NORM", norm, *BOTTLENECKS).backbone
    assert batch_norms(backbone)
    check_that_it_gives_the_same(backbone)
    assert not batch_norms(backbone)
    assert any(isinstance(layer, PointwiseConv2d) for layer in backbone.modules())


@pytest.mark.parametrize("freeze_at", [0, 2])
@pytest.mark.parametrize("name", ["test_efficientnet", "efficientnet_lite0", "resnet18", "mobilenetv3_small_050"])
def test_so_does_one_of_timms(name, freeze_at):
    backbone = TimmBackbone(model_name=name, freeze_at=freeze_at).eval()
    assert batch_norms(backbone)
    check_that_it_gives_the_same(backbone)
    assert not batch_norms(backbone)


def test_norms_without_a_convolution_before_them_stay():
    backbone = TimmBackbone(model_name="densenet121").eval()  # its layers begin with a norm
    before = len(batch_norms(backbone))
    check_that_it_gives_the_same(backbone)
    assert 0 < len(batch_norms(backbone)) < before


def test_a_convolution_that_computes_its_weights_anew_keeps_its_norm():
    layers = nn.Sequential(StdConv2d(3, 4, 3), nn.BatchNorm2d(4))
    prepare_for_prediction(layers)
    assert batch_norms(layers)
