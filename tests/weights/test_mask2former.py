"""A whole Mask2Former's weights, as it publishes them, in this model."""

import pytest
import torch
from torch.nn import functional as F

from transavs.weights.checkpointer import AVSCheckpointer
from transavs.weights.conversion import convert, merge, write_checkpoint

DIM, DEC_LAYERS = 32, 3
SWIN = "swin_tiny_patch4_window7_224"

# A weight of every kind, theirs and ours.
PIXEL_DECODER = "sem_seg_head.pixel_decoder."
PREDICTOR = "sem_seg_head.predictor.transformer_"
COUNTERPARTS = {
    "backbone.stem.conv1.weight": "backbone.stem.conv1.weight",
    "backbone.res3.0.shortcut.norm.running_var": "backbone.res3.0.shortcut.norm.running_var",
    PIXEL_DECODER + "input_proj.0.0.weight": "pixel_decoder.input_projections.0.weight",
    PIXEL_DECODER + "input_proj.2.1.bias": "pixel_decoder.input_projections.2.norm.bias",
    PIXEL_DECODER + "transformer.level_embed": "pixel_decoder.encoder.level_embedding",
    **{
        f"{PIXEL_DECODER}transformer.encoder.layers.1.{theirs}.weight": f"pixel_decoder.encoder.layers.1.{ours}.weight"
        for theirs, ours in {
            "self_attn.sampling_offsets": "attention.sampling_offsets",
            "self_attn.attention_weights": "attention.attention_weights",
            "self_attn.value_proj": "attention.value_projection",
            "self_attn.output_proj": "attention.output_projection",
            "norm1": "norm",
            "linear1": "feed_forward.map.0",
            "linear2": "feed_forward.map.3",
            "norm2": "feed_forward.norm",
        }.items()
    },
    PIXEL_DECODER + "adapter_1.weight": "pixel_decoder.lateral.4.weight",
    PIXEL_DECODER + "adapter_1.norm.weight": "pixel_decoder.lateral.4.norm.weight",
    PIXEL_DECODER + "layer_1.weight": "pixel_decoder.smooth.4.weight",
    PIXEL_DECODER + "layer_1.norm.bias": "pixel_decoder.smooth.4.norm.bias",
    PIXEL_DECODER + "mask_features.weight": "mask_head.mask_projection.weight",
    "sem_seg_head.predictor.level_embed.weight": "decoder.level_embedding",
    PREDICTOR + "cross_attention_layers.2.multihead_attn.in_proj_weight": (
        "decoder.layers.2.cross_attention.attention.in_proj_weight"
    ),
    PREDICTOR + "cross_attention_layers.2.norm.weight": "decoder.layers.2.cross_attention.norm.weight",
    PREDICTOR
    + "self_attention_layers.0.self_attn.out_proj.bias": "decoder.layers.0.self_attention.attention.out_proj.bias",
    PREDICTOR + "self_attention_layers.0.norm.bias": "decoder.layers.0.self_attention.norm.bias",
    PREDICTOR + "ffn_layers.1.linear1.weight": "decoder.layers.1.feed_forward.map.0.weight",
    PREDICTOR + "ffn_layers.1.linear2.bias": "decoder.layers.1.feed_forward.map.3.bias",
    PREDICTOR + "ffn_layers.1.norm.weight": "decoder.layers.1.feed_forward.norm.weight",
}


def test_every_kind_of_weight_goes_to_its_counterpart(small_model, resnet_checkpoint, tmp_path, fitting):
    (path, theirs), model = resnet_checkpoint, small_model(*fitting)
    conversion = convert(path, model)
    assert conversion.source.name == "Mask2Former" and conversion.complete
    write_checkpoint(merge([conversion]), tmp_path / "init.pth")
    AVSCheckpointer(model).load(str(tmp_path / "init.pth"))
    ours = model.state_dict()
    for one, other in COUNTERPARTS.items():
        assert torch.equal(theirs[one], ours[other]), other
    for name, value in conversion.comparison.matched.items():
        assert torch.equal(value, ours[name]), name
    left_out = sum(conversion.left_out.values(), [])
    assert len(theirs) == len(conversion.comparison.matched) + len(left_out)
    unfilled = {name for name in ours if name.startswith(("backbone.", "pixel_decoder.", "decoder.", "mask_head."))}
    assert unfilled - conversion.comparison.matched.keys() == {
        "decoder.query_positions",
        "mask_head.classifier.weight",
        "mask_head.classifier.bias",
    }


def test_what_has_no_counterpart_is_left_out_with_a_reason(small_model, resnet_checkpoint, fitting):
    conversion = convert(resnet_checkpoint[0], small_model(*fitting))
    prefix = "sem_seg_head.predictor."
    left_out = {name.removeprefix(prefix): reason for reason, names in conversion.left_out.items() for name in names}
    assert left_out.keys() == {
        "query_feat.weight",
        "query_embed.weight",
        "class_embed.weight",
        "class_embed.bias",
        "decoder_norm.weight",
        "decoder_norm.bias",
        "criterion.empty_weight",
        *[f"mask_embed.layers.{i}.{kind}" for i in range(3) for kind in ("weight", "bias")],
    }
    assert "here the sound makes them" in left_out["query_feat.weight"]
    assert "1 left out, of its loss: criterion.empty_weight" in conversion.report()


@torch.no_grad()
def test_decoder_layers_compute_what_mask2formers_do(
    small_model, resnet_checkpoint, tmp_path, fitting, mask2former_decoder
):
    reference = mask2former_decoder
    model = small_model(*fitting)
    write_checkpoint(merge([convert(resnet_checkpoint[0], model)]), tmp_path / "init.pth")
    AVSCheckpointer(model).load(str(tmp_path / "init.pth"))
    queries, positions, visual, visual_positions = (torch.randn(2, n, DIM) for n in (6, 6, 20, 20))
    for number in range(DEC_LAYERS):
        cross, own, ffn = (
            getattr(reference, f"transformer_{kind}_layers")[number]
            for kind in ("cross_attention", "self_attention", "ffn")
        )
        x, p, v, vp = (tensor.transpose(0, 1) for tensor in (queries, positions, visual, visual_positions))
        x = cross.norm(x + cross.multihead_attn(x + p, v + vp, v)[0])
        x = own.norm(x + own.self_attn(x + p, x + p, x)[0])
        x = ffn.norm(x + ffn.linear2(F.relu(ffn.linear1(x))))
        found = model.decoder.layers[number](queries, visual, positions, visual_positions)
        torch.testing.assert_close(found, x.transpose(0, 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "strides, rows",
    [
        ([32, 16, 8], [0, 1, 2]),
        ([8, 32, 16], [2, 0, 1]),
        ([8, 16, 32], [2, 1, 0]),
    ],
)
def test_level_embeddings_follow_the_strides(small_model, resnet_checkpoint, strides, rows, fitting):
    path, theirs = resnet_checkpoint
    conversion = convert(path, small_model(*fitting, "MODEL.SEM_SEG_HEAD.LEVEL_STRIDES", strides))
    expected = theirs["sem_seg_head.predictor.level_embed.weight"][rows]
    assert conversion.complete and torch.equal(conversion.comparison.matched["decoder.level_embedding"], expected)


@torch.no_grad()
def test_its_swin_fills_a_timm_backbone_with_norms(small_model, saved, tmp_path, fitting, swin_state):
    theirs = swin_state
    model = small_model(*fitting, "MODEL.TIMM.OUTPUT_NORM", True, timm=SWIN)
    conversion = convert(saved({"model": theirs}), model)
    assert conversion.complete, conversion.report()
    write_checkpoint(merge([conversion]), tmp_path / "init.pth")
    AVSCheckpointer(model).load(str(tmp_path / "init.pth"))
    ours = model.backbone.state_dict()
    for one, other in {
        "patch_embed.proj.weight": "model.patch_embed.proj.weight",
        "layers.0.downsample.reduction.weight": "model.layers.1.downsample.reduction.weight",
        "layers.3.blocks.1.attn.qkv.bias": "model.layers.3.blocks.1.attn.qkv.bias",
        "norm0.weight": "norms.res2.weight",
        "norm3.bias": "norms.res5.bias",
    }.items():
        assert torch.equal(theirs[f"backbone.{one}"], ours[other])
    assert "the model computes it" in conversion.left_out


# ---- configs that do not fit ----


@pytest.mark.parametrize(
    "overrides, told",
    [
        (
            ["MODEL.TRANSAVS.DIM_FEEDFORWARD", 96],
            [
                "9 of another shape: decoder.layers.0.feed_forward.map.0.weight [64, 32] for [96, 32], ",
                "see MODEL.TRANSAVS.DIM_FEEDFORWARD, 64 in the file\n",
            ],
        ),
        (
            ["MODEL.SEM_SEG_HEAD.TRANSFORMER_DIM_FEEDFORWARD", 96],
            ["see MODEL.SEM_SEG_HEAD.TRANSFORMER_DIM_FEEDFORWARD, 48 in the file\n"],
        ),
        (["MODEL.TRANSAVS.HIDDEN_DIM", 64], [" of another shape: ", "see MODEL.TRANSAVS.HIDDEN_DIM, 32 in the file\n"]),
        (["MODEL.TRANSAVS.DEC_LAYERS", 2], ["18 unexpected: decoder.layers.2.", "see MODEL.TRANSAVS.DEC_LAYERS\n"]),
        (["MODEL.TRANSAVS.DEC_LAYERS", 4], ["18 missing: decoder.layers.3.", "see MODEL.TRANSAVS.DEC_LAYERS\n"]),
        (["MODEL.SEM_SEG_HEAD.NAME", "FPNPixelDecoder"], ["see MODEL.SEM_SEG_HEAD.NAME (MSDeformAttnPixelDecoder)"]),
        (
            ["MODEL.SEM_SEG_HEAD.LEVEL_STRIDES", [8, 4, 2], "MODEL.SEM_SEG_HEAD.COMMON_STRIDE", 1],
            ["missing: pixel_decoder.input_projections.3.weight", "MODEL.SEM_SEG_HEAD.LEVEL_STRIDES, of 32, 16 and 8"],
        ),
        (["MODEL.RESNETS.DEPTH", 34], ["missing: backbone.", "see MODEL.BACKBONE.NAME with MODEL.RESNETS.DEPTH"]),
    ],
)
def test_a_config_that_does_not_fit_is_told_by_its_key(small_model, resnet_checkpoint, overrides, told, fitting):
    conversion = convert(resnet_checkpoint[0], small_model(*fitting, *overrides))
    assert not conversion.complete
    for line in told:
        assert line in conversion.report()


def test_a_swin_without_norms_is_told_by_its_key(small_model, saved, fitting, swin_state):
    conversion = convert(saved(swin_state), small_model(*fitting, timm=SWIN))
    assert len(conversion.comparison.unexpected) == 8
    assert "8 unexpected: backbone.norms.res2.weight" in conversion.report()
    assert "see MODEL.TIMM.OUTPUT_NORM\n" in conversion.report()
