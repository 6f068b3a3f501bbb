"""Synthetic clips: cut-out objects that move over a background, each with a sound of its own.

Importing this package registers `stamps_{s4,ms3,ss}_composed` with Detectron2's catalogs.

`scenes` draws, `sounds` mixes, `clips` puts both together. `toy` and `stamps` are the two makers of clips, with
`backgrounds`, `sources` and `debian` for what Stamps is made of. `writing` makes a dataset on disk, and `command_line`
holds what the commands in `datasets/` share. A data loader that composes clips needs neither of the last two, so that
they are not imported here: `writing` scores with `transavs.evaluation`, which itself imports `transavs.data`.
"""

from ..layout import LAYOUTS
from ..semantic_layout import SEMANTIC_SUBSET
from .clips import Clip, ClipMaker, clip_generator
from .composing import register_composed_dataset
from .sources import stamps_sources
from .stamps import StampsMaker
from .toy import ToyMaker

__all__ = [
    "Clip",
    "ClipMaker",
    "StampsMaker",
    "ToyMaker",
    "clip_generator",
    "register_composed_dataset",
    "stamps_sources",
]

for _subset in (*LAYOUTS, SEMANTIC_SUBSET):
    register_composed_dataset(f"stamps_{_subset}_composed", _subset)
