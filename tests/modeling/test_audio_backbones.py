import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from torchvggish import torchvggish

from transavs import add_transavs_config
from transavs.modeling.audio import (
    AUDIO_BACKBONE_REGISTRY,
    TimmAudioBackbone,
    VGGish,
    VGGishPostprocessor,
    build_audio_backbone,
)

# Of vggish-10086976.pth, as torchvggish publishes it.
PUBLISHED_SHAPES = {
    "features.0": (64, 1, 3, 3),
    "features.3": (128, 64, 3, 3),
    "features.6": (256, 128, 3, 3),
    "features.8": (256, 256, 3, 3),
    "features.11": (512, 256, 3, 3),
    "features.13": (512, 512, 3, 3),
    "embeddings.0": (4096, 12288),
    "embeddings.2": (4096, 4096),
    "embeddings.4": (128, 4096),
}


def make_cfg(name, **keys):
    cfg = get_cfg()
    add_transavs_config(cfg)
    cfg.MODEL.AUDIO_BACKBONE.NAME = name
    for key, value in keys.items():
        cfg.MODEL.AUDIO_BACKBONE[key] = value
    return cfg


def make_log_mel(num_examples):
    return torch.rand(num_examples, 1, 96, 64, generator=torch.Generator().manual_seed(0)) * 7 - 4.6


@pytest.fixture(scope="module")
def reference():
    """torchvggish's network, with random weights that let the signal through."""
    torch.manual_seed(0)
    network = torchvggish._vgg(postprocess=False)
    network.load_state_dict(VGGish().state_dict())
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.uniform_(parameter, -0.1, 0.1)
    return network


@pytest.fixture(scope="module")
def checkpoint(reference, tmp_path_factory):
    path = tmp_path_factory.mktemp("vggish") / "vggish.pth"
    torch.save(reference.state_dict(), path)
    return str(path)


def test_vggish_equals_torchvggish_with_the_same_weights(reference, checkpoint):
    backbone = build_audio_backbone(make_cfg("VGGish", WEIGHTS=checkpoint))
    log_mel = make_log_mel(3)
    expected = reference(log_mel).detach()
    assert expected.std() > 0.1
    torch.testing.assert_close(backbone(log_mel), expected, rtol=1e-5, atol=1e-5)


def test_vggish_keys_and_shapes_are_those_of_the_published_checkpoint():
    expected = {f"{layer}.weight": shape for layer, shape in PUBLISHED_SHAPES.items()}
    expected |= {f"{layer}.bias": shape[:1] for layer, shape in PUBLISHED_SHAPES.items()}
    assert {key: tuple(value.shape) for key, value in VGGish().state_dict().items()} == expected


def test_random_vggish_tells_sounds_apart():
    torch.manual_seed(0)
    embeddings = VGGish()(make_log_mel(4))
    assert embeddings.shape == (4, VGGish.output_dim) and (embeddings >= 0).all()
    assert embeddings.std(dim=0).max() > 1e-3


def test_frozen_backbone_has_no_gradient_and_stays_in_evaluation_mode():
    backbone = TimmAudioBackbone(model_name="resnet10t", freeze=True).train()
    assert not any(module.training for module in backbone.modules())
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    assert not backbone(make_log_mel(2).requires_grad_()).requires_grad
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert all(torch.equal(before[key], value) for key, value in backbone.state_dict().items())


@pytest.mark.parametrize("model_name, output_dim", [("resnet10t", 512), ("mobilenetv3_small_050", 1024)])
def test_timm_backbone_trains_and_its_output_dim_is_that_of_its_output(model_name, output_dim):
    torch.manual_seed(0)
    backbone = build_audio_backbone(make_cfg("TimmAudioBackbone", TIMM_MODEL=model_name, FREEZE=False)).train()
    features = backbone(make_log_mel(3))
    assert features.shape[1] == backbone.output_dim == output_dim
    features.square().sum().backward()
    first = next(backbone.parameters())
    assert first.shape[1] == 1 and first.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["VGGish", "TimmAudioBackbone"])
def test_output_dim_is_known_before_running(name):
    backbone = build_audio_backbone(make_cfg(name, FREEZE=False)).eval()
    assert backbone(make_log_mel(2)).shape == (2, backbone.output_dim)


def test_unregistered_name_is_reported_with_key_and_choices():
    with pytest.raises(Exception, match="MODEL.AUDIO_BACKBONE.NAME is 'Wav2Vec'.*TimmAudioBackbone, VGGish"):
        build_audio_backbone(make_cfg("Wav2Vec"))
    assert "VGGish" in AUDIO_BACKBONE_REGISTRY


def test_unknown_timm_model_is_reported_with_key():
    with pytest.raises(ValueError, match="MODEL.AUDIO_BACKBONE.TIMM_MODEL is 'resnet_of_my_dreams'"):
        build_audio_backbone(make_cfg("TimmAudioBackbone", TIMM_MODEL="resnet_of_my_dreams"))


def test_checkpoint_that_does_not_fit_is_reported_with_file_and_keys(tmp_path, reference):
    state = dict(reference.state_dict())
    state["embeddings.4.weight"] = torch.zeros(64, 4096)
    state["extra"] = state.pop("features.0.bias")
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ValueError) as error:
        VGGish(weights=str(tmp_path / "other.pth"))
    message = str(error.value)
    for part in (
        "MODEL.AUDIO_BACKBONE.WEIGHTS",
        "other.pth",
        "1 missing: features.0.bias",
        "1 unexpected: extra",
        "1 of another shape: embeddings.4.weight [64, 4096] for [128, 4096]",
    ):
        assert part in message


def test_unreadable_checkpoints_are_named_with_the_configs_key(tmp_path):
    (tmp_path / "text.pth").write_text("no checkpoint at all")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, reason in {
        "missing.pth": "no such file",
        "text.pth": "not a readable file of weights",
        "list.pth": "holds a list, expected a dict of tensors",
    }.items():
        with pytest.raises(ValueError, match=f"MODEL.AUDIO_BACKBONE.WEIGHTS .*{name}: {reason}"):
            TimmAudioBackbone(model_name="resnet10t", weights=str(tmp_path / name))


def test_timm_backbone_reads_its_own_weights_back(tmp_path):
    saved = TimmAudioBackbone(model_name="resnet10t").eval()
    torch.save(saved.state_dict(), tmp_path / "timm.pth")
    loaded = TimmAudioBackbone(model_name="resnet10t", weights=str(tmp_path / "timm.pth")).eval()
    assert torch.equal(loaded(make_log_mel(2)), saved(make_log_mel(2)))


def test_postprocessor_equals_torchvggish(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    parameters = {
        "pca_eigen_vectors": generator.standard_normal((128, 128)) / 16,
        "pca_means": generator.standard_normal(128).astype(np.float32),
    }
    torch.save(parameters, tmp_path / "pca.pth")
    monkeypatch.setattr(torchvggish.hub, "load_state_dict_from_url", lambda url: parameters)
    embeddings = torch.rand(6, 128, generator=torch.Generator().manual_seed(0)) * 2
    expected = torchvggish.Postprocessor().postprocess(embeddings)
    assert 10 < len(expected.unique())
    assert torch.equal(VGGishPostprocessor.from_file(str(tmp_path / "pca.pth"))(embeddings), expected)
