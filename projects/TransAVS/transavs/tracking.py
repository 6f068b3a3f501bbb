"""Which mask of a frame is which object of the frames before."""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

GRID = 64  # pixels: masks are compared on a square of this side
SAME_QUERY = 0.1  # added to the IoU where one query gives both masks
MIN_LIKENESS = 0.2  # IoU, with SAME_QUERY where it is due, of two masks of one object
MEMORY_SECONDS = 5.0  # an object that was silent for longer comes back as another


class Seen(NamedTuple):
    """An object as it was last seen.

    Args:
        time (float): in seconds.
        grid (ndarray): int32 [GRID, GRID], of each cell the covered share of 255.
        category (int): the class of its mask.
        query (int): which query gave the mask, where that is known.
    """

    time: float
    grid: NDArray[np.int32]
    category: int
    query: int | None


class ObjectTracker:
    """Numbers the objects of one video, from 0 on in the order in which they are first heard.

    The model gives each frame masks of queries; a query is no object, as it may turn to another one, or hand its own
    over to another query. Here masks and the objects seen before, as last seen, are matched one to one, so that their
    likeness is the greatest in all (the Hungarian method); a mask of another class is never the same object, and a mask
    that is like none is a new one.
    """

    def __init__(self) -> None:
        self._seen: dict[int, Seen] = {}  # by the object's number
        self._count = 0

    def update(
        self, time: float, masks: Tensor, classes: Tensor | None = None, queries: Tensor | None = None
    ) -> Tensor:
        """
        Args:
            time (float): seconds; not earlier than that of the frame before.
            masks (Tensor): bool [k, H, W], of the frame.
            classes (Tensor): int64 [k], of the masks; None where they are of one class.
            queries (Tensor): int64 [k], which query gave each mask; None where that says nothing.

        Returns:
            Tensor: int64 [k], the objects' numbers, no two the same.
        """
        self._seen = {number: seen for number, seen in self._seen.items() if time - seen.time <= MEMORY_SECONDS}
        categories = [0] * len(masks) if classes is None else classes.tolist()
        sources = [None] * len(masks) if queries is None else queries.tolist()
        found = [
            Seen(time, _on_grid(mask), category, query)
            for mask, category, query in zip(masks.numpy(), categories, sources)
        ]
        numbers = self._match(found)
        for index, seen in enumerate(found):
            if index not in numbers:
                numbers[index] = self._count
                self._count += 1
            self._seen[numbers[index]] = seen
        return torch.tensor([numbers[index] for index in range(len(found))], dtype=torch.int64)

    def _match(self, found: list[Seen]) -> dict[int, int]:
        """Returns: dict of indices in `found` to the numbers of objects seen before."""
        known = list(self._seen.items())
        likeness = np.array([_likeness(mask, seen) for mask in found for _, seen in known]).reshape(
            len(found), len(known)
        )
        rows, columns = linear_sum_assignment(likeness, maximize=True)
        return {row: known[column][0] for row, column in zip(rows.tolist(), columns.tolist()) if likeness[row, column]}


def _on_grid(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    pixels = mask.astype(np.uint8) * np.uint8(255)
    return cv2.resize(pixels, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.int32)


def _likeness(first: Seen, second: Seen) -> float:
    """0 where the two cannot be one object; else at least MIN_LIKENESS."""
    if first.category != second.category:
        return 0.0
    common, joint = np.minimum(first.grid, second.grid).sum(), np.maximum(first.grid, second.grid).sum()
    same_query = first.query is not None and first.query == second.query
    likeness = float(common / max(1, joint)) + SAME_QUERY * same_query
    return likeness if likeness >= MIN_LIKENESS else 0.0
