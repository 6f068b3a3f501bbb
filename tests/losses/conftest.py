"""The losses a second time: loops over queries, pairs and pixels in Python's own floats, from the formulas alone."""

import itertools
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


def product(query, features):
    """Eq. 7 of one query: [d] and [d][h][w] to [h][w], before the sigmoid."""
    height, width = len(features[0]), len(features[0][0])
    return [[sum(q * f[y][x] for q, f in zip(query, features)) for x in range(width)] for y in range(height)]


def block_means(mask, scale):
    """A ground truth [H][W] at the mask features' size, `scale` times smaller."""
    block = [(y, x) for y in range(scale) for x in range(scale)]
    height, width = len(mask) // scale, len(mask[0]) // scale
    return [
        [sum(mask[scale * y + v][scale * x + u] for v, u in block) / len(block) for x in range(width)]
        for y in range(height)
    ]


def bilinear(rows, scale):
    """[h][w] `scale` times as large, pixels being squares whose values stand at their centres."""
    height, width = len(rows), len(rows[0])

    def weights(place, size):
        centre = min(max((place + 0.5) / scale - 0.5, 0), size - 1)
        return [max(0.0, 1 - abs(centre - cell)) for cell in range(size)]

    return [
        [
            sum(v * u * rows[y][x] for y, v in enumerate(weights(Y, height)) for x, u in enumerate(weights(X, width)))
            for X in range(scale * width)
        ]
        for Y in range(scale * height)
    ]


def unit(vector):
    length = math.sqrt(sum(entry**2 for entry in vector))
    return [entry / length for entry in vector]


def matches(matcher, logits, masks, labels, truths):
    """The cheapest of all assignments: the query of each object, in the objects' order."""

    def cost(q, o):
        truth, size = truths[o], len(masks[q])
        pair = masks[q], block_means(truth, len(truth) // size)
        return (
            -matcher.class_weight * softmax(logits[q])[labels[o]]
            + matcher.dice_weight * dice(*pair)
            + matcher.mask_weight * bce(*pair)
        )

    table = [[cost(q, o) for o in range(len(labels))] for q in range(len(logits))]
    return min(
        itertools.permutations(range(len(logits)), len(labels)),
        key=lambda chosen: sum(table[q][o] for o, q in enumerate(chosen)),
    )


def objective(
    criterion,
    inputs,
    delta1,
    delta2,
    *,
    num_classes=1,
    aqdl_weight,
    aqml_weight,
    class_weight,
    dice_weight,
    mask_weight=0.0,
    focal_gamma=2.0,
    no_object_weight=0.1,
    aqdl_distance_threshold=1.0,
):
    """Eq. 13 with the criterion's own h and the weights given; the defaults are DESIGN's."""
    h = criterion.query_projection.weight.tolist()
    weights = [1.0] * num_classes + [no_object_weight]
    num_frames = len(inputs["targets"])
    num_objects = sum(len(labels) for labels, _ in inputs["targets"])
    terms = dict.fromkeys(["class", "dice", "mask", "aqdl", "aqml"], 0.0)
    for layer_logits, layer_fused in zip(inputs["class_logits"], inputs["fused"]):
        for frame in range(num_frames):
            labels, truths = (tensor.tolist() for tensor in inputs["targets"][frame])
            logits, features = layer_logits[frame].tolist(), inputs["projected"][frame].tolist()
            masks = [product(query, features) for query in layer_fused[frame].tolist()]
            scale = inputs["targets"][frame][1].shape[-1] // inputs["projected"].shape[-1]
            label_of = dict.fromkeys(range(len(logits)), num_classes)
            for o, q in enumerate(matches(criterion.matcher, logits, masks, labels, truths)):
                label_of[q] = labels[o]
                terms["dice"] += dice(bilinear(masks[q], scale), truths[o]) / num_objects
                terms["mask"] += bce(bilinear(masks[q], scale), truths[o]) / num_objects
            terms["class"] += (
                sum(focal(logits[q], label, focal_gamma, weights) for q, label in label_of.items()) / num_objects
            )

            sounding = [max(softmax(logit)[:-1]) for logit in logits]
            queries = inputs["audio_queries"][frame].tolist()
            projected = [unit([sum(w * a for w, a in zip(row, query)) for row in h]) for query in queries]
            s1 = [query for query, p in zip(projected, sounding) if p > delta1]
            s2 = [[[sigmoid(x) for x in row] for row in mask] for mask, p in zip(masks, sounding) if p > delta2]
            terms["aqdl"] += aqdl(s1, aqdl_distance_threshold) / num_frames
            terms["aqml"] += aqml(s2) / num_frames
    weight = {"class": class_weight, "dice": dice_weight, "mask": mask_weight, "aqdl": aqdl_weight, "aqml": aqml_weight}
    return {f"loss_{name}": weight[name] * term for name, term in terms.items() if weight[name]}


@pytest.fixture(scope="session")
def naive():
    terms = {"aqdl": aqdl, "aqml": aqml, "focal": focal, "dice": dice, "bce": bce}
    return SimpleNamespace(sigmoid=sigmoid, softmax=softmax, objective=objective, **terms)


@pytest.fixture
def float64_throughout(monkeypatch):
    """The objective computes in float32 whatever it is given; here it keeps float64, to be compared exactly."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(default)
