"""Synthetic clips: cut-out objects that move over a background, each with a sound of its own.

`scenes` draws, `sounds` mixes, `clips` puts both together. `toy` and `stamps` are the two makers of clips, with
`backgrounds`, `sources` and `debian` for what Stamps is made of. `writing` makes a dataset on disk, and `command_line`
holds what the commands in `datasets/` share. A data loader that composes clips needs neither of the last two, so that
they are not imported here: `writing` scores with `transavs.evaluation`, which itself imports `transavs.data`.
"""

from .clips import Clip, ClipMaker, clip_generator
from .sources import stamps_sources
from .stamps import StampsMaker
from .toy import ToyMaker

__all__ = ["Clip", "ClipMaker", "StampsMaker", "ToyMaker", "clip_generator", "stamps_sources"]
