"""The losses a second time: loops over queries, pairs and pixels in Python's own floats, from the formulas alone."""

import math
from types import SimpleNamespace

import pytest
import torch


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softmax(logits):
    total = sum(math.exp(logit) for logit in logits)
    return [math.exp(logit) / total for logit in logits]


def aqdl(queries, d0, smallest=1e-2):
    """Eq. 9, 10, of [n][d]; below the bound the tangent of 1 / r^2 there."""
    n, total = len(queries), 0.0
    for i in range(n):
        for j in range(i + 1, n):
            squared = sum((a - b) ** 2 for a, b in zip(queries[i], queries[j]))
            if squared < d0:
                bound = math.sqrt(smallest)
                slope = -2 / bound**3
                total += 1 / squared if squared >= smallest else 1 / smallest + slope * (math.sqrt(squared) - bound)
    return 2 / (n * (n + 1)) * total if n else 0.0


def aqml(masks):
    """Eq. 11, 12, of probabilities [n][H][W]."""
    n, total = len(masks), 0.0
    for i in range(n):
        for j in range(i + 1, n):
            pairs = [pair for rows in zip(masks[i], masks[j]) for pair in zip(*rows)]
            total += sum((a > 0.5) * b + a * (b > 0.5) for a, b in pairs) / (2 * len(pairs))
    return 2 / (n * (n + 1)) * total if n else 0.0


def focal(logits, label, gamma, weights):
    """Of one query: logits [K]."""
    p = softmax(logits)[label]
    return -weights[label] * (1 - p) ** gamma * math.log(p)


def dice(mask_logits, mask):
    """Of one object: [H][W] and [H][W]."""
    pixels = [(sigmoid(logit), truth) for rows in zip(mask_logits, mask) for logit, truth in zip(*rows)]
    overlap, predicted, wanted = sum(p * t for p, t in pixels), sum(p for p, _ in pixels), sum(t for _, t in pixels)
    return 1 - (2 * overlap + 1) / (predicted + wanted + 1)


def bce(mask_logits, mask):
    """Of one object: [H][W] and [H][W]."""
    pixels = [(sigmoid(logit), truth) for rows in zip(mask_logits, mask) for logit, truth in zip(*rows)]
    return -sum(t * math.log(p) + (1 - t) * math.log(1 - p) for p, t in pixels) / len(pixels)


@pytest.fixture(scope="session")
def naive():
    return SimpleNamespace(sigmoid=sigmoid, softmax=softmax, aqdl=aqdl, aqml=aqml, focal=focal, dice=dice, bce=bce)


@pytest.fixture
def float64_throughout(monkeypatch):
    """The objective computes in float32 whatever it is given; here it keeps float64, to be compared exactly."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(default)
