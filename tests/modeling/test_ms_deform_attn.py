"""The pixel decoder against Mask2Former's in `transformers`; its sampling: test_deformable_attention.py."""

import sys
from pathlib import Path

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model, build_sem_seg_head
from torch.nn import functional as F

from transavs.modeling.mask_head import MaskHead
from transavs.modeling.pixel_decoder import MSDeformAttnPixelDecoder

ROOT = Path(__file__).resolve().parents[2]
SHAPES = {
    "res2": ShapeSpec(channels=8, stride=4),
    "res3": ShapeSpec(channels=16, stride=8),
    "res4": ShapeSpec(channels=32, stride=16),
    "res5": ShapeSpec(channels=64, stride=32),
}


def make_decoder(
    shapes=SHAPES, conv_dim=32, level_strides=(32, 16, 8), mask_stride=4, num_layers=2, feedforward_dim=48
):
    return MSDeformAttnPixelDecoder(
        shapes,
        conv_dim=conv_dim,
        norm="GN",
        level_strides=level_strides,
        mask_stride=mask_stride,
        num_layers=num_layers,
        num_heads=8,
        num_points=4,
        feedforward_dim=feedforward_dim,
    )


def make_features(height=64, width=96, frames=2, dtype=torch.float32):
    sizes = {name: (frames, s.channels, height // s.stride, width // s.stride) for name, s in SHAPES.items()}
    return {name: torch.randn(size, dtype=dtype, requires_grad=True) for name, size in sizes.items()}


def randomize(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2 / max(1, parameter[0].numel()) ** 0.5)
    return module


# ---- Mask2Former ----


@pytest.fixture(scope="module")
def mask2former():
    """The pixel decoder of a small `transformers.Mask2FormerModel`, on features of SHAPES."""
    with pytest.MonkeyPatch.context() as patch:
        # The root's folder `datasets` is not the package that transformers looks for.
        patch.setattr(sys, "path", [path for path in sys.path if Path(path or ".").resolve() != ROOT])
        from transformers import Mask2FormerConfig, Mask2FormerModel, SwinConfig

        swin = SwinConfig(
            image_size=64,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 1, 1],
            out_features=["stage1", "stage2", "stage3", "stage4"],
        )
        config = Mask2FormerConfig(
            backbone_config=swin,
            feature_size=64,
            mask_feature_size=64,
            hidden_dim=64,
            num_attention_heads=8,
            encoder_feedforward_dim=96,
            encoder_layers=6,
            decoder_layers=2,
        )
        torch.manual_seed(0)
        return randomize(Mask2FormerModel(config).pixel_level_module.decoder).double()


def weights_of(mask2former):
    """Its parameters under this project's names; `mask_projection` is left out."""
    names = {
        "level_embed": "encoder.level_embedding",
        "self_attn_layer_norm": "norm",
        "self_attn.value_proj": "attention.value_projection",
        "self_attn.output_proj": "attention.output_projection",
        "self_attn": "attention",
        "fc1": "feed_forward.map.0",
        "fc2": "feed_forward.map.3",
        "final_layer_norm": "feed_forward.norm",
        "adapter_1.0": "lateral.4",
        "adapter_1.1": "lateral.4.norm",
        "layer_1.0": "smooth.4",
        "layer_1.1": "smooth.4.norm",
        **{f"input_projections.{i}.0": f"input_projections.{i}" for i in range(3)},
        **{f"input_projections.{i}.1": f"input_projections.{i}.norm" for i in range(3)},
    }
    renamed = {}
    for name, parameter in mask2former.named_parameters():
        for old, new in names.items():
            name = name.replace(old, new)
        renamed[name] = parameter
    return {name: parameter for name, parameter in renamed.items() if not name.startswith("mask_projection")}


@pytest.mark.parametrize("height, width", [(224, 224), (160, 288)])
def test_decoder_equals_mask2formers_forward_and_backward(mask2former, height, width):
    # In float64: rounding alone turns single float32 gradients, where a ReLU or a cell begins.
    theirs, head = weights_of(mask2former), MaskHead(dim=64, visual_dim=64, num_classes=1).double()
    decoder = make_decoder(conv_dim=64, num_layers=6, feedforward_dim=96).double()
    decoder.load_state_dict(theirs)
    head.mask_projection.load_state_dict(mask2former.mask_projection.state_dict())
    features = make_features(height, width, dtype=torch.float64)

    levels, f4 = decoder(features)  # W2 is Mask2Former's last convolution
    found = [*levels, head.project(f4)]
    output = mask2former(list(features.values()))
    expected = [*output.multi_scale_features, output.mask_features]
    upstream = [torch.randn_like(level) for level in expected]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)

    ours = dict(decoder.named_parameters())
    assert set(ours) == set(theirs)
    found = torch.autograd.grad(found, [*features.values(), *ours.values()], upstream)
    expected = torch.autograd.grad(expected, [*features.values(), *(theirs[name] for name in ours)], upstream)
    for name, one, other in zip([*features, *ours], found, expected):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max(), name


# ---- decoder ----


@pytest.mark.parametrize(
    "level_strides, mask_stride, encoder, steps",
    [
        ((32, 16, 8), 4, [32, 16, 8], [4]),
        ((8, 4, 2), 1, [32, 16, 8, 4], [2, 1]),
        ((8, 16, 32), 8, [32, 16, 8], []),
        ((32,), 4, [32], [16, 8, 4]),
    ],
)
def test_outputs_have_the_strides_asked_for_and_use_every_weight(level_strides, mask_stride, encoder, steps):
    decoder = randomize(make_decoder(level_strides=level_strides, mask_stride=mask_stride))
    assert (list(decoder.encoder_features), list(decoder.step_features)) == (encoder, steps)
    assert (decoder.output_dim, decoder.size_divisibility) == (32, 32)
    levels, mask_features = decoder(make_features(64, 96))
    for level, stride in zip([*levels, mask_features], [*level_strides, mask_stride], strict=True):
        assert level.shape == (2, 32, 64 // stride, 96 // stride)
    sum((level * torch.randn_like(level)).sum() for level in [*levels, mask_features]).backward()
    assert [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.any()] == []


@torch.no_grad()
def test_steps_without_a_feature_upsample_and_smooth():
    decoder = make_decoder(level_strides=(8, 4, 2), mask_stride=1)
    (_, f2, f3), f4 = decoder(make_features())
    for coarser, finer, smooth in ((f2, f3, decoder.smooth["2"]), (f3, f4, decoder.smooth["1"])):
        doubled = F.interpolate(coarser, scale_factor=2, mode="bilinear", align_corners=False)
        torch.testing.assert_close(smooth(doubled), finer)


@pytest.mark.parametrize("level_strides", [(64, 16, 8), (32, 16, 6)])
def test_a_stride_the_features_cannot_give_names_the_keys(level_strides):
    with pytest.raises(ValueError, match=r"LEVEL_STRIDES .* COMMON_STRIDE 4: (64|6) is not among .*\[32, 16, 8, 4\]"):
        make_decoder(level_strides=level_strides)


@torch.no_grad()
def test_frames_do_not_see_each_other():
    decoder, features = make_decoder(), make_features()
    alone = decoder({name: feature[1:] for name, feature in features.items()})
    together = decoder(features)
    for one, other in zip([*alone[0], alone[1]], [*together[0], together[1]]):
        torch.testing.assert_close(one[0], other[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_decoder_runs_and_learns_under_autocast(dtype):
    decoder, features = randomize(make_decoder()), make_features()
    expected = decoder(features)[1]
    with torch.autocast("cpu", dtype):
        found = decoder(features)[1]
    assert (found - expected).abs().mean() < 0.1 * expected.abs().mean()
    found.float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in decoder.parameters())


@torch.no_grad()
def test_an_exported_decoder_gives_the_same():
    decoder = randomize(make_decoder()).eval()
    features = {name: feature.detach() for name, feature in make_features().items()}
    exported = torch.export.export(decoder, (features,)).module()
    for one, other in zip(exported(features)[0], decoder(features)[0]):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_config_builds_it_into_a_model(small_cfg):
    cfg = small_cfg(
        "MODEL.SEM_SEG_HEAD.NAME", "MSDeformAttnPixelDecoder", "MODEL.SEM_SEG_HEAD.TRANSFORMER_ENC_LAYERS", 2
    )
    decoder = build_sem_seg_head(cfg, SHAPES)
    assert isinstance(decoder, MSDeformAttnPixelDecoder) and len(decoder.encoder.layers) == 2
    attention, feed_forward = decoder.encoder.layers[0].attention, decoder.encoder.layers[0].feed_forward
    assert (attention.num_heads, attention.num_levels, attention.num_points) == (8, 3, 4)
    assert feed_forward.map[0].out_features == 1024
    (result,) = build_model(cfg).eval()([{"image": torch.zeros(3, 64, 64, dtype=torch.uint8)}])
    assert result["sem_seg"].shape == (1, 64, 64)
