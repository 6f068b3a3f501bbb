"""Masks and instances over frames."""

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.structures import Instances

from transavs import visualization
from transavs.visualization.masks import INSTANCE_COLORS, instance_color

GREY = 120


@pytest.fixture
def frame():
    return np.full((20, 30, 3), GREY, dtype=np.uint8)


@pytest.fixture
def mask():
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:15, 10:25] = True
    return mask


def instances_of(*masks, queries=None, scores=None):
    fields = {"pred_masks": torch.stack(masks), "scores": torch.tensor(scores or [0.9] * len(masks))}
    return Instances(tuple(masks[0].shape), query_index=torch.tensor(queries or range(len(masks))), **fields)


def has_color(image, color, tolerance=0):
    return bool((np.abs(image.astype(int) - color).max(axis=-1) <= tolerance).any())


def test_overlay_blends_the_colour_inside_and_leaves_the_outside(frame, mask):
    image = visualization.overlay(frame, mask, contour=False, color=(255, 0, 0), opacity=0.4)
    assert image.dtype == np.uint8 and image.shape == frame.shape
    assert (image[mask] == [174, 72, 72]).all()  # 0.6 * 120 + 0.4 * (255, 0, 0)
    assert (image[~mask] == GREY).all()
    assert (frame == GREY).all()


def test_contour_runs_along_both_sides_of_the_masks_border(frame, mask):
    color = visualization.PREDICTION_COLOR
    image = visualization.overlay(frame, mask)
    inner = mask.copy()
    inner[6:14, 11:24] = False
    around = np.zeros_like(mask)
    around[4:16, 9:26] = True
    assert np.array_equal((image == color).all(axis=-1), inner)
    assert np.array_equal((image == visualization.RIM_COLOR).all(axis=-1), around & ~mask)
    assert (image[~around] == GREY).all()


def test_the_images_edge_is_no_border_of_a_mask(frame):
    everywhere = np.ones((20, 30), dtype=bool)
    assert not visualization.inner_border(everywhere).any()
    blended = visualization.overlay(frame, everywhere)
    assert (blended == blended[0, 0]).all()


def test_an_empty_mask_leaves_the_frame_as_it_is(frame):
    assert np.array_equal(visualization.overlay(frame, np.zeros((20, 30), dtype=bool)), frame)


def test_probabilities_colour_by_their_height_and_are_outlined_above_one_half(frame):
    probability = np.zeros((20, 30), dtype=np.float32)
    probability[:, 10:20], probability[:, 20:] = 0.25, 1.0
    plain = visualization.overlay(frame, probability, contour=False, color=(240, 0, 0), opacity=0.5)
    assert plain[0, 0].tolist() == [120, 120, 120]
    assert plain[0, 15].tolist() == [135, 105, 105]
    assert plain[0, 25].tolist() == [180, 60, 60]
    outlined = visualization.overlay(frame, probability)
    assert (outlined[:, 20] == visualization.PREDICTION_COLOR).all()
    assert (outlined[:, 19] == visualization.RIM_COLOR).all()


@pytest.mark.parametrize(
    ("frame_", "mask_", "message"),
    [
        (np.zeros((4, 4, 3), dtype=np.float32), np.zeros((4, 4)), r"uint8 \[H, W, 3\], got float32 \[4, 4, 3\]"),
        (np.zeros((4, 4), dtype=np.uint8), np.zeros((4, 4)), r"got uint8 \[4, 4\]"),
        (np.zeros((4, 5, 3), dtype=np.uint8), np.zeros((4, 4)), r"mask must be \[4, 5\] as its frame, got \[4, 4\]"),
    ],
)
def test_overlay_says_what_does_not_fit(frame_, mask_, message):
    with pytest.raises(ValueError, match=message):
        visualization.overlay(frame_, mask_)


def ring():
    """A square of 40 pixels with a hole of 20 in a frame of 64: bool [64, 64]."""
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[20:60, 12:52] = True
    mask[30:50, 22:42] = False
    return mask


def test_instances_are_coloured_inside_and_outlined_and_their_holes_stay_free():
    frame = np.full((64, 64, 3), GREY, dtype=np.uint8)
    image = visualization.draw_instances(frame, instances_of(ring()), scale=4)
    assert image.shape == (256, 256, 3)
    blended = np.float32(INSTANCE_COLORS[0]) * 0.5 + GREY * 0.5
    assert np.abs(image[4 * 55, 4 * 16 : 4 * 20] - blended).max() <= 1
    assert (image[4 * 40, 4 * 25 : 4 * 40] == GREY).all()  # the hole
    assert (image[4 * 61 :] == GREY).all() and (image[:, : 4 * 11] == GREY).all()
    for row, columns in ((4 * 56, slice(4 * 12, 4 * 13)), (4 * 40, slice(4 * 21, 4 * 23))):  # outer and inner border
        assert np.abs(image[row, columns].astype(int) - INSTANCE_COLORS[0]).max(axis=-1).min() < 40


def test_an_instances_colour_goes_by_its_query():
    left, right = torch.zeros(64, 64, dtype=torch.bool), torch.zeros(64, 64, dtype=torch.bool)
    left[30:60, 4:28], right[30:60, 36:60] = True, True
    frame = np.zeros((64, 64, 3), dtype=np.uint8)
    image = visualization.draw_instances(frame, instances_of(left, right, queries=[3, 8]), scale=1)
    for column, query in ((15, 3), (48, 8)):
        assert np.abs(image[50, column] - np.float32(instance_color(query)) / 2).max() <= 2
    assert instance_color(3) != instance_color(8) and instance_color(8) == instance_color(1)


def test_an_instances_score_is_written_above_its_largest_part():
    frame = np.full((64, 64, 3), GREY, dtype=np.uint8)
    mask = ring()
    mask[2:4, 60:62] = True  # a speck elsewhere
    images = [
        visualization.draw_instances(frame, instances_of(mask, scores=[score]), scale=4) for score in (0.87, 0.11)
    ]
    changed = (images[0] != images[1]).any(axis=-1)
    assert changed[4 * 10 : 4 * 22, 4 * 20 : 4 * 44].any()
    changed[4 * 10 : 4 * 22, 4 * 20 : 4 * 44] = False
    assert not changed.any()


def test_classes_are_named_where_there_are_several():
    frame, found = np.full((64, 64, 3), GREY, dtype=np.uint8), instances_of(ring())
    found.pred_classes = torch.tensor([1])
    metadata = MetadataCatalog.get("__visualization_classes").set(thing_classes=["sounding"])
    plain = visualization.draw_instances(frame, found)
    assert plain.shape == (320, 320, 3)  # small frames are enlarged until their text can be read
    found.pred_classes = torch.tensor([0])
    assert np.array_equal(visualization.draw_instances(frame, found, metadata), plain)
    MetadataCatalog.remove("__visualization_classes")
    metadata = MetadataCatalog.get("__visualization_classes").set(thing_classes=["dog", "drum"])
    assert not np.array_equal(visualization.draw_instances(frame, found, metadata), plain)
    MetadataCatalog.remove("__visualization_classes")


def test_a_frame_without_instances_stays_as_it_is():
    frame = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    assert np.array_equal(visualization.draw_instances(frame, instances_of(ring())[[]], scale=1), frame)
    with pytest.raises(ValueError, match=r"mask must be \[32, 32\] as its frame, got \[64, 64\]"):
        visualization.draw_instances(frame[:32, :32], instances_of(ring()))
