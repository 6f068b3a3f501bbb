"""Masks in the forms in which a JSON file may have them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from transavs.data.rle import compress

HEIGHT, WIDTH = 12, 16


def test_masks_may_be_uncompressed_or_polygons():
    square = np.zeros((HEIGHT, WIDTH), dtype=bool)
    square[2:8, 1:7] = True
    column_wise = square.T.ravel()
    counts = np.diff([0, *np.flatnonzero(np.diff(column_wise)) + 1, column_wise.size]).tolist()
    for mask in ({"size": [HEIGHT, WIDTH], "counts": counts}, [[1, 2, 7, 2, 7, 8, 1, 8]]):
        assert np.array_equal(coco_mask.decode(compress(mask, HEIGHT, WIDTH)).astype(bool), square)


def test_polygons_of_two_corners_cover_nothing():
    for polygons in ([[1, 1, 5, 5]], [[]]):
        assert not coco_mask.decode(compress(polygons, HEIGHT, WIDTH)).any()
    triangle = [1, 1, 9, 1, 9, 9]
    assert compress([triangle, [0, 0, 1, 1]], HEIGHT, WIDTH) == compress([triangle], HEIGHT, WIDTH)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_every_rle_of_pycocotools_is_taken(height, width, seed, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    for counts in (rle["counts"], rle["counts"].decode()):
        given_one = {"size": [height, width], "counts": counts}
        assert compress(given_one, height, width) == given_one
    with pytest.raises(ValueError, match="runs of"):
        compress({"size": [height, width + 1], "counts": rle["counts"]}, height, width + 1)
