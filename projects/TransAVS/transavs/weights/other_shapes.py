"""Starting from a model of other classes or other seconds: which of its weights may be of another shape."""

from collections.abc import Mapping

import torch
from torch import Tensor

from .comparing import compare, first_names
from .published import WeightsError

CLASSIFIER = ("mask_head.classifier.weight", "mask_head.classifier.bias")  # g: a row a class
W1 = "audio_query_encoder.disentangle.weight"  # a column for a second, or for how far it is from the frame's own


class OtherModelError(WeightsError):
    """The weights are a TransAVS's, but of one with other shapes than the config's."""


def require_shapes(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: str) -> None:
    """Raises: OtherModelError: weights are of another shape than the model's; the first are named."""
    _require(found, expected, path, leave=())


def fit_to(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: str, centred: bool
) -> tuple[dict[str, Tensor], str]:
    """Fits a trained model's weights to a model that has other classes, or clips of another length.

    The classifier's rows stand for other classes: the model's own stay as they are initialised.
    Of W1 (eq. 1) the seconds that both know are taken; the columns of the others are 0, so that training starts with
    the queries that the trained model makes of these seconds.

    Args:
        found: the file's weights.
        expected: the model's.
        path: of the file, for the error.
        centred: whether W1's middle column is the frame's own second (`AUDIO_CONTEXT` "frame"), else its first one is
            the clip's first. The file's model must have the same.

    Returns:
        (the weights to load, what of them does not fit in one line; "" if all fits)

    Raises:
        OtherModelError: other weights than those are of another shape; they are named.
    """
    _require(found, expected, path, leave=(*CLASSIFIER, W1))
    fitting = dict(found)
    told = []
    for name, (was, wanted) in compare(dict(found), dict(expected)).other_shape.items():
        if name == W1 and len(was) == 2 and was[0] == wanted[0]:
            fitting[name] = _same_seconds(found[name], expected[name], centred)
            told.append(f"{name} {was} for {wanted} (the columns of seconds that it does not know are 0)")
        else:
            fitting[name] = expected[name]
            told.append(f"{name} {was} for {wanted} (left as it is initialised)")
    return fitting, ", ".join(told)


def _require(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: str, leave: tuple[str, ...]) -> None:
    shapes = {
        name: pair for name, pair in compare(dict(found), dict(expected)).other_shape.items() if name not in leave
    }
    if shapes:
        told = first_names(f"{name} {was} for {wanted}" for name, (was, wanted) in shapes.items())
        raise OtherModelError(f"{path}: its model has other shapes than the config's: {told}")


def _same_seconds(found: Tensor, expected: Tensor, centred: bool) -> Tensor:
    """W1 [N, seconds] as `expected`, of what is known of its seconds."""
    fitted = expected.new_zeros(expected.shape)
    count = min(found.shape[1], expected.shape[1])
    first, ours = ((side.shape[1] - count) // 2 if centred else 0 for side in (found, expected))
    fitted[:, ours : ours + count] = torch.as_tensor(found[:, first : first + count])
    return fitted
