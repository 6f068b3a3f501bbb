"""J and F a second time: loops over frames, pixels and thresholds, from AVSBench's definitions alone."""

from types import SimpleNamespace

import pytest
import torch

NUM_THRESHOLDS = 255


def f_curve(probability, mask, beta_squared=0.3):
    """One frame's F at each threshold: precision and recall counted anew each time."""
    thresholds = torch.linspace(0, 1 - 1e-10, NUM_THRESHOLDS, dtype=probability.dtype)
    curve = torch.zeros(NUM_THRESHOLDS, dtype=torch.float64)
    for k in range(NUM_THRESHOLDS):
        predicted = probability >= thresholds[k]
        true_positive = (predicted & mask).sum().double()
        precision = true_positive / (predicted.sum().double() + 1e-20)
        recall = true_positive / (mask.sum().double() + 1e-20)
        score = (1 + beta_squared) * precision * recall / (beta_squared * precision + recall)
        curve[k] = 0 if score.isnan() else score
    return curve


def clip_f(probabilities, masks, beta_squared=0.3):
    curves = [f_curve(p, m, beta_squared) for p, m in zip(probabilities, masks) if m.any()]
    return float((sum(curves) / len(curves)).max()) if curves else 0.0


def jaccard(prediction, mask):
    """One frame's, from sets of pixels (eq. 16)."""

    def pixels(frame):
        return {(y, x) for y, row in enumerate(frame.tolist()) for x, value in enumerate(row) if value}

    predicted, wanted = pixels(prediction), pixels(mask)
    if not wanted:
        return 1 - len(predicted) / mask.numel()
    return len(predicted & wanted) / len(predicted | wanted)


def f_at(probability, mask, threshold, beta_squared):
    """One frame's F of the pixels whose probability exceeds the threshold (eq. 17)."""
    pairs = [(p > threshold, m) for p, m in zip(probability.flatten().tolist(), mask.flatten().tolist())]
    both, predicted, wanted = sum(p and m for p, m in pairs), sum(p for p, _ in pairs), sum(m for _, m in pairs)
    if not both:
        return 0.0
    precision, recall = both / predicted, both / wanted
    return (1 + beta_squared) * precision * recall / (beta_squared * precision + recall)


def summary(clips, threshold, beta_squared):
    """The scores of a data set, from all frames anew."""

    def mean(values):
        return sum(values) / len(values) if values else 0.0

    frames = [frame for clip in clips for frame in zip(*clip)]
    return {
        "mJ": mean([jaccard(p > threshold, m) for p, m in frames]),
        "mF": mean([clip_f(p, m, beta_squared) for p, m in clips]),
        "mF_dataset": clip_f(*zip(*frames), beta_squared),
        f"mF@{threshold:g}": mean(
            [mean([f_at(p, m, threshold, beta_squared) for p, m in zip(*clip) if m.any()]) for clip in clips]
        ),
    }


@pytest.fixture(scope="session")
def naive():
    return SimpleNamespace(f_curve=f_curve, clip_f=clip_f, summary=summary)
