"""Which mask of a frame is which object of the frames before."""

import cv2
import numpy as np
import torch
from torch import Tensor

GRID = 64  # pixels: masks are compared on a square of this side
MIN_IOU = 0.2  # of two masks of one object, in frames that follow each other
MEMORY_SECONDS = 5.0  # an object that was silent for longer comes back as another


class ObjectTracker:
    """Numbers the objects of one video, from 0 on in the order in which they are first heard.

    The model gives each frame masks of queries; a query is no object, as it may turn to another one, or hand its own
    over to another query. Here a mask is the object that it overlaps the most, as last seen; or else a new one.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[float, np.ndarray]] = {}  # by the object's number: seconds and grid, as last seen
        self._count = 0

    def update(self, time: float, masks: Tensor) -> Tensor:
        """
        Args:
            time (float): seconds; not earlier than that of the frame before.
            masks (Tensor): bool [k, H, W], of the frame.

        Returns:
            Tensor: int64 [k], the objects' numbers, no two the same.
        """
        self._seen = {number: seen for number, seen in self._seen.items() if time - seen[0] <= MEMORY_SECONDS}
        grids = [_on_grid(mask) for mask in masks.numpy()]
        numbers = self._match(grids)
        for index, grid in enumerate(grids):
            if index not in numbers:
                numbers[index] = self._count
                self._count += 1
            self._seen[numbers[index]] = time, grid
        return torch.tensor([numbers[index] for index in range(len(grids))], dtype=torch.int64)

    def _match(self, grids: list[np.ndarray]) -> dict[int, int]:
        """Returns: dict of masks' indices to the numbers of objects seen before; the best pairs come first."""
        pairs = [
            (_iou(grid, seen), number, index)
            for index, grid in enumerate(grids)
            for number, (_, seen) in self._seen.items()
        ]
        numbers: dict[int, int] = {}
        for overlap, number, index in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
            if overlap >= MIN_IOU and index not in numbers and number not in numbers.values():
                numbers[index] = number
        return numbers


def _on_grid(mask: np.ndarray) -> np.ndarray:
    """A mask on the grid: int32 [GRID, GRID], of each cell the covered share of 255."""
    return cv2.resize(mask.astype(np.uint8) * np.uint8(255), (GRID, GRID), interpolation=cv2.INTER_AREA).astype(
        np.int32
    )


def _iou(first: np.ndarray, second: np.ndarray) -> float:
    """Of two grids: common over joint area."""
    return float(np.minimum(first, second).sum() / max(1, np.maximum(first, second).sum()))
