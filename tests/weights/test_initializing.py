"""Backbones that start from published weights, in the forms and under the names they come in; values are timm's own."""

import logging
import re

import pytest
import timm
import torch

from transavs.modeling.backbone import TimmBackbone
from transavs.weights.initializing import initialize_parts
from transavs.weights.kinds import fit_state_dict
from transavs.weights.published import WeightsError

SWIN, PVT, CONVNEXT, RESNET = "swin_tiny_patch4_window7_224", "pvt_v2_b0", "convnext_atto", "resnet18"


@pytest.fixture
def initialize(small_cfg, small_model):
    """Builds a small model, on a timm model or Detectron2's ResNet-18, and fills its parts; gives the model."""

    def make(*overrides, backbone=None):
        if backbone:
            overrides = (*overrides, "MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", backbone)
        model = small_model(*overrides)
        initialize_parts(model, small_cfg(*overrides))
        return model

    return make


def assert_loaded(backbone, expected):
    found = backbone.model.state_dict()
    assert found.keys() <= expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


# ---- the visual backbone ----


@pytest.mark.parametrize(
    "name, form",
    [
        (SWIN, "headless"),
        (PVT, "checkpoint"),
        (PVT, "headless"),
        (CONVNEXT, "checkpoint"),
        (CONVNEXT, "headless"),
        (RESNET, "safetensors"),
        (RESNET, "headless"),
    ],
)
def test_weights_are_read_in_every_form_they_come_in(name, form, make_timm, saved, initialize):
    state = make_timm(name, num_classes=7).state_dict()
    unused = TimmBackbone(model_name=name).unused_names
    headless = {key: value for key, value in state.items() if key not in unused}
    content = {"headless": headless, "checkpoint": {"model": state, "epoch": 3}, "safetensors": state}[form]
    path = saved(content, "weights.safetensors" if form == "safetensors" else "weights.pth")
    assert_loaded(initialize("MODEL.BACKBONE.WEIGHTS", path, backbone=name).backbone, state)


def test_the_names_of_swins_authors_are_read(make_timm):
    """They downsample at a stage's end, keep indices and masks as buffers, and have no `fc` in the head."""
    model = make_timm(SWIN)
    published = {
        "layers.0.blocks.0.attn.relative_position_index": torch.zeros(49, 49),
        "layers.0.blocks.1.attn_mask": torch.zeros(64, 49, 49),
    }
    for key, value in model.state_dict().items():
        key = re.sub(r"layers\.(\d)\.downsample", lambda part: f"layers.{int(part[1]) - 1}.downsample", key)
        published[key.replace("head.fc.", "head.")] = value
    for given in (published, {key: value for key, value in published.items() if not key.startswith("head.")}):
        found = fit_state_dict(given, TimmBackbone(model_name=SWIN).model)
        assert all(torch.equal(value, model.state_dict()[key]) for key, value in found.items())
        assert TimmBackbone(model_name=SWIN).model.state_dict().keys() <= found.keys()


def test_the_names_of_pvts_authors_are_read(make_timm, saved, initialize, names_of_authors):
    state = make_timm(PVT).state_dict()
    path = saved({names_of_authors["PVT v2"](key): value for key, value in state.items()})
    assert_loaded(initialize("MODEL.BACKBONE.WEIGHTS", path, backbone=PVT).backbone, state)


def test_frozen_stages_have_the_weights_too(make_timm, saved, initialize):
    state = make_timm(RESNET).state_dict()
    model = initialize("MODEL.BACKBONE.WEIGHTS", saved(state), "MODEL.BACKBONE.FREEZE_AT", 2, backbone=RESNET)
    assert_loaded(model.backbone, state)
    assert (
        not model.backbone.model.conv1.weight.requires_grad
        and model.backbone.model.layer4[0].conv1.weight.requires_grad
    )


def test_detectron2s_resnet_and_the_audio_backbone_are_filled_with_a_report(small_cfg, small_model, saved, caplog):
    resnet, audio = timm.create_model(RESNET).state_dict(), small_model().audio_backbone.state_dict()
    paths = saved(resnet, "resnet.pth"), saved(audio, "audio.pth")
    overrides = ["MODEL.BACKBONE.WEIGHTS", paths[0], "MODEL.AUDIO_BACKBONE.WEIGHTS", paths[1]]
    model = small_model(*overrides)
    assert not torch.equal(model.backbone.stem.conv1.weight, resnet["conv1.weight"])  # building reads nothing
    with caplog.at_level(logging.INFO):
        assert initialize_parts(model, small_cfg(*overrides)) == {"backbone", "audio_backbone"}
    assert torch.equal(model.backbone.stem.conv1.weight, resnet["conv1.weight"])
    assert all(torch.equal(value, audio[name]) for name, value in model.audio_backbone.state_dict().items())
    assert (
        f"MODEL.BACKBONE.WEIGHTS {paths[0]}: ResNet of torchvision or timm\n    fills backbone 120 of 120"
        in caplog.text
    )
    assert f"MODEL.AUDIO_BACKBONE.WEIGHTS {paths[1]}: the config's own audio backbone\n    fills audio" in caplog.text


def test_a_part_that_has_its_weights_is_left_alone(small_cfg, small_model):
    model, cfg = small_model(), small_cfg("MODEL.BACKBONE.WEIGHTS", "none.pth")
    assert initialize_parts(model, cfg, leave={"backbone"}) == set()
    assert initialize_parts(model, small_cfg()) == set()


# ---- names that timm knows ----


@pytest.fixture
def published_by_timm(monkeypatch):
    """In place of what timm would download: random weights. Gives what was asked of it, and those weights."""
    create, asked, given = timm.create_model, [], {}

    def create_model(name, pretrained=False, **options):
        model = create(name, pretrained=False, **options)
        if pretrained:
            asked.append((name, options))
            given.update(model.state_dict())
        return model

    monkeypatch.setattr(timm, "create_model", create_model)
    return asked, given


@pytest.mark.parametrize(
    "weights, name", [("timm:", f"{RESNET}.a1_in1k"), (f"timm:{RESNET}.tv_in1k", f"{RESNET}.tv_in1k")]
)
def test_timm_gets_what_it_publishes_by_its_own_means(initialize, published_by_timm, weights, name):
    asked, given = published_by_timm
    model = initialize("MODEL.BACKBONE.WEIGHTS", weights, backbone=f"{RESNET}.a1_in1k")
    assert asked == [(name, {})]
    assert_loaded(model.backbone, given)


def test_timms_weights_fill_detectron2s_resnet_and_an_audio_backbone_of_one_channel(initialize, published_by_timm):
    asked, given = published_by_timm
    model = initialize("MODEL.BACKBONE.WEIGHTS", f"timm:{RESNET}.tv_in1k")
    assert torch.equal(model.backbone.res5[1].conv2.weight, given["layer4.1.conv2.weight"])
    given.clear()
    model = initialize(
        "MODEL.AUDIO_BACKBONE.WEIGHTS", "timm:", "MODEL.AUDIO_BACKBONE.TIMM_MODEL", "test_resnet.r160_in1k"
    )
    assert asked[1:] == [("test_resnet.r160_in1k", {"in_chans": 1, "num_classes": 0})]
    assert all(torch.equal(value, given[name]) for name, value in model.audio_backbone.body.state_dict().items())


def test_what_timm_cannot_give_is_told_with_the_key(initialize):
    message = "MODEL.BACKBONE.WEIGHTS timm:: the part is a ResNet, no timm model; give a name, timm:NAME"
    with pytest.raises(WeightsError, match=message):
        initialize("MODEL.BACKBONE.WEIGHTS", "timm:")
    with pytest.raises(WeightsError, match=r"MODEL.BACKBONE.WEIGHTS timm:resnet9: could not be had \(.*Unknown model"):
        initialize("MODEL.BACKBONE.WEIGHTS", "timm:resnet9")


# ---- what does not fit ----


def test_weights_that_do_not_fit_are_reported_with_file_and_names(make_timm, saved, initialize):
    state = make_timm(RESNET).state_dict()
    state["layer1.0.conv9.weight"] = state.pop("layer1.0.conv1.weight")
    state["layer1.0.conv2.weight"] = torch.zeros(64, 64, 1, 1)
    total = len(TimmBackbone(model_name=RESNET).model.state_dict())
    with pytest.raises(ValueError) as error:
        initialize("MODEL.BACKBONE.WEIGHTS", saved(state, "other.pth"), backbone=RESNET)
    for part in (
        "MODEL.BACKBONE.WEIGHTS",
        "other.pth",
        f"does not fit {RESNET}: ",
        f"{total - 2} of its {total} weights fit",
        "1 missing: backbone.model.layer1.0.conv1.weight",
        "1 unexpected: backbone.model.layer1.0.conv9.weight",
        "1 of another shape: backbone.model.layer1.0.conv2.weight [64, 64, 1, 1] for [64, 64, 3, 3]",
        "see MODEL.BACKBONE.NAME with MODEL.RESNETS.DEPTH or MODEL.TIMM.NAME",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize("name, other", [(SWIN, RESNET), (RESNET, SWIN), (PVT, RESNET), (CONVNEXT, PVT)])
def test_another_models_weights_are_refused(name, other, saved, initialize):
    with pytest.raises(ValueError, match=f"does not fit {name}: .* weights fit; .* missing: .* unexpected: "):
        initialize("MODEL.BACKBONE.WEIGHTS", saved(timm.create_model(other).state_dict()), backbone=name)


@pytest.mark.parametrize("key", ["MODEL.BACKBONE.WEIGHTS", "MODEL.AUDIO_BACKBONE.WEIGHTS"])
def test_unreadable_files_are_named_with_the_configs_key(tmp_path, initialize, key):
    (tmp_path / "text.pth").write_text("no weights at all")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, reason in {
        "none.pth": "no such file",
        "text.pth": "not a readable file of weights",
        "list.pth": "holds a list, expected a dict of tensors",
    }.items():
        with pytest.raises(ValueError, match=f"{key} {tmp_path / name}: {reason}"):
            initialize(key, str(tmp_path / name))


def test_another_parts_weights_are_refused(saved, initialize, resnet_checkpoint):
    path = saved(timm.create_model(RESNET).state_dict(), "resnet.pth")
    message = "MODEL.AUDIO_BACKBONE.WEIGHTS .*resnet.pth: not recognised .*conv1.weight.*expected one of: VGGish"
    with pytest.raises(WeightsError, match=message):
        initialize("MODEL.AUDIO_BACKBONE.WEIGHTS", path, "MODEL.AUDIO_BACKBONE.NAME", "VGGish")
    with pytest.raises(WeightsError, match="MODEL.BACKBONE.WEIGHTS .*model_final.pkl: not recognised"):
        initialize("MODEL.BACKBONE.WEIGHTS", resnet_checkpoint[0])


def test_a_vggish_that_does_not_fit_is_reported_with_file_and_keys(saved, initialize, vggish_state):
    state = dict(vggish_state)
    state["embeddings.4.weight"] = torch.zeros(64, 8)
    state["extra"] = state.pop("features.0.bias")
    with pytest.raises(ValueError) as error:
        path = saved(state, "other.pth")
        initialize("MODEL.AUDIO_BACKBONE.WEIGHTS", path, "MODEL.AUDIO_BACKBONE.NAME", "VGGish")
    for part in (
        "MODEL.AUDIO_BACKBONE.WEIGHTS",
        "other.pth",
        "does not fit VGGish",
        "1 missing: audio_backbone.features.0.bias",
        "1 unexpected: audio_backbone.extra",
        "1 of another shape: audio_backbone.embeddings.4.weight [64, 8] for [128, 8]",
    ):
        assert part in str(error.value)
