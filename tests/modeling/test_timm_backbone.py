"""Values come from timm's own untouched models and from torchvision's, which were written apart from timm's."""

import copy
import math
import pickle
import re

import pytest
import torch
import torchvision
from detectron2.layers import ShapeSpec
from torch.nn import functional as F

from transavs.modeling.backbone import TimmBackbone

SWIN, PVT, CONVNEXT, RESNET = "swin_tiny_patch4_window7_224", "pvt_v2_b0", "convnext_atto", "resnet18"
FAMILIES = [SWIN, PVT, CONVNEXT, RESNET]
NAMES = ["res2", "res3", "res4", "res5"]


def load(backbone, state_dict):
    """timm's own weights, all but the head's and the last norm's."""
    result = backbone.model.load_state_dict(state_dict, strict=False)
    assert not result.missing_keys and set(result.unexpected_keys) == backbone.unused_names
    return backbone


# ---- what comes out ----


@pytest.mark.parametrize(
    "name, channels",
    [
        (SWIN, [96, 192, 384, 768]),
        (PVT, [32, 64, 160, 256]),
        (CONVNEXT, [40, 80, 160, 320]),
        (RESNET, [64, 128, 256, 512]),
        ("mobilenetv3_small_050", [8, 16, 24, 288]),  # has a feature at stride 2 as well
        ("swinv2_tiny_window8_256", [96, 192, 384, 768]),
    ],
)
@torch.no_grad()
def test_features_have_the_channels_and_strides_that_are_told(make_frames, name, channels):
    backbone = TimmBackbone(model_name=name).eval()
    shapes = backbone.output_shape()
    assert shapes == {n: ShapeSpec(channels=c, stride=s) for n, c, s in zip(NAMES, channels, (4, 8, 16, 32))}
    assert backbone.size_divisibility == 32
    for height, width in [(224, 224), (96, 160), (32, 32), (250, 333)]:
        features = backbone(make_frames(height, width, 1))
        for key, shape in shapes.items():
            cells = [math.ceil(side / 32) * 32 // shape.stride for side in (height, width)]
            assert features[key].shape == (1, shape.channels, *cells)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, channels",
    [
        ("swin_base_patch4_window7_224.ms_in22k", [128, 256, 512, 1024]),
        ("swin_base_patch4_window12_384", [128, 256, 512, 1024]),
        ("pvt_v2_b5", [64, 128, 320, 512]),
    ],
)
@torch.no_grad()
def test_the_published_sizes_build_and_run_at_avsbenchs_224(make_frames, name, channels):
    backbone = TimmBackbone(model_name=name).eval()
    features = backbone(make_frames(224, 224, 1))
    sides = (56, 28, 14, 7)
    assert [tuple(f.shape) for f in features.values()] == [(1, c, s, s) for c, s in zip(channels, sides)]


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_features_equal_those_of_timms_whole_model(make_frames, assert_same_features, name, make_timm):
    whole = make_timm(name)
    backbone = load(TimmBackbone(model_name=name), whole.state_dict()).eval()
    last, features = whole.forward_intermediates(make_frames(224, 224), indices=4)
    found = backbone(make_frames(224, 224))
    assert_same_features(found, features, rtol=0, atol=0)
    if name in (PVT, RESNET):  # the others' `forward_features` ends with a norm
        assert torch.equal(whole.forward_features(make_frames(224, 224)), last) and torch.equal(found["res5"], last)


@torch.no_grad()
def test_a_resnet_equals_torchvisions_at_any_size(make_frames, assert_same_features):
    reference = torchvision.models.resnet18().eval()
    backbone = load(TimmBackbone(model_name=RESNET), reference.state_dict()).eval()
    x = make_frames(96, 160)
    found = backbone(x)
    x, expected = reference.maxpool(reference.relu(reference.bn1(reference.conv1(x)))), []
    for layer in (reference.layer1, reference.layer2, reference.layer3, reference.layer4):
        x = layer(x)
        expected.append(x)
    assert_same_features(found, expected)


def timm_swin_name(name):
    """torchvision's name of a Swin's weight as timm's; None for those of the head and of fixed indices."""
    part = re.match(r"features\.(\d)\.(.+)", name)
    if not part or "relative_position_index" in name:
        return None
    number, rest = int(part[1]), part[2].replace("mlp.0", "mlp.fc1").replace("mlp.3", "mlp.fc2")
    if number == 0:
        return {"0": "patch_embed.proj", "2": "patch_embed.norm"}[rest[0]] + rest[1:]
    return f"layers.{number // 2}." + (f"blocks.{rest}" if number % 2 else f"downsample.{rest}")


@pytest.mark.parametrize(
    "size", [(224, 224), (256, 352), pytest.param((448, 448), marks=pytest.mark.slow), (160, 96), (32, 64)]
)
@torch.no_grad()
def test_a_swin_equals_torchvisions_at_any_size(make_frames, assert_same_features, size):
    reference = torchvision.models.swin_t().eval()
    for name, parameter in reference.named_parameters():
        if "relative_position_bias_table" in name:
            parameter.normal_()
    backbone = TimmBackbone(model_name=SWIN).eval()
    renamed = {timm_swin_name(name): value for name, value in reference.state_dict().items()}
    del renamed[None]
    backbone.model.load_state_dict(renamed)
    x, expected = make_frames(*size), []
    found = backbone(x)
    for number, layer in enumerate(reference.features):
        x = layer(x)
        if number % 2:
            expected.append(x.permute(0, 3, 1, 2))
    assert_same_features(found, expected)


@pytest.mark.parametrize("name", ["swinv2_tiny_window8_256", "swin_s3_tiny_224"])
@torch.no_grad()
def test_other_swins_equal_timms_at_their_own_size(make_frames, assert_same_features, name, make_timm):
    whole = make_timm(name)
    backbone = load(TimmBackbone(model_name=name), whole.state_dict()).eval()
    frames = make_frames(*whole.pretrained_cfg["input_size"][1:], count=1)
    assert_same_features(backbone(frames), whole.forward_intermediates(frames, intermediates_only=True))


@pytest.mark.parametrize("name", [SWIN, "swinv2_tiny_window8_256"])
@torch.no_grad()
def test_opposite_edges_of_a_padded_map_do_not_see_each_other(make_frames, name):
    """Of a 64 x 64 cell map, in windows of 7 or 8, the first stage's two blocks reach at most 13 cells far."""
    backbone = TimmBackbone(model_name=name).eval()
    frames = make_frames(260, 260, 1)
    changed = frames.clone()
    changed[..., :8, :] += 1.0
    difference = (backbone(frames)["res2"] - backbone(changed)["res2"]).abs().amax(dim=(0, 1, 3))
    assert difference[:2].min() > 1e-3 and difference[20:].max() == 0


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_sizes_that_are_no_multiples_of_32_are_padded_with_zeros(make_frames, assert_same_features, name):
    backbone = TimmBackbone(model_name=name).eval()
    frames = make_frames(70, 101)
    assert_same_features(backbone(frames), backbone(F.pad(frames, (0, 27, 0, 26))).values(), rtol=0, atol=0)


@torch.no_grad()
def test_a_frame_does_not_depend_on_the_sizes_that_went_before(make_frames, assert_same_features):
    backbone = TimmBackbone(model_name=SWIN).eval()
    before = backbone(make_frames(64, 96))
    backbone(make_frames(320, 288))
    assert_same_features(backbone(make_frames(64, 96)), before.values(), rtol=0, atol=0)


@torch.no_grad()
def test_output_norms_are_layer_norms_over_channels(make_frames, assert_same_features):
    plain = TimmBackbone(model_name=SWIN).eval()
    normed = TimmBackbone(model_name=SWIN, output_norm=True).eval()
    normed.model.load_state_dict(plain.model.state_dict())
    for name in NAMES:
        normed.norms[name].weight.fill_(2.0)
        normed.norms[name].bias.fill_(0.5)
    expected = []
    for feature in plain(make_frames()).values():
        mean, variance = feature.mean(1, keepdim=True), feature.var(1, keepdim=True, correction=0)
        expected.append((feature - mean) / (variance + 1e-6).sqrt() * 2 + 0.5)
    assert_same_features(normed(make_frames()), expected, rtol=1e-4, atol=1e-4)
    assert not list(plain.norms.parameters())


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_copies_and_pickles_give_the_same_features(make_frames, assert_same_features, name):
    backbone = TimmBackbone(model_name=name).eval()
    for other in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        assert_same_features(other(make_frames()), backbone(make_frames()).values(), rtol=0, atol=0)


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_bfloat16_autocast_comes_near_the_full_precision(make_frames, name):
    backbone = TimmBackbone(model_name=name, output_norm=True).eval()
    full = backbone(make_frames(100, 140))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = backbone(make_frames(100, 140))
    for key, feature in half.items():
        assert feature.isfinite().all()
        assert F.cosine_similarity(feature.float().flatten(), full[key].flatten(), dim=0) > 0.99
