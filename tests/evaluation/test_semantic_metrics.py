"""IoU and F of classes against loops over frames, labels and pixels, written from AVSBench's definitions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transavs.evaluation.semantic_metrics import (
    class_scores,
    confusion,
    label_scores,
    summarize_classes,
    total_confusion,
)

NUM_LABELS = 5


def random_clip(seed, num_frames=3):
    """Predicted and true labels, uint8 [F, 4, 5]; label 4 occurs in few clips alone."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(0, 2 + seed % 4, (2, num_frames, 4, 5), generator=generator, dtype=torch.uint8)
    maps[1, seed % num_frames] = 0
    return maps[0], maps[1]


def naive_label(frames, label, beta_squared=0.3):
    """Mean IoU and mean F of one label over the frames in which it occurs, and how many these are."""
    ious, fs = [], []
    for prediction, truth in frames:
        predicted = {i for i, value in enumerate(prediction.flatten().tolist()) if value == label}
        true = {i for i, value in enumerate(truth.flatten().tolist()) if value == label}
        if not predicted | true:
            continue
        ious.append(len(predicted & true) / len(predicted | true))
        precision = len(predicted & true) / len(predicted) if predicted else 0
        recall = len(predicted & true) / len(true) if true else 0
        weighted = beta_squared * precision + recall
        fs.append((1 + beta_squared) * precision * recall / weighted if weighted else 0)
    count = len(ious)
    return (sum(ious) / count, sum(fs) / count, count) if count else (0.0, 0.0, 0)


def naive_summary(clips, padded):
    def mean(values):
        return sum(values) / len(values) if values else 0.0

    frames = [frame for clip in clips for frame in zip(*clip)]
    empty = torch.zeros(4, 5, dtype=torch.uint8)
    published = [naive_label(frames + [(empty, empty)] * padded, label) for label in range(NUM_LABELS)]
    clean = [scores for scores in (naive_label(frames, label) for label in range(1, NUM_LABELS)) if scores[2]]
    return {
        "mIoU": mean([iou for iou, _, _ in published]),
        "mF": mean([f for _, f, _ in published]),
        "mIoU_noBg": mean([iou for iou, _, _ in published[:-1]]),
        "mF_noBg": mean([f for _, f, _ in published[:-1]]),
        "mIoU_classes": mean([iou for iou, _, _ in clean]),
        "mF_classes": mean([f for _, f, _ in clean]),
    }


def scores_of(clips, padded=0):
    return [class_scores(*clip, NUM_LABELS, num_padded_frames=padded) for clip in clips]


@settings(max_examples=40, deadline=None)
@given(seeds=st.lists(st.integers(0, 10**6), min_size=1, max_size=4), padded=st.sampled_from([0, 5]))
def test_scores_are_those_of_loops(seeds, padded):
    clips = [random_clip(seed) for seed in seeds]
    found = summarize_classes(scores_of(clips, padded))
    assert found == pytest.approx(naive_summary(clips, padded * len(clips)), abs=1e-9)
    for label, row in enumerate(label_scores(scores_of(clips, padded))):
        frames = [frame for clip in clips for frame in zip(*clip)]
        assert (row.iou, row.f, row.num_frames) == pytest.approx(naive_label(frames, label), abs=1e-9)


def test_a_clip_by_hand():
    truth = torch.tensor([[[0, 0, 1, 1]], [[0, 0, 0, 0]]], dtype=torch.uint8)
    prediction = torch.tensor([[[0, 1, 1, 1]], [[0, 0, 0, 2]]], dtype=torch.uint8)
    scores = [class_scores(prediction, truth, 4, num_padded_frames=2)]
    background, first, second, never = label_scores(scores)
    assert (background.iou, background.num_frames) == ((1 / 2 + 3 / 4) / 2, 2)
    assert (first.iou, first.num_frames) == (2 / 3, 1)
    assert first.f == pytest.approx(1.3 * (2 / 3) / (0.3 * (2 / 3) + 1))
    assert (second.iou, second.f, second.num_frames) == (0, 0, 1)
    assert (never.iou, never.f, never.num_frames) == (0, 0, 0)
    found = summarize_classes(scores)
    assert found["mIoU"] == pytest.approx(((1 / 2 + 3 / 4 + 2) / 4 + 2 / 3) / 4)
    assert found["mIoU_noBg"] == pytest.approx(((1 / 2 + 3 / 4 + 2) / 4 + 2 / 3) / 3)
    assert found["mIoU_classes"] == pytest.approx((2 / 3 + 0) / 2)


def test_nothing_but_background_leaves_no_class():
    empty = torch.zeros(1, 4, 5, dtype=torch.uint8)
    found = summarize_classes([class_scores(empty, empty, 3)])
    assert found["mIoU"] == 1 / 3 and found["mIoU_classes"] == found["mF_classes"] == 0


def test_the_order_of_clips_and_how_they_are_cut_change_nothing():
    clips = [random_clip(seed) for seed in range(12)]
    together = summarize_classes(scores_of(clips))
    assert summarize_classes(scores_of(clips[::-1])) == together
    frames = [(prediction[None], truth[None]) for clip in clips for prediction, truth in zip(*clip)]
    assert summarize_classes(scores_of(frames)) == pytest.approx(together, abs=1e-12)


def test_pairs_of_labels_are_counted_pixel_by_pixel():
    clips = [random_clip(seed) for seed in range(6)]
    expected = torch.zeros(NUM_LABELS, NUM_LABELS, dtype=torch.int64)
    for prediction, truth in clips:
        for p, t in zip(prediction.flatten().tolist(), truth.flatten().tolist()):
            expected[t, p] += 1
    assert torch.equal(total_confusion(scores_of(clips)), expected)


def test_256_labels_are_told_apart():
    labels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    assert torch.equal(confusion(labels, labels, 256)[0], torch.eye(256, dtype=torch.int64))
    with pytest.raises(ValueError, match="labels must be below 255, got 255"):
        confusion(labels, labels, 255)


def test_maps_of_other_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"\[1, 2, 3\] and \[1, 3, 2\]"):
        confusion(torch.zeros(1, 2, 3, dtype=torch.uint8), torch.zeros(1, 3, 2, dtype=torch.uint8), 3)
