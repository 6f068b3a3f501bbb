import torch

from transavs.tracking import MEMORY_SECONDS, ObjectTracker

LEFT, RIGHT = (30, 4, 30, 30), (30, 60, 30, 30)


def boxes(*places, side=96):
    """Masks [k, side, side], each of a box: (top, left, height, width) in pixels."""
    masks = torch.zeros(len(places), side, side, dtype=torch.bool)
    for mask, (top, left, height, width) in zip(masks, places):
        mask[top : top + height, left : left + width] = True
    return masks


def test_objects_are_numbered_as_they_are_heard():
    tracker = ObjectTracker()
    assert tracker.update(0, boxes()).tolist() == []
    assert tracker.update(1, boxes(LEFT)).tolist() == [0]
    assert tracker.update(2, boxes(LEFT, RIGHT)).tolist() == [0, 1]


def test_an_object_keeps_its_number_whichever_mask_shows_it():
    tracker = ObjectTracker()
    tracker.update(0, boxes(LEFT, RIGHT))
    assert tracker.update(1, boxes(RIGHT, LEFT)).tolist() == [1, 0]
    assert tracker.update(2, boxes(RIGHT)).tolist() == [1]


def test_the_larger_overlap_decides():
    tracker = ObjectTracker()
    tracker.update(0, boxes((30, 0, 30, 30), (30, 24, 30, 30)))
    assert tracker.update(1, boxes((30, 20, 30, 30), (30, 6, 30, 30))).tolist() == [1, 0]


def test_what_overlaps_too_little_is_another_object():
    tracker = ObjectTracker()
    tracker.update(0, boxes((30, 0, 30, 30)))
    assert tracker.update(1, boxes((30, 18, 30, 30))).tolist() == [0]  # IoU 12 / 48
    assert tracker.update(2, boxes((30, 40, 30, 30))).tolist() == [1]  # 8 / 52


def test_two_masks_are_never_one_object():
    tracker = ObjectTracker()
    tracker.update(0, boxes(LEFT))
    assert sorted(tracker.update(1, boxes((30, 4, 30, 14), (30, 20, 30, 14))).tolist()) == [0, 1]


def test_an_object_silent_for_long_comes_back_as_another():
    tracker = ObjectTracker()
    tracker.update(0, boxes(LEFT))
    assert tracker.update(MEMORY_SECONDS, boxes(LEFT)).tolist() == [0]
    assert tracker.update(2 * MEMORY_SECONDS + 0.1, boxes(LEFT)).tolist() == [1]


def test_a_single_pixel_is_tracked():
    tracker = ObjectTracker()
    tracker.update(0, boxes((70, 70, 1, 1), side=640))
    assert tracker.update(1, boxes((70, 70, 1, 1), side=640)).tolist() == [0]


def test_the_best_pairs_in_all_are_taken_not_the_best_one_first():
    tracker = ObjectTracker()
    tracker.update(0, boxes((30, 0, 30, 30), (30, 18, 30, 30)))
    # The mask in the middle is most like the second object, 0.67, but then nothing were left for the other mask.
    middle, right = (30, 12, 30, 30), (30, 34, 30, 30)
    assert tracker.update(1, boxes(middle, right)).tolist() == [0, 1]


def test_a_mask_of_another_class_is_another_object():
    tracker = ObjectTracker()
    tracker.update(0, boxes(LEFT), torch.tensor([3]))
    assert tracker.update(1, boxes(LEFT), torch.tensor([4])).tolist() == [1]
    assert tracker.update(2, boxes(LEFT), torch.tensor([3])).tolist() == [0]


def test_the_same_query_decides_where_masks_do_not():
    first, second = torch.tensor([6, 9]), torch.tensor([9, 6])
    tracker = ObjectTracker()
    tracker.update(0, boxes((30, 0, 30, 30), (30, 20, 30, 30)), queries=first)
    between = (30, 10, 30, 30)
    assert tracker.update(1, boxes(between), queries=second[:1]).tolist() == [1]
