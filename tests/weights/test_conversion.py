"""Files as torchvision, timm, Detectron2 and the models' authors publish them; values are those of their own models."""

import pickle

import pytest
import timm
import torch
import torchvision

from transavs.weights.checkpointer import AVSCheckpointer
from transavs.weights.conversion import convert, merge, write_checkpoint
from transavs.weights.reading import WeightsError

SWIN, PVT, RESNET = "swin_tiny_patch4_window7_224", "pvt_v2_b0", "resnet18"


def make_frames(height=64, width=96):
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def randomize(model):
    """Norms and biases, and the statistics of batch norm, no longer those of a fresh model."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and (value.dim() == 1 or name.endswith("relative_position_bias_table")):
                value.add_(torch.rand_like(value) * 0.05)
    return model.eval()


@torch.no_grad()
def resnet_features(resnet, x):
    x, features = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x)))), []
    for layer in (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4):
        x = layer(x)
        features.append(x)
    return features


def detectron2_resnet(state_dict):
    """Under Detectron2's names, which its own converter gives by replacing text."""
    renamed = {}
    for key, value in state_dict.items():
        key = key if "layer" in key else f"stem.{key}"
        for number in range(1, 5):
            key = key.replace(f"layer{number}", f"res{number + 1}").replace(f"bn{number}", f"conv{number}.norm")
        renamed[key.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")] = value
    return renamed


@torch.no_grad()
def load_into(model, conversion, tmp_path):
    """What training does with the written file; gives the backbone's features."""
    assert conversion.complete, conversion.report()
    path = str(tmp_path / "init.pth")
    write_checkpoint(merge([conversion]), path)
    AVSCheckpointer(model).resume_or_load(path, resume=False)
    return list(model.backbone(make_frames()).values())


def assert_same(found, expected):
    for feature, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(feature, wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())


# ---- ResNets ----


@pytest.mark.parametrize(
    "overrides, reference",
    [
        (["MODEL.RESNETS.DEPTH", 18], torchvision.models.resnet18),
        (["MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.NORM", "FrozenBN"], torchvision.models.resnet18),
        (
            ["MODEL.RESNETS.DEPTH", 50, "MODEL.RESNETS.RES2_OUT_CHANNELS", 256, "MODEL.RESNETS.NORM", "FrozenBN"],
            torchvision.models.resnet50,
        ),
    ],
)
def test_torchvisions_resnet_in_detectron2_gives_its_features(small_model, saved, tmp_path, overrides, reference):
    model, reference = small_model(*overrides), randomize(reference())
    conversion = convert(saved(reference.state_dict()), model)
    assert conversion.source.name == "ResNet of torchvision or timm"
    assert_same(load_into(model, conversion, tmp_path), resnet_features(reference, make_frames()))
    assert conversion.left_out["the classifier of the images it was trained on"] == ["fc.weight", "fc.bias"]


def test_detectron2s_own_pickle_gives_torchvisions_features(small_model, tmp_path):
    model, reference = small_model(), randomize(torchvision.models.resnet18())
    arrays = {name: value.numpy() for name, value in detectron2_resnet(reference.state_dict()).items()}
    assert {"stem.conv1.norm.running_mean", "res3.0.shortcut.norm.weight", "stem.fc.weight"} <= arrays.keys()
    with open(tmp_path / "R-18.pkl", "wb") as file:
        pickle.dump({"model": arrays, "__author__": "torchvision", "matching_heuristics": True}, file)
    conversion = convert(str(tmp_path / "R-18.pkl"), model)
    assert conversion.source.name == "ResNet of Detectron2"
    assert_same(load_into(model, conversion, tmp_path), resnet_features(reference, make_frames()))


def test_torchvisions_resnet_in_timms_gives_its_features(small_model, saved, tmp_path):
    model = small_model("MODEL.BACKBONE.FREEZE_AT", 2, timm=RESNET)
    reference = randomize(torchvision.models.resnet18())
    conversion = convert(saved(reference.state_dict()), model)
    assert_same(load_into(model, conversion, tmp_path), resnet_features(reference, make_frames()))
    assert "counters of batch norm, which a frozen one does not have" in conversion.left_out


def test_files_older_than_batch_norms_counters_are_complete(small_model, saved):
    state = torchvision.models.resnet18().state_dict()
    older = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    conversion = convert(saved(older), small_model())
    assert conversion.complete and len(conversion.comparison.matched) == len(older) - 2  # fc


# ---- Swin, PVT v2 and others of timm ----


SWIN_BUFFERS = {
    "layers.0.blocks.0.attn.relative_position_index": torch.zeros(49, 49, dtype=torch.int64),
    "layers.0.blocks.1.attn_mask": torch.zeros(64, 49, 49),
}


@pytest.mark.parametrize(
    "name, names, extra, source",
    [
        (SWIN, None, {}, "Swin of timm"),
        (SWIN, "Swin", SWIN_BUFFERS, "Swin of its authors"),
        (PVT, None, {}, "PVT v2 of timm"),
        (PVT, "PVT v2", {}, "PVT v2 of its authors"),
        (RESNET, None, {}, "ResNet of torchvision or timm"),
        ("convnext_atto", None, {}, "timm model"),
    ],
)
def test_weights_under_every_published_name_are_timms(
    small_model, saved, names_of_authors, tmp_path, name, names, extra, source
):
    reference, model = randomize(timm.create_model(name)), small_model(timm=name)
    published = {names_of_authors.get(names, str)(key): value for key, value in reference.state_dict().items()}
    conversion = convert(saved({"model": {**published, **extra}}), model)
    assert conversion.source.name == source
    load_into(model, conversion, tmp_path)
    for key, value in model.backbone.model.state_dict().items():
        assert torch.equal(value, reference.state_dict()[key]), key
    left_out = sum(conversion.left_out.values(), [])
    assert len(left_out) + len(conversion.comparison.matched) == len(published) + len(extra)


def test_torchvisions_swin_in_timms_gives_its_features(small_model, saved, tmp_path):
    reference, model = randomize(torchvision.models.swin_t()), small_model(timm=SWIN)
    conversion = convert(saved(reference.state_dict()), model)
    assert conversion.source.name == "Swin of torchvision"
    found = load_into(model, conversion, tmp_path)
    x, expected = make_frames(), []
    with torch.no_grad():
        for number, layer in enumerate(reference.features):
            x = layer(x)
            expected += [x.permute(0, 3, 1, 2)] if number % 2 else []
    assert_same(found, expected)


def test_position_biases_of_another_window_are_told(small_model, saved):
    state = timm.create_model("swin_s3_tiny_224").state_dict()  # windows of 7, 7, 14 and 7; the model's are of 7
    conversion = convert(saved(state), small_model(timm=SWIN))
    assert len(conversion.adapted) == 6 and "6 adapted by timm to the model's size" in conversion.report()


# ---- VGGish ----


def test_vggish_and_a_resnet_are_merged(small_model, saved, tmp_path, vggish_state):
    model, resnet = small_model("MODEL.AUDIO_BACKBONE.NAME", "VGGish"), torchvision.models.resnet18().state_dict()
    extra = {"pproc.pca_eigen_vectors": torch.zeros(128, 128), "pproc.pca_means": torch.zeros(128, 1)}
    paths = saved(vggish_state | extra, "vggish.pth"), saved(resnet, "resnet.pth")
    conversions = [convert(path, model) for path in paths]
    assert [conversion.parts for conversion in conversions] == [{"audio_backbone": (18, 18)}, {"backbone": (120, 120)}]
    write_checkpoint(merge(conversions), tmp_path / "init.pth")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    AVSCheckpointer(model).load(str(tmp_path / "init.pth"))
    for name, value in model.state_dict().items():
        part, _, rest = name.partition(".")
        expected = vggish_state[rest] if part == "audio_backbone" else before[name]
        assert part == "backbone" or torch.equal(value, expected)
    assert torch.equal(model.backbone.res5[1].conv2.weight, resnet["layer4.1.conv2.weight"])


# ---- what does not fit ----


def test_a_missing_an_unexpected_and_a_misshapen_weight_are_reported(small_model, saved):
    state = torchvision.models.resnet18().state_dict()
    state["layer1.0.conv9.weight"] = state.pop("layer1.0.conv1.weight")
    state["layer1.0.conv2.weight"] = torch.zeros(64, 64, 1, 1)
    conversion = convert(saved(state), small_model())
    assert not conversion.complete and conversion.parts == {"backbone": (118, 120)}
    for line in (
        "fills backbone 118 of 120",
        "1 missing: backbone.res2.0.conv1.weight\n",
        "1 unexpected: backbone.res2.0.conv9.weight\n",
        "1 of another shape: backbone.res2.0.conv2.weight [64, 64, 1, 1] for [64, 64, 3, 3]\n",
        "see MODEL.BACKBONE.NAME with MODEL.RESNETS.DEPTH or MODEL.TIMM.NAME",
    ):
        assert line in conversion.report()
    assert len(merge([conversion])) == 118


@pytest.mark.parametrize("name, backbone", [(SWIN, None), (PVT, RESNET), (RESNET, SWIN)])
def test_weights_of_another_kind_of_backbone_are_refused(small_model, saved, name, backbone):
    conversion = convert(saved(timm.create_model(name).state_dict()), small_model(timm=backbone))
    assert not conversion.complete and "see MODEL.BACKBONE.NAME" in conversion.report()
    with pytest.raises(WeightsError, match=r"weights.pth: none of its weights fit; .*\d+ missing: .*\d+ unexpected: "):
        merge([conversion])


def test_two_files_for_one_part_are_refused(small_model, saved):
    model, state = small_model(), torchvision.models.resnet18().state_dict()
    conversions = [convert(saved(state, name), model) for name in ("a.pth", "b.pth")]
    with pytest.raises(WeightsError, match=r"b.pth: 120 weights, backbone\.stem\.\S+, .* are also in .*a.pth; give"):
        merge(conversions)


@pytest.mark.parametrize("backbone", [None, RESNET])
def test_an_unknown_file_is_reported_with_its_names_and_what_is_known(small_model, saved, backbone):
    state = {f"encoder.{i}.weight": torch.zeros(1) for i in range(8)}
    with pytest.raises(WeightsError) as error:
        convert(saved(state, "other.pth"), small_model(timm=backbone))
    for part in (
        "other.pth: not recognised by its 8 names (encoder.0.weight, ",
        "and 3 more",
        "Mask2Former",
        "VGGish of torchvggish",
        "ResNet of Detectron2",
        "Swin of its authors",
    ):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
