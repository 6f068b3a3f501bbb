import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d
from torch import nn

from transavs.modeling.linear import PointwiseConv2d
from transavs.modeling.prediction import prepare_for_prediction

NORMS = FrozenBatchNorm2d, nn.BatchNorm2d
BOTTLENECKS = "MODEL.RESNETS.DEPTH", 50, "MODEL.RESNETS.RES2_OUT_CHANNELS", 256  # convolutions of one pixel


@pytest.mark.parametrize("norm", ["FrozenBN", "BN"])
def test_a_prepared_backbone_gives_the_same_features_without_a_batch_norm(small_model, norm):
    backbone = small_model("MODEL.RESNETS.NORM", norm, *BOTTLENECKS).backbone
    for layer in backbone.modules():
        if isinstance(layer, NORMS):  # as after training
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.normal_()
    frames = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = backbone(frames)
        prepare_for_prediction(backbone)
        found = backbone(frames)
    assert not any(isinstance(layer, NORMS) for layer in backbone.modules())
    assert any(isinstance(layer, PointwiseConv2d) for layer in backbone.modules())
    for name, feature in expected.items():
        assert (found[name] - feature).abs().max() <= 1e-5 * feature.abs().max()
