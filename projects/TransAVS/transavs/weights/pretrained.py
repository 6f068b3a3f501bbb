"""Trained models, ready to be used: a folder each, among those that come along, elsewhere, or at an address."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from fvcore.common.config import BASE_KEY

from ..config import read_config, read_plain_yaml
from .published import WeightsError, local_file

# What a trained model's folder holds.
CONFIG_FILE = "config.yaml"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
DIGESTS_FILE = "SHA256SUMS"  # of the first two, as `sha256sum --check` reads it

_PACKAGE = Path(__file__).resolve().parents[1]


def trained_models() -> list[str]:
    """The names of the trained models that come along."""
    return sorted(_shipped())


def trained_config(model: str | os.PathLike[str], overrides: Iterable[Any] = ()) -> CfgNode:
    """A trained model's config; its MODEL.WEIGHTS is the file of the weights.

    Args:
        model: one of `trained_models()`; or a folder, as tools/package_model.py writes it; or the address of such a
            folder's model.safetensors, beside which there is its config.yaml. An address may end with
            `#sha256=<digest>` of the weights.
        overrides: KEY, VALUE, ..., as on a command line.

    Returns:
        CfgNode: not frozen.

    Raises:
        WeightsError: there is no such model, a file of it is missing or has another SHA-256, or its config builds on
            another file.
    """
    config, weights = find_trained_model(model)
    if BASE_KEY in read_plain_yaml(config):
        raise WeightsError(f"{config}: builds on another file (_BASE_), expected a trained model's whole config")
    return read_config(config, ["MODEL.WEIGHTS", weights, *overrides])


def find_trained_model(model: str | os.PathLike[str]) -> tuple[str, str]:
    """A trained model's config and its weights, files on this machine.

    Args:
        model: see `trained_config`. A name counts before a folder of that name.

    Raises:
        WeightsError: there is no such model, or a file of it is missing or has another SHA-256.
    """
    model = os.fspath(model)
    if "://" in model:
        return _at_address(model)
    folder = _shipped().get(model, Path(model))
    if not folder.is_dir():
        raise WeightsError(
            f"no trained model is called {model!r}, nor is there such a folder; there are: "
            f"{', '.join(trained_models()) or 'none in this installation'}"
        )
    files = [folder / CONFIG_FILE, folder / WEIGHTS_FILE]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise WeightsError(f"{folder}: has no {' and no '.join(missing)}, expected a trained model's folder")
    digests = _read_digests(folder / DIGESTS_FILE)
    config, weights = (
        _get(f"{file}#sha256={digests[file.name]}" if file.name in digests else str(file)) for file in files
    )
    return config, weights


def _shipped() -> dict[str, Path]:
    """The folders that come along, by name: inside an installed package; in a checkout, the repository's own."""
    for folder in (_PACKAGE / "checkpoints", _PACKAGE.parents[2] / "checkpoints"):
        found = {path.parent.name: path.parent for path in folder.glob(f"*/{WEIGHTS_FILE}")}
        if found:
            return found
    return {}


def _at_address(address: str) -> tuple[str, str]:
    location = address.partition("#")[0]
    if not location.endswith(".safetensors"):
        raise WeightsError(f"{address}: expected the address of a {WEIGHTS_FILE}, with its {CONFIG_FILE} beside it")
    return _get(f"{location.rpartition('/')[0]}/{CONFIG_FILE}"), _get(address)


def _get(address: str) -> str:
    """`local_file`, whose errors name what was asked for."""
    try:
        return local_file(address)
    except WeightsError as error:
        raise WeightsError(f"{address.partition('#')[0]}: {error}") from None
    except OSError as error:  # of a download
        raise WeightsError(f"{address}: could not be had ({error})") from error


def _read_digests(path: Path) -> dict[str, str]:
    """By file name; empty where there is no such file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return {name: digest for digest, name in re.findall(r"^([0-9a-f]{64}) [ *](\S+)$", text, re.MULTILINE)}
