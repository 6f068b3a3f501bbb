"""Weights of timm's models in the forms and under the names they are published in; values are timm's own."""

import re

import pytest
import timm
import torch

from transavs.modeling.backbone import TimmBackbone, fit_state_dict

SWIN, PVT, CONVNEXT, RESNET = "swin_tiny_patch4_window7_224", "pvt_v2_b0", "convnext_atto", "resnet18"


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
def test_weights_are_read_in_every_form_they_come_in(name, form, make_timm, saved):
    whole = make_timm(name, num_classes=7)
    state = whole.state_dict()
    if form == "headless":
        state = TimmBackbone(model_name=name, weights=saved(state)).model.state_dict()
    content = {"model": state, "epoch": 3} if form == "checkpoint" else state
    path = saved(content, "weights.safetensors" if form == "safetensors" else "weights.pth")
    loaded = TimmBackbone(model_name=name, weights=path).model.state_dict()
    assert loaded.keys() <= whole.state_dict().keys()
    assert all(torch.equal(value, whole.state_dict()[key]) for key, value in loaded.items())


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


def test_the_names_of_pvts_authors_are_read(make_timm, saved):
    model = make_timm(PVT)
    published = {}
    for key, value in model.state_dict().items():
        key = re.sub(r"^patch_embed\.", "patch_embed1.", key)
        key = re.sub(r"^stages\.(\d)\.downsample", lambda part: f"patch_embed{int(part[1]) + 1}", key)
        key = re.sub(r"^stages\.(\d)\.blocks", lambda part: f"block{int(part[1]) + 1}", key)
        key = re.sub(r"^stages\.(\d)\.norm", lambda part: f"norm{int(part[1]) + 1}", key)
        published[key.replace("dwconv.", "dwconv.dwconv.")] = value
    loaded = TimmBackbone(model_name=PVT, weights=saved(published)).model.state_dict()
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in loaded.items())


def test_weights_that_do_not_fit_are_reported_with_file_and_names(make_timm, saved):
    state = make_timm(RESNET).state_dict()
    state["layer1.0.conv9.weight"] = state.pop("layer1.0.conv1.weight")
    state["layer1.0.conv2.weight"] = torch.zeros(64, 64, 1, 1)
    total = len(TimmBackbone(model_name=RESNET).model.state_dict())
    with pytest.raises(ValueError) as error:
        TimmBackbone(model_name=RESNET, weights=saved(state, "other.pth"))
    for part in (
        "MODEL.TIMM.WEIGHTS",
        "other.pth",
        RESNET,
        f"{total - 2} of its {total} weights fit",
        "1 missing: layer1.0.conv1.weight",
        "1 unexpected: layer1.0.conv9.weight",
        "1 of another shape: layer1.0.conv2.weight [64, 64, 1, 1] for [64, 64, 3, 3]",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize("name, other", [(SWIN, RESNET), (RESNET, SWIN), (PVT, RESNET), (CONVNEXT, PVT)])
def test_another_models_weights_are_refused(name, other, saved):
    with pytest.raises(ValueError, match=f"does not fit {name}: .* weights fit; .* missing: .* unexpected: "):
        TimmBackbone(model_name=name, weights=saved(timm.create_model(other).state_dict()))


def test_an_unreadable_file_is_reported_with_the_configs_key(tmp_path):
    (tmp_path / "text.pth").write_text("no weights at all")
    for name, reason in {"text.pth": "not a readable file of weights", "none.pth": "no such file"}.items():
        with pytest.raises(ValueError, match=f"MODEL.TIMM.WEIGHTS {tmp_path / name}: {reason}"):
            TimmBackbone(model_name="resnet10t", weights=str(tmp_path / name))
