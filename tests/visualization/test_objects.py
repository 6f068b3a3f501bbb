"""transavs.visualization.draw_objects: what is drawn over a video's frame."""

import numpy as np
import pytest
import torch
from detectron2.structures import Instances

from transavs.data.palette import palette
from transavs.visualization import RIM_COLOR, ObjectStyle, draw_objects, instance_color

GREY = 120


@pytest.fixture
def frame():
    return np.full((120, 160, 3), GREY, np.uint8)


def objects(*boxes, numbers=None, scores=None, size=(120, 160)):
    """Each a box (top, left, height, width)."""
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (top, left, height, width) in zip(masks, boxes):
        mask[top : top + height, left : left + width] = True
    return Instances(
        size,
        pred_masks=masks,
        scores=torch.tensor(scores or [0.9] * len(boxes)),
        object_number=torch.tensor(numbers or range(len(boxes))),
    )


def test_each_object_is_tinted_in_its_own_colour_and_lined(frame):
    drawn = draw_objects(frame, objects((60, 10, 40, 40), (60, 90, 40, 40), numbers=[2, 5]))
    for number, left in ((2, 10), (5, 90)):
        tint = np.rint(GREY / 2 + np.float32(instance_color(number)) / 2)
        assert np.abs(drawn[80, left + 20] - tint).max() <= 1
        assert tuple(drawn[80, left]) == instance_color(number) and tuple(drawn[80, left - 1]) == RIM_COLOR
    assert (drawn[110:] == GREY).all() and (frame == GREY).all()


def test_objects_that_touch_are_told_apart_by_their_lines(frame):
    drawn = draw_objects(frame, objects((60, 40, 40, 40), (60, 80, 40, 40)))
    assert tuple(drawn[80, 79]) == instance_color(0) and tuple(drawn[80, 80]) == instance_color(1)


def test_a_score_stands_above_its_object_and_inside_the_frame(frame):
    def written(*box):
        with_text, without = (draw_objects(frame, objects(box, scores=[score])) for score in (0.87, 0.11))
        rows, columns = np.nonzero((with_text != without).any(-1))
        return rows.min(), rows.max(), columns.min(), columns.max()

    top, bottom, left, right = written(60, 60, 40, 40)
    assert 40 < top and bottom < 60 and 55 < left and right < 105
    top, bottom, left, right = written(0, 0, 40, 10)
    assert 0 <= top and bottom < 25 and 0 <= left and right < 45


def test_an_object_is_called_by_its_class_where_there_are_several():
    style = ObjectStyle(["bell", "violin"])
    assert [style.label(1, 0.931), style.name(0)] == ["violin 93%", "bell"]
    assert [ObjectStyle(["sounding"]).label(0, 0.931), ObjectStyle().label(0, 1.0)] == ["93%", "100%"]


def test_objects_of_a_class_may_have_its_colour(frame):
    found = objects((60, 10, 40, 40), (60, 90, 40, 40), numbers=[2, 5])
    found.pred_classes = torch.tensor([3, 3])
    drawn = draw_objects(frame, found, ObjectStyle(["a", "b", "c", "d"], by_class=True))
    assert tuple(drawn[80, 10]) == tuple(drawn[80, 90]) == tuple(palette(5)[4])
    assert tuple(draw_objects(frame, found)[80, 90]) == instance_color(5)


def test_a_speck_gets_no_score(frame):
    speck = draw_objects(frame, objects((60, 60, 2, 2)))
    assert (speck[:55] == GREY).all()


def test_a_frame_without_objects_stays_as_it_is(frame):
    assert np.array_equal(draw_objects(frame, objects((0, 0, 1, 1))[[]]), frame)


def test_masks_of_another_size_are_refused(frame):
    with pytest.raises(ValueError, match=r"mask must be \[120, 160\] as its frame, got \[60, 80\]"):
        draw_objects(frame, objects((0, 0, 10, 10), size=(60, 80)))
