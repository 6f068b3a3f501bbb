"""The registries of TransAVS's own parts, and the one way to build from them."""

from collections.abc import Callable
from typing import Any

from detectron2.utils.registry import Registry

AUDIO_QUERY_ENCODER_REGISTRY = Registry("AUDIO_QUERY_ENCODER")
AUDIO_QUERY_ENCODER_REGISTRY.__doc__ = "Modules that turn audio features into audio queries (eq. 1-3)."

AUDIO_VISUAL_DECODER_REGISTRY = Registry("AUDIO_VISUAL_DECODER")
AUDIO_VISUAL_DECODER_REGISTRY.__doc__ = "Modules that fuse audio queries with visual features (eq. 4-6)."


def registered(registry: Registry, name: str, key: str) -> Callable[..., Any]:
    """Returns the part that is registered as `name`.

    Args:
        registry (Registry): where to look.
        name (str): the config's value.
        key (str): the config's key, for the error.

    Raises:
        KeyError: if nothing is registered under that name; it gives the key, the name and the names there are.
    """
    if name not in registry:
        available = ", ".join(sorted(known for known, _ in registry))
        raise KeyError(f"{key} is {name!r}, which is not registered; expected one of: {available}")
    return registry.get(name)
