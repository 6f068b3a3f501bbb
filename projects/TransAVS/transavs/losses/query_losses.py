"""The two self-supervised losses on confident queries: AQDL (eq. 9, 10) and AQML (eq. 11, 12).

Who is confident is the criterion's choice: the functions take the members of S1 or S2 alone. A set with fewer than two
members has no pair and costs exactly 0, still connected to its input, so that every parameter gets a gradient.
"""

import torch
from torch import Tensor

MIN_SQUARED_DISTANCE = 1e-2  # eq. 10 has a pole where two queries meet; this bounds a pair's penalty by 100
BINARY_THRESHOLD = 0.5  # Bin in eq. 12


def audio_query_distance_loss(
    queries: Tensor, distance_threshold: float, min_squared_distance: float = MIN_SQUARED_DISTANCE
) -> Tensor:
    """AQDL: pushes apart the projected queries that come too close (eq. 9, 10).

    Args:
        queries (Tensor): h(q_i) of the members of S1, [n, d].
        distance_threshold (float): d0; pairs at this squared distance or beyond cost nothing.
        min_squared_distance (float): squared distances are clamped to it from below.

    Returns:
        Tensor: a scalar.
    """
    n = len(queries)
    if n < 2:
        return queries.sum() * 0
    squared = torch.pdist(queries).square()  # of each pair i < j
    penalty = 1 / squared.clamp(min=min_squared_distance)
    return (penalty * (squared < distance_threshold)).sum() * (2 / (n * (n + 1)))


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
