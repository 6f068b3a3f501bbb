"""Published weights of parts of the model into one checkpoint of it, with a report of what fits and what does not."""

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..modeling.backbone import TimmBackbone
from .comparing import COUNTER, Comparison, compare, first_names
from .kinds import Source, known_sources, recognize
from .providers import read_weights
from .published import WeightsError

# Where missing or unexpected names begin so, these keys of the config are the ones to look at.
KEYS_OF_NAMES = [
    (r"backbone\.(?!norms\.)", "MODEL.BACKBONE.NAME with MODEL.RESNETS.DEPTH or MODEL.TIMM.NAME"),
    (r"backbone\.norms\.", "MODEL.TIMM.OUTPUT_NORM"),
    (r"pixel_decoder\.input_projections\.", "MODEL.SEM_SEG_HEAD.NAME (MSDeformAttnPixelDecoder) and LEVEL_STRIDES"),
    (r"pixel_decoder\.encoder\.layers\.", "MODEL.SEM_SEG_HEAD.TRANSFORMER_ENC_LAYERS"),
    (r"sem_seg_head\.predictor\.level_embed\.", "MODEL.SEM_SEG_HEAD.LEVEL_STRIDES, of 32, 16 and 8"),
    (r"decoder\.layers\.", "MODEL.TRANSAVS.DEC_LAYERS"),
    (r"audio_backbone\.", "MODEL.AUDIO_BACKBONE.NAME"),
]
# Where names so have another shape; the file's first length is what the key would have to be.
KEYS_OF_SHAPES = [
    (r"decoder\.layers\.\d+\.feed_forward\.map\.0\.bias", "MODEL.TRANSAVS.DIM_FEEDFORWARD"),
    (r"decoder\.layers\.\d+\.feed_forward\.norm\.bias", "MODEL.TRANSAVS.HIDDEN_DIM"),
    (
        r"pixel_decoder\.encoder\.layers\.\d+\.feed_forward\.map\.0\.bias",
        "MODEL.SEM_SEG_HEAD.TRANSFORMER_DIM_FEEDFORWARD",
    ),
    (r"pixel_decoder\.encoder\.layers\.\d+\.norm\.bias", "MODEL.SEM_SEG_HEAD.CONVS_DIM"),
]


@dataclass(frozen=True)
class Conversion:
    """What one file gives to the model.

    Attributes:
        path: the file.
        source: what it was recognised as.
        comparison: of its weights, under the model's names, with those of the part that it should fill.
        parts: of each part of the model, how many weights match and how many there are.
        left_out: names that are left out on purpose, by the reason why.
        adapted: names whose weights timm changed for the model, as it interpolates Swin's position biases.
    """

    path: str
    source: Source
    comparison: Comparison
    parts: dict[str, tuple[int, int]]
    left_out: dict[str, list[str]]
    adapted: list[str]

    @property
    def complete(self) -> bool:
        return not self.comparison.problems

    def report(self) -> str:
        """What was recognised, filled, left out and wrong, a line each."""
        lines = [f"{self.path}: {self.source.name}"]
        filled = [f"{part} {count} of {total}" for part, (count, total) in self.parts.items()]
        lines.append("fills " + ", ".join(filled))
        for reason, names in self.left_out.items():
            lines.append(f"{len(names)} left out, {reason}: {first_names(names, 3)}")
        if self.adapted:
            lines.append(f"{len(self.adapted)} adapted by timm to the model's size: {first_names(self.adapted)}")
        lines += self.comparison.problems
        keys = self.keys_to_look_at()
        if keys:
            lines.append("see " + "; ".join(keys))
        if self.source.note:
            lines.append(f"note: {self.source.note}")
        return "\n    ".join(lines)

    def keys_to_look_at(self) -> list[str]:
        """The config's keys that a misfit may come from."""
        shapes = self.comparison.other_shape
        names = [*self.comparison.missing, *self.comparison.unexpected]
        names += [name for name in shapes if name.startswith("backbone.")]
        keys = [key for pattern, key in KEYS_OF_NAMES if any(re.match(pattern, name) for name in names)]
        for pattern, key in KEYS_OF_SHAPES:
            sizes = {shapes[name][0][0] for name in shapes if re.fullmatch(pattern, name)}
            keys += [f"{key}, {' or '.join(map(str, sorted(sizes)))} in the file"] if sizes else []
        return keys


def convert(path: str, model: nn.Module, part: str | None = None) -> Conversion:
    """Reads and recognises a file, and renames its weights to the model's names.

    Args:
        path: a path, an address or a name, see `read_weights`.
        model: TransAVS; gives names and shapes, and is not changed.
        part: "backbone" or "audio_backbone", where the file is for this part alone.

    Returns:
        Conversion

    Raises:
        WeightsError: the file is unreadable or of no known kind.
    """
    return convert_state_dict(read_weights(path, getattr(model, part or "backbone")), path, model, part)


def convert_state_dict(
    state_dict: dict[str, Tensor], path: str, model: nn.Module, part: str | None = None
) -> Conversion:
    """`convert` of weights that were read already; `path` is for the report."""
    source = recognize(state_dict, model, part)
    if source is None:
        known = ", ".join(source.name for source in known_sources(part))
        raise WeightsError(
            f"{path}: not recognised by its {len(state_dict)} names ({first_names(state_dict)}); expected one of: "
            f"{known}, or a file of the timm model that the config names"
        )
    left_out: dict[str, list[str]] = {}
    found = _split(state_dict, lambda name: _why_left_out(name, source), left_out)
    found = source.rename(found, model)
    expected = model.state_dict()
    found = _split(found, lambda name: _why_unused(name, model, expected), left_out)

    wanted = {name: value for name, value in expected.items() if re.match(source.fills, name)}
    comparison = compare(found, wanted)
    given = {id(value) for value in state_dict.values()}
    counts, totals = (Counter(name.split(".")[0] for name in names) for names in (comparison.matched, wanted))
    return Conversion(
        path=path,
        source=source,
        comparison=comparison,
        parts={part: (counts[part], total) for part, total in totals.items()},
        left_out=left_out,
        adapted=[
            name
            for name, value in comparison.matched.items()
            if name.startswith("backbone.") and id(value) not in given
        ],
    )


def _split(
    state_dict: dict[str, Tensor], reason_of: Callable[[str], str | None], left_out: dict[str, list[str]]
) -> dict[str, Tensor]:
    """The weights without a reason to leave them out; the names of the others go to `left_out`, by reason."""
    kept = {}
    for name, value in state_dict.items():
        reason = reason_of(name)
        if reason is None:
            kept[name] = value
        else:
            left_out.setdefault(reason, []).append(name)
    return kept


def _why_left_out(name: str, source: Source) -> str | None:
    return next((reason for pattern, reason in source.left_out if re.search(pattern, name)), None)


def _why_unused(name: str, model: nn.Module, expected: dict[str, Tensor]) -> str | None:
    """Why a model of this kind has no such weight by design; None where it has, or should have."""
    if name not in expected and name.endswith(COUNTER):
        return "counters of batch norm, which a frozen one does not have"
    if isinstance(model.backbone, TimmBackbone) and name.removeprefix("backbone.model.") in model.backbone.unused_names:
        return "head and last norm, which a backbone does not have"
    return None


def merge(conversions: list[Conversion]) -> dict[str, Tensor]:
    """The matched weights of several files.

    Returns:
        dict[str, Tensor]: under the model's names.

    Raises:
        WeightsError: two files fill the same part, or one fills nothing.
    """
    merged: dict[str, Tensor] = {}
    giver: dict[str, str] = {}
    for conversion in conversions:
        matched = conversion.comparison.matched
        if not matched:
            problems = "; ".join(conversion.comparison.problems)
            raise WeightsError(f"{conversion.path}: none of its weights fit; {problems}")
        twice = [name for name in matched if name in merged]
        if twice:
            raise WeightsError(
                f"{conversion.path}: {len(twice)} weights, {first_names(twice)}, are also in {giver[twice[0]]}; "
                "give one of them"
            )
        merged |= matched
        giver |= dict.fromkeys(matched, conversion.path)
    return merged


def write_checkpoint(weights: dict[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Writes what `MODEL.WEIGHTS` loads."""
    with open(path, "xb") as file:
        torch.save({"model": weights}, file)
