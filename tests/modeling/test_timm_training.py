"""Training on a timm backbone, its names and its keys of the config."""

import copy
import re

import pytest
import timm
import torch
from detectron2.modeling import build_backbone, build_model
from detectron2.structures import BitMasks, Instances

from transavs.data.audio import EXAMPLE_SHAPE
from transavs.modeling.backbone import TimmBackbone

SWIN, PVT, CONVNEXT, RESNET = "swin_tiny_patch4_window7_224", "pvt_v2_b0", "convnext_atto", "resnet18"
FAMILIES = [SWIN, PVT, CONVNEXT, RESNET]
NAMES = ["res2", "res3", "res4", "res5"]


def small(make_cfg, *overrides, name=RESNET):
    return make_cfg("MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", name, *overrides)


# ---- training ----


@pytest.fixture
def gradients(make_frames):
    """Gives the gradient of each of a backbone's parameters, by name."""

    def find(backbone):
        torch.manual_seed(3)  # of stochastic depth
        features = backbone(make_frames())
        sum(feature.square().mean() for feature in features.values()).backward()
        return {name: parameter.grad for name, parameter in backbone.named_parameters()}

    return find


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("freeze_at", [0, 2])
def test_gradient_checkpointing_gives_the_same_gradients_and_saves_activations(make_frames, gradients, name, freeze_at):
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
def test_every_parameter_gets_a_gradient(gradients, name):
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
def test_a_step_leaves_frozen_stages_as_they_were_batch_statistics_included(gradients, name):
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


def test_a_frozen_model_gives_what_it_gave_before(make_frames, assert_same_features):
    plain, frozen = TimmBackbone(model_name=RESNET).eval(), TimmBackbone(model_name=RESNET, freeze_at=5)
    frozen.model.load_state_dict(plain.model.state_dict(), strict=False)  # frozen batch norms count no batches
    with torch.no_grad():
        assert_same_features(frozen.train()(make_frames()), plain(make_frames()).values())


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


def test_the_config_says_everything(small_cfg):
    backbone = build_backbone(
        small(
            small_cfg,
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
