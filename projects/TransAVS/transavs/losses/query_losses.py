"""The two self-supervised losses on confident queries: AQDL (eq. 9, 10) and AQML (eq. 11, 12).

Who is confident is the criterion's choice: the functions take the members of S1 or S2 alone. A set with fewer than two
members has no pair and costs exactly 0, still connected to its input, so that every parameter gets a gradient.
"""

import torch
from torch import Tensor

MIN_SQUARED_DISTANCE = 1e-2  # eq. 10 has a pole where two queries meet: below this a straight line takes its place
BINARY_THRESHOLD = 0.5  # Bin in eq. 12


def audio_query_distance_loss(
    queries: Tensor, distance_threshold: float, min_squared_distance: float = MIN_SQUARED_DISTANCE
) -> Tensor:
    """AQDL: pushes apart the projected queries that come too close (eq. 9, 10).

    A pair at the distance r costs 1 / r^2. Below the smallest distance r0 the cost goes on as the tangent there,
    (3 - 2 r / r0) / r0^2: two queries that meet cost 3 / r0^2, and are pushed as hard as at r0.

    Args:
        queries (Tensor): h(q_i) of the members of S1, [n, d].
        distance_threshold (float): d0; pairs at this squared distance or beyond cost nothing.
        min_squared_distance (float): r0^2.

    Returns:
        Tensor: a scalar.
    """
    n = len(queries)
    if n < 2:
        return queries.sum() * 0
    distance = torch.pdist(_told_apart(queries))  # of each pair i < j
    smallest = min_squared_distance**0.5
    tangent = (3 - 2 * distance / smallest) / min_squared_distance
    penalty = torch.where(distance < smallest, tangent, distance.clamp(min=smallest) ** -2)
    return (penalty * (distance.square() < distance_threshold)).sum() * (2 / (n * (n + 1)))


def _told_apart(queries: Tensor) -> Tensor:
    """The queries [n, d]; where two of them are equal, all move by a little more than their rounding error.

    Equal ones have no direction in which they could part: so each gets one of its own, always the same.
    """
    with torch.no_grad():
        size = 8 * torch.finfo(queries.dtype).eps * (1 + queries.abs().amax()) * (torch.pdist(queries) == 0).any()
        offsets = torch.arange(queries.numel(), device=queries.device, dtype=queries.dtype).sin().view_as(queries)
    return queries + size * offsets


def pairs_below(queries: Tensor, distance_threshold: float) -> Tensor:
    """The pairs that AQDL moves.

    Args:
        queries (Tensor): h(q_i) of the members of S1, [n, d].
        distance_threshold (float): d0.

    Returns:
        Tensor: a scalar, how many pairs i < j are at a squared distance below d0.
    """
    if len(queries) < 2:  # of which torch.pdist has no gradient and some versions no result
        return queries.new_zeros(())
    return (torch.pdist(queries.detach()).square() < distance_threshold).sum()


def audio_query_mask_loss(masks: Tensor) -> Tensor:
    """AQML: penalises pixels that several masks claim (eq. 11, 12).

    The sum over all pairs i < j of B_i m_j + m_i B_j, B = Bin(m), is the sum over all i, j of B_i m_j less that over
    i = j, so (sum of B) (sum of m) - sum of B_i m_i: linear in n, and no table of pairs.

    Args:
        masks (Tensor): probabilities m_i in [0, 1] of the members of S2, [n, H, W].

    Returns:
        Tensor: a scalar.
    """
    n = len(masks)
    if n < 2:
        return masks.sum() * 0
    binary = (masks > BINARY_THRESHOLD).to(masks.dtype)
    overlap = binary.sum(0) * masks.sum(0) - (binary * masks).sum(0)  # H W
    return overlap.mean() / 2 * (2 / (n * (n + 1)))
