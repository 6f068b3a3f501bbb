"""Comparing the weights that a file has with those that a model expects, and telling how they differ."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

NAMES_TOLD = 5  # of each kind of problem
COUNTER = "num_batches_tracked"  # of batch norm: no weight, absent from older files and from frozen norms


@dataclass(frozen=True)
class Comparison:
    """How the weights that a file has meet those that a module expects.

    Attributes:
        total: how many are expected.
        matched: those of an expected name and shape.
        missing, unexpected: names.
        other_shape: the found and the expected shape, by name.
    """

    total: int
    matched: dict[str, Tensor]
    missing: list[str]
    unexpected: list[str]
    other_shape: dict[str, tuple[list[int], list[int]]]

    @property
    def problems(self) -> list[str]:
        """One for each kind there is, with its count and first names; empty where everything fits."""
        shapes = [f"{name} {found} for {expected}" for name, (found, expected) in self.other_shape.items()]
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": shapes}
        return [f"{len(names)} {kind}: {first_names(names)}" for kind, names in kinds.items() if names]

    def __str__(self) -> str:
        return "; ".join([f"{len(self.matched)} of its {self.total} weights fit", *self.problems])


def compare(found: dict[str, Tensor], expected: dict[str, Tensor]) -> Comparison:
    """Compares a file's weights with a module's, by name and shape."""
    shapes = {name: (list(found[name].shape), list(value.shape)) for name, value in expected.items() if name in found}
    return Comparison(
        total=len(expected),
        matched={name: found[name] for name, (was, wanted) in shapes.items() if was == wanted},
        missing=[name for name in expected if name not in found and not name.endswith(COUNTER)],
        unexpected=[name for name in found if name not in expected],
        other_shape={name: shape for name, shape in shapes.items() if shape[0] != shape[1]},
    )


def first_names(names: Iterable[str], count: int = NAMES_TOLD) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:count]) + (f", and {len(names) - count} more" if len(names) > count else "")


def digest_of(state_dict: dict[str, Tensor]) -> str:
    """The SHA-256 of weights and their names, in whatever order and on whatever device."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state_dict.items()):
        if not name.endswith(COUNTER):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()
