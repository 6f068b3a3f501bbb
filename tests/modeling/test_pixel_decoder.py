import pytest
import torch
from detectron2.layers import ShapeSpec
from torch.nn import functional as F

from transavs.modeling.pixel_decoder import FPNPixelDecoder

SHAPES = {
    "res2": ShapeSpec(channels=3, stride=4),
    "res3": ShapeSpec(channels=4, stride=8),
    "res4": ShapeSpec(channels=5, stride=16),
    "res5": ShapeSpec(channels=6, stride=32),
}


def make_decoder(level_strides=(32, 16, 8), mask_stride=4):
    torch.manual_seed(0)
    return FPNPixelDecoder(SHAPES, conv_dim=8, norm="", level_strides=level_strides, mask_stride=mask_stride).eval()


def features(side=64):
    torch.manual_seed(1)
    return {name: torch.randn(2, s.channels, side // s.stride, side // s.stride) for name, s in SHAPES.items()}


def naive_pyramid(decoder, given, finest):
    pyramid, stride, names = {}, 32, {shape.stride: name for name, shape in SHAPES.items()}
    coarser = None
    while stride >= finest:
        current = 0
        if stride in names:
            lateral = decoder.lateral[str(stride)]
            current = F.conv2d(given[names[stride]], lateral.weight, lateral.bias)
        if coarser is not None:
            current = current + coarser.repeat_interleave(2, 2).repeat_interleave(2, 3)
        smooth = decoder.smooth[str(stride)]
        coarser = pyramid[stride] = F.conv2d(current, smooth.weight, smooth.bias, padding=1).clamp(min=0)
        stride //= 2
    return pyramid


@pytest.mark.parametrize("level_strides, mask_stride", [((32, 16, 8), 4), ((8, 4, 2), 1), ((16, 8, 4), 4)])
def test_outputs_are_those_of_the_pyramid_at_the_strides_asked_for(level_strides, mask_stride):
    decoder, given = make_decoder(level_strides, mask_stride), features()
    levels, mask_features = decoder(given)
    expected = naive_pyramid(decoder, given, min(*level_strides, mask_stride))
    for level, stride in zip([*levels, mask_features], [*level_strides, mask_stride]):
        assert level.shape[-1] == 64 // stride
        torch.testing.assert_close(level, expected[stride], rtol=1e-4, atol=1e-4)


def test_steps_that_nobody_asks_for_are_not_built():
    decoder = make_decoder((32, 16, 8), mask_stride=8)
    assert sorted(map(int, decoder.smooth)) == [8, 16, 32]


def test_a_stride_the_backbone_cannot_give_names_the_keys():
    with pytest.raises(ValueError, match=r"LEVEL_STRIDES \[64, 16, 8\].*64.*\[32, 16, 8, 4\]"):
        make_decoder((64, 16, 8))
