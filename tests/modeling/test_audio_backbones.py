import pytest
import torch
from detectron2.config import get_cfg
from torchvggish import torchvggish

from transavs import add_transavs_config
from transavs.modeling.audio import (
    AUDIO_BACKBONE_REGISTRY,
    TimmAudioBackbone,
    VGGish,
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


def test_vggish_equals_torchvggish_with_the_same_weights(reference):
    backbone = build_audio_backbone(make_cfg("VGGish"))
    backbone.load_state_dict(reference.state_dict())
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
