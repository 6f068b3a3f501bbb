"""A small Mask2Former under the names of its published checkpoints: modules laid out as in its source, with torch's own
attention, so that its layers can also be run."""

import pickle
import re

import pytest
import timm
import torch
import torchvision
from torch import nn

DIM, HEADS, LEVELS, POINTS = 32, 8, 3, 4  # every published one: 256, 8, 3, 4
ENC_FFN, DEC_FFN, ENC_LAYERS, DEC_LAYERS = 48, 64, 2, 3  # 1024, 2048, 6, 9
SWIN = "swin_tiny_patch4_window7_224"
FITTING = [
    "MODEL.SEM_SEG_HEAD.NAME",
    "MSDeformAttnPixelDecoder",
    "MODEL.SEM_SEG_HEAD.TRANSFORMER_ENC_LAYERS",
    ENC_LAYERS,
    "MODEL.SEM_SEG_HEAD.TRANSFORMER_DIM_FEEDFORWARD",
    ENC_FFN,
    "MODEL.TRANSAVS.DIM_FEEDFORWARD",
    DEC_FFN,
    "MODEL.TRANSAVS.NHEADS",
    HEADS,
]


def tree(**children):
    """A module of named modules and parameters."""
    module = nn.Module()
    for name, child in children.items():
        module.register_parameter(name, child) if isinstance(child, nn.Parameter) else module.add_module(name, child)
    return module


def layers(make, count):
    return nn.ModuleList(make() for _ in range(count))


def embedding(rows):
    return nn.Embedding(rows, DIM)


def conv_with_norm(in_channels, size):
    conv = nn.Conv2d(in_channels, DIM, size, bias=False)
    conv.norm = nn.GroupNorm(32, DIM)
    return conv


def pixel_decoder(channels):
    """MSDeformAttnPixelDecoder of msdeformattn.py."""

    def layer():
        outputs = HEADS * LEVELS * POINTS
        attention = tree(
            sampling_offsets=nn.Linear(DIM, 2 * outputs),
            attention_weights=nn.Linear(DIM, outputs),
            value_proj=nn.Linear(DIM, DIM),
            output_proj=nn.Linear(DIM, DIM),
        )
        return tree(
            self_attn=attention,
            norm1=nn.LayerNorm(DIM),
            linear1=nn.Linear(DIM, ENC_FFN),
            linear2=nn.Linear(ENC_FFN, DIM),
            norm2=nn.LayerNorm(DIM),
        )

    projections = nn.ModuleList(
        nn.Sequential(nn.Conv2d(width, DIM, 1), nn.GroupNorm(32, DIM)) for width in channels[:0:-1]
    )
    transformer = tree(
        level_embed=nn.Parameter(torch.empty(LEVELS, DIM)), encoder=tree(layers=layers(layer, ENC_LAYERS))
    )
    return tree(
        input_proj=projections,
        transformer=transformer,
        mask_features=nn.Conv2d(DIM, DIM, 1),
        adapter_1=conv_with_norm(channels[0], 1),
        layer_1=conv_with_norm(DIM, 3),
    )


def predictor():
    """MultiScaleMaskedTransformerDecoder of mask2former_transformer_decoder.py."""

    def attention(name):
        return lambda: tree(**{name: nn.MultiheadAttention(DIM, HEADS)}, norm=nn.LayerNorm(DIM))

    def ffn():
        return tree(linear1=nn.Linear(DIM, DEC_FFN), linear2=nn.Linear(DEC_FFN, DIM), norm=nn.LayerNorm(DIM))

    return tree(
        transformer_self_attention_layers=layers(attention("self_attn"), DEC_LAYERS),
        transformer_cross_attention_layers=layers(attention("multihead_attn"), DEC_LAYERS),
        transformer_ffn_layers=layers(ffn, DEC_LAYERS),
        decoder_norm=nn.LayerNorm(DIM),
        query_feat=embedding(100),
        query_embed=embedding(100),
        level_embed=embedding(LEVELS),
        class_embed=nn.Linear(DIM, 134),
        mask_embed=tree(layers=layers(lambda: nn.Linear(DIM, DIM), 3)),
    )


def make_mask2former(channels):
    """Without its backbone."""
    torch.manual_seed(0)
    model = tree(sem_seg_head=tree(pixel_decoder=pixel_decoder(channels), predictor=predictor()), criterion=nn.Module())
    model.criterion.register_buffer("empty_weight", torch.ones(134))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def with_resnet(model):
    """On Detectron2's ResNet-18 with batch norm."""
    state = model.state_dict()
    for key, value in torchvision.models.resnet18().state_dict().items():
        key = key if "layer" in key else f"stem.{key}"
        for number in range(1, 5):
            key = key.replace(f"layer{number}", f"res{number + 1}").replace(f"bn{number}", f"conv{number}.norm")
        key = key.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        if not key.startswith("stem.fc"):
            state[f"backbone.{key}"] = value + (0.01 if value.is_floating_point() else 1)
    return state


def with_swin(model):
    """On its Swin: a norm for each feature, downsampling at a stage's end, indices as buffers, no head."""
    state = model.state_dict()
    for key, value in timm.create_model(SWIN).state_dict().items():
        key = re.sub(r"layers\.(\d)\.downsample", lambda part: f"layers.{int(part[1]) - 1}.downsample", key)
        if not key.startswith(("norm.", "head.")):
            state[f"backbone.{key}"] = value + (0.01 if value.is_floating_point() else 1)
    for stage, width in enumerate((96, 192, 384, 768)):
        state[f"backbone.norm{stage}.weight"] = torch.randn(width)
        state[f"backbone.norm{stage}.bias"] = torch.randn(width)
        state[f"backbone.layers.{stage}.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
    return state


@pytest.fixture(scope="session")
def resnet_checkpoint(tmp_path_factory):
    """As published: a pickle of arrays; its path and the weights."""
    state = with_resnet(make_mask2former((64, 128, 256, 512)))
    arrays = {name: value.numpy() for name, value in state.items()}
    path = tmp_path_factory.mktemp("mask2former") / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "third_party"}))
    return str(path), state


@pytest.fixture(scope="session")
def swin_state():
    """The weights of one on a Swin-T."""
    return with_swin(make_mask2former((96, 192, 384, 768)))


@pytest.fixture(scope="session")
def mask2former_decoder():
    """Its decoder, of the weights in `resnet_checkpoint`."""
    return make_mask2former((64, 128, 256, 512)).sem_seg_head.predictor


@pytest.fixture(scope="session")
def fitting():
    """The config's keys that give a model its sizes."""
    return FITTING


@pytest.fixture
def vggish_state(monkeypatch):
    """With 8 hidden units for 4096."""
    monkeypatch.setattr("transavs.modeling.audio.vggish.HIDDEN_DIM", 8)
    channels = {0: (64, 1), 3: (128, 64), 6: (256, 128), 8: (256, 256), 11: (512, 256), 13: (512, 512)}
    state = {f"features.{i}.weight": torch.randn(*shape, 3, 3) for i, shape in channels.items()}
    widths = {0: (8, 12288), 2: (8, 8), 4: (128, 8)}
    state |= {f"embeddings.{i}.weight": torch.randn(*shape) for i, shape in widths.items()}
    return state | {name.replace("weight", "bias"): torch.randn(len(value)) for name, value in state.items()}


def by_swins_authors(name):
    name = re.sub(r"layers\.(\d)\.downsample", lambda part: f"layers.{int(part[1]) - 1}.downsample", name)
    return name.replace("head.fc.", "head.")


def by_pvts_authors(name):
    name = re.sub(r"^patch_embed\.", "patch_embed1.", name)
    name = re.sub(r"^stages\.(\d)\.downsample", lambda part: f"patch_embed{int(part[1]) + 1}", name)
    name = re.sub(r"^stages\.(\d)\.blocks", lambda part: f"block{int(part[1]) + 1}", name)
    name = re.sub(r"^stages\.(\d)\.norm", lambda part: f"norm{int(part[1]) + 1}", name)
    return name.replace("dwconv.", "dwconv.dwconv.")


@pytest.fixture(scope="session")
def names_of_authors():
    """Of timm's models that others wrote: what makes timm's name of a weight that of its authors."""
    return {"Swin": by_swins_authors, "PVT v2": by_pvts_authors}
