"""Values come from timm's own untouched models and from torchvision's, which were written apart from timm's."""

import copy
import math
import pickle
import re

import pytest
import timm
import torch
import torchvision
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone, build_model
from detectron2.structures import BitMasks, Instances
from torch.nn import functional as F

from transavs.data.audio import EXAMPLE_SHAPE
from transavs.modeling.backbone import TimmBackbone

SWIN, PVT, CONVNEXT, RESNET = "swin_tiny_patch4_window7_224", "pvt_v2_b0", "convnext_atto", "resnet18"
FAMILIES = [SWIN, PVT, CONVNEXT, RESNET]
NAMES = ["res2", "res3", "res4", "res5"]


def make_frames(height=64, width=96, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def small(make_cfg, *overrides, name=RESNET):
    return make_cfg("MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", name, *overrides)


def assert_same(found, expected, **tolerance):
    assert list(found) == NAMES
    for feature, wanted in zip(found.values(), expected):
        torch.testing.assert_close(feature, wanted, **tolerance)


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
def test_features_have_the_channels_and_strides_that_are_told(name, channels):
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
def test_the_published_sizes_build_and_run_at_avsbenchs_224(name, channels):
    backbone = TimmBackbone(model_name=name).eval()
    features = backbone(make_frames(224, 224, 1))
    sides = (56, 28, 14, 7)
    assert [tuple(f.shape) for f in features.values()] == [(1, c, s, s) for c, s in zip(channels, sides)]


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_features_equal_those_of_timms_whole_model(name, make_timm, saved):
    whole = make_timm(name)
    backbone = TimmBackbone(model_name=name, weights=saved(whole.state_dict())).eval()
    last, features = whole.forward_intermediates(make_frames(224, 224), indices=4)
    found = backbone(make_frames(224, 224))
    assert_same(found, features, rtol=0, atol=0)
    if name in (PVT, RESNET):  # the others' `forward_features` ends with a norm
        assert torch.equal(whole.forward_features(make_frames(224, 224)), last) and torch.equal(found["res5"], last)


@torch.no_grad()
def test_a_resnet_equals_torchvisions_at_any_size(saved):
    reference = torchvision.models.resnet18().eval()
    backbone = TimmBackbone(model_name=RESNET, weights=saved(reference.state_dict())).eval()
    x = make_frames(96, 160)
    found = backbone(x)
    x, expected = reference.maxpool(reference.relu(reference.bn1(reference.conv1(x)))), []
    for layer in (reference.layer1, reference.layer2, reference.layer3, reference.layer4):
        x = layer(x)
        expected.append(x)
    assert_same(found, expected)


def timm_swin_name(name):
    """torchvision's name of a Swin's weight as timm's; None for those of the head and of fixed indices."""
    part = re.match(r"features\.(\d)\.(.+)", name)
    if not part or "relative_position_index" in name:
        return None
    number, rest = int(part[1]), part[2].replace("mlp.0", "mlp.fc1").replace("mlp.3", "mlp.fc2")
    if number == 0:
        return {"0": "patch_embed.proj", "2": "patch_embed.norm"}[rest[0]] + rest[1:]
    return f"layers.{number // 2}." + (f"blocks.{rest}" if number % 2 else f"downsample.{rest}")


@pytest.mark.parametrize("size", [(224, 224), (256, 352), (448, 448), (160, 96), (32, 64)])
@torch.no_grad()
def test_a_swin_equals_torchvisions_at_any_size(size):
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
    assert_same(found, expected)


@pytest.mark.parametrize("name", ["swinv2_tiny_window8_256", "swin_s3_tiny_224"])
@torch.no_grad()
def test_other_swins_equal_timms_at_their_own_size(name, make_timm, saved):
    whole = make_timm(name)
    backbone = TimmBackbone(model_name=name, weights=saved(whole.state_dict())).eval()
    frames = make_frames(*whole.pretrained_cfg["input_size"][1:], count=1)
    assert_same(backbone(frames), whole.forward_intermediates(frames, intermediates_only=True))


@pytest.mark.parametrize("name", [SWIN, "swinv2_tiny_window8_256"])
@torch.no_grad()
def test_opposite_edges_of_a_padded_map_do_not_see_each_other(name):
    """Of a 64 x 64 cell map, in windows of 7 or 8, the first stage's two blocks reach at most 13 cells far."""
    backbone = TimmBackbone(model_name=name).eval()
    frames = make_frames(260, 260, 1)
    changed = frames.clone()
    changed[..., :8, :] += 1.0
    difference = (backbone(frames)["res2"] - backbone(changed)["res2"]).abs().amax(dim=(0, 1, 3))
    assert difference[:2].min() > 1e-3 and difference[20:].max() == 0


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_sizes_that_are_no_multiples_of_32_are_padded_with_zeros(name):
    backbone = TimmBackbone(model_name=name).eval()
    frames = make_frames(70, 101)
    assert_same(backbone(frames), backbone(F.pad(frames, (0, 27, 0, 26))).values(), rtol=0, atol=0)


@torch.no_grad()
def test_a_frame_does_not_depend_on_the_sizes_that_went_before():
    backbone = TimmBackbone(model_name=SWIN).eval()
    before = backbone(make_frames(64, 96))
    backbone(make_frames(320, 288))
    assert_same(backbone(make_frames(64, 96)), before.values(), rtol=0, atol=0)


@torch.no_grad()
def test_output_norms_are_layer_norms_over_channels():
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
    assert_same(normed(make_frames()), expected, rtol=1e-4, atol=1e-4)
    assert not list(plain.norms.parameters())


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_copies_and_pickles_give_the_same_features(name):
    backbone = TimmBackbone(model_name=name).eval()
    for other in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        assert_same(other(make_frames()), backbone(make_frames()).values(), rtol=0, atol=0)


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_bfloat16_autocast_comes_near_the_full_precision(name):
    backbone = TimmBackbone(model_name=name, output_norm=True).eval()
    full = backbone(make_frames(100, 140))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = backbone(make_frames(100, 140))
    for key, feature in half.items():
        assert feature.isfinite().all()
        assert F.cosine_similarity(feature.float().flatten(), full[key].flatten(), dim=0) > 0.99


# ---- training ----


def gradients(backbone):
    torch.manual_seed(3)  # of stochastic depth
    features = backbone(make_frames())
    sum(feature.square().mean() for feature in features.values()).backward()
    return {name: parameter.grad for name, parameter in backbone.named_parameters()}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("freeze_at", [0, 2])
def test_gradient_checkpointing_gives_the_same_gradients_and_saves_activations(name, freeze_at):
    options = {"model_name": name, "drop_path_rate": 0.3, "freeze_at": freeze_at, "output_norm": True}
    plain = TimmBackbone(**options).train()
    checkpointed = TimmBackbone(**options, gradient_checkpointing=True).train()
    checkpointed.load_state_dict(plain.state_dict())
    found, sizes = [], []
    for backbone in (plain, checkpointed):
        sizes.append(0)

        def count(tensor):
            sizes[-1] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            backbone(make_frames())
        found.append(gradients(backbone))
    assert sizes[1] < 0.5 * sizes[0]
    assert found[0].keys() == found[1].keys()
    for key, gradient in found[0].items():
        torch.testing.assert_close(found[1][key], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [*FAMILIES, "mobilenetv3_small_050", "hrnet_w18_small"])
def test_every_parameter_gets_a_gradient(name):
    missing = [
        key for key, gradient in gradients(TimmBackbone(model_name=name, output_norm=True)).items() if gradient is None
    ]
    assert missing == []  # the head and the last norm are gone


STAGES = {
    SWIN: ["patch_embed.", "layers.0.", "layers.1.", "layers.2.", "layers.3."],
    PVT: ["patch_embed.", "stages.0.", "stages.1.", "stages.2.", "stages.3."],
    CONVNEXT: ["stem.", "stages.0.", "stages.1.", "stages.2.", "stages.3."],
    RESNET: [("conv1.", "bn1."), "layer1.", "layer2.", "layer3.", "layer4."],
    "mobilenetv3_small_050": [
        ("conv_stem.", "bn1."),
        "blocks.0.",
        "blocks.1.",
        ("blocks.2.", "blocks.3."),
        ("blocks.4.", "blocks.5."),
    ],
}


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("freeze_at", range(6))
def test_freeze_at_counts_the_stem_and_the_stages(name, freeze_at):
    backbone = TimmBackbone(model_name=name, freeze_at=freeze_at, output_norm=True).train()
    frozen = {key for key, parameter in backbone.model.named_parameters() if not parameter.requires_grad}
    flat = [prefix for stage in STAGES[name][:freeze_at] for prefix in ([stage] if isinstance(stage, str) else stage)]
    expected = {key for key, _ in backbone.model.named_parameters() if key.startswith(tuple(flat))}
    assert frozen == expected
    assert [norm.weight.requires_grad for norm in backbone.norms.values()] == [n + 2 > freeze_at for n in range(4)]


@pytest.mark.parametrize("name", [RESNET, "mobilenetv3_small_050"])
def test_a_step_leaves_frozen_stages_as_they_were_batch_statistics_included(name):
    backbone = TimmBackbone(model_name=name, freeze_at=3).train()
    prefixes = tuple(prefix for stage in STAGES[name][:3] for prefix in ([stage] if isinstance(stage, str) else stage))
    before = copy.deepcopy(backbone.model.state_dict())
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1)
    assert all(
        (gradient is None) == key.removeprefix("model.").startswith(prefixes)
        for key, gradient in gradients(backbone).items()
    )
    optimizer.step()
    same = {key for key, value in backbone.model.state_dict().items() if torch.equal(value, before[key])}
    frozen = {key for key in before if key.startswith(prefixes) and not key.endswith("num_batches_tracked")}
    assert frozen <= same
    means = {key for key in before if key.endswith("running_mean")}
    assert frozen & means and means & same == frozen & means


def test_a_frozen_model_gives_what_it_gave_before():
    plain, frozen = TimmBackbone(model_name=RESNET).eval(), TimmBackbone(model_name=RESNET, freeze_at=5)
    frozen.model.load_state_dict(plain.model.state_dict(), strict=False)  # frozen batch norms count no batches
    with torch.no_grad():
        assert_same(frozen.train()(make_frames()), plain(make_frames()).values())


@pytest.mark.parametrize("name, freeze_at, most", [(RESNET, 6, 5), (RESNET, -1, 5), ("hrnet_w18_small", 1, 0)])
def test_a_stage_that_is_not_there_is_refused(name, freeze_at, most):
    with pytest.raises(ValueError, match=f"MODEL.BACKBONE.FREEZE_AT is {freeze_at}, {name} takes 0 to {most}"):
        TimmBackbone(model_name=name, freeze_at=freeze_at)


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_stochastic_depth_has_the_rate_that_is_asked_for(rate):
    backbone = TimmBackbone(model_name=SWIN, drop_path_rate=rate)
    rates = [module.drop_prob for module in backbone.modules() if isinstance(module, timm.layers.DropPath)]
    assert rates and max(rates) == pytest.approx(rate)
    assert TimmBackbone(model_name="densenet121").output_shape()  # has none, and need not


# ---- names and keys ----


def test_two_sources_of_weights_are_one_too_many():
    with pytest.raises(ValueError, match="MODEL.TIMM.PRETRAINED is on and MODEL.TIMM.WEIGHTS is 'a.pth'"):
        TimmBackbone(model_name=RESNET, pretrained=True, weights="a.pth")


def test_pretrained_leaves_the_loading_to_timm(monkeypatch):
    asked = []
    create = timm.create_model
    monkeypatch.setattr(
        timm,
        "create_model",
        lambda name, pretrained, **options: asked.append((name, pretrained)) or create(name, **options),
    )
    TimmBackbone(model_name="resnet18.a1_in1k", pretrained=True)
    assert asked == [("resnet18.a1_in1k", True)]


@pytest.mark.parametrize(
    "name, close",
    [
        ("swin_base_patch4_window7_244", "swin_base_patch4_window7_224"),
        ("pvt_v2_b5.in22k", "pvt_v2_b5.in1k"),  # the tag is wrong
    ],
)
def test_an_unknown_name_is_reported_with_key_and_close_ones(name, close):
    with pytest.raises(ValueError, match=f"MODEL.TIMM.NAME is '{name}'.*close to it: .*{close}"):
        TimmBackbone(model_name=name)


@pytest.mark.parametrize("name, strides", [("vit_tiny_patch16_224", "[16]"), ("levit_128s", "[16, 32, 64]")])
def test_a_model_without_the_four_strides_is_refused(name, strides):
    message = f"MODEL.TIMM.NAME is '{name}', with features at strides {strides}; expected 4, 8, 16, 32"
    with pytest.raises(ValueError, match=re.escape(message)):
        TimmBackbone(model_name=name)


# ---- through the config ----


def test_the_config_says_everything(small_cfg, make_timm, saved):
    whole = make_timm(SWIN)
    backbone = build_backbone(
        small(
            small_cfg,
            "MODEL.TIMM.WEIGHTS",
            saved(whole.state_dict()),
            "MODEL.TIMM.DROP_PATH_RATE",
            0.2,
            "MODEL.TIMM.OUTPUT_NORM",
            True,
            "MODEL.GRADIENT_CHECKPOINTING",
            True,
            "MODEL.BACKBONE.FREEZE_AT",
            1,
            name=SWIN,
        )
    )
    assert isinstance(backbone, TimmBackbone) and list(backbone.norms) == NAMES
    assert torch.equal(backbone.model.layers[3].blocks[1].mlp.fc1.weight, whole.layers[3].blocks[1].mlp.fc1.weight)
    assert max(m.drop_prob for m in backbone.modules() if isinstance(m, timm.layers.DropPath)) == pytest.approx(0.2)
    assert all(layer.grad_checkpointing for layer in backbone.model.layers)
    assert not backbone.model.patch_embed.proj.weight.requires_grad
    assert backbone.model.layers[0].blocks[0].mlp.fc1.weight.requires_grad


@pytest.mark.parametrize("name", FAMILIES)
def test_the_model_takes_a_training_step(name, small_cfg):
    model = build_model(small(small_cfg, "MODEL.TIMM.OUTPUT_NORM", name == SWIN, name=name)).train()
    mask = torch.zeros(1, 70, 90, dtype=torch.bool)
    mask[:, 10:50, 10:50] = True
    target = Instances((70, 90), gt_classes=torch.zeros(1, dtype=torch.int64), gt_masks=BitMasks(mask))
    clip = {
        "images": torch.randint(0, 256, (2, 3, 70, 90), dtype=torch.uint8),
        "frame_indices": torch.tensor([0, 4]),
        "audio_log_mel": torch.randn(5, *EXAMPLE_SHAPE),
        "instances": [target] * 2,
        "height": 70,
        "width": 90,
    }
    parameters = dict(model.backbone.named_parameters())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = model([clip])
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert all(parameter.grad is not None for parameter in parameters.values())
    stem = next(iter(parameters.values()))
    before = stem.detach().clone()
    optimizer.step()
    assert not torch.equal(stem, before)
    model.eval()
    with torch.no_grad():
        assert model([clip])[0]["sem_seg"].shape == (2, 1, 70, 90)
