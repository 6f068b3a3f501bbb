"""Loading a whole part's weights, and telling in one line why they do not fit."""

from dataclasses import dataclass

import torch

from .reading import WeightsError, read_state_dict

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
    matched: dict[str, torch.Tensor]
    missing: list[str]
    unexpected: list[str]
    other_shape: dict[str, tuple[list[int], list[int]]]

    @property
    def problems(self):
        """list[str]: one for each kind there is, with its count and first names; empty where everything fits."""
        shapes = [f"{name} {found} for {expected}" for name, (found, expected) in self.other_shape.items()]
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": shapes}
        return [f"{len(names)} {kind}: {first_names(names)}" for kind, names in kinds.items() if names]

    def __str__(self):
        return "; ".join([f"{len(self.matched)} of its {self.total} weights fit", *self.problems])


def compare(found, expected, may_be_left=()):
    """
    Args:
        found, expected (dict[str, Tensor]): a file's weights and a module's.
        may_be_left (collection of str): names that a file may have beside the expected ones.
    """
    shapes = {name: (list(found[name].shape), list(value.shape)) for name, value in expected.items() if name in found}
    return Comparison(
        total=len(expected),
        matched={name: found[name] for name, (was, wanted) in shapes.items() if was == wanted},
        missing=[name for name in expected if name not in found and not name.endswith(COUNTER)],
        unexpected=[name for name in found if name not in expected and name not in may_be_left],
        other_shape={name: shape for name, shape in shapes.items() if shape[0] != shape[1]},
    )


def load_weights(module, path, *, key, name=None, rename=None, may_be_left=()):
    """Loads a file that must hold all weights of a module.

    Args:
        module (nn.Module): what is filled.
        path (str): path or address, see `read_state_dict`.
        key (str): the config's key that gave it, for errors.
        name (str): of the module, for errors; its class's by default.
        rename (callable): from the file's state dict to one with the module's names.
        may_be_left (collection of str): names that the file may have beside the module's.

    Raises:
        WeightsError: the file is missing, unreadable, no state dict, or its names or shapes differ from the module's.
    """
    try:
        found = read_state_dict(path)
    except WeightsError as error:
        raise WeightsError(f"{key} {error}") from error
    comparison = compare(rename(found) if rename else found, module.state_dict(), may_be_left)
    if comparison.problems:
        raise WeightsError(f"{key} {path}: does not fit {name or type(module).__name__}: {comparison}")
    module.load_state_dict(comparison.matched, strict=False)


def first_names(names, count=NAMES_TOLD):
    """The first names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:count]) + (f", and {len(names) - count} more" if len(names) > count else "")
