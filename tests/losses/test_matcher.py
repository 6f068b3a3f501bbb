import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transavs.losses import HungarianMatcher

NUM_QUERIES, COUNTS = 5, [3, 1, 0, 2]


def random_problem(num_queries, counts, num_classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    class_logits = torch.randn(len(counts), num_queries, num_classes + 1, dtype=torch.float64, generator=generator)
    mask_logits = torch.randn(len(counts), num_queries, 3, 4, dtype=torch.float64, generator=generator)
    labels = [torch.randint(num_classes, (n,), generator=generator) for n in counts]
    masks = [torch.rand(n, 3, 4, generator=generator).mul(4).round() / 4 for n in counts]  # means of 2 x 2 pixels
    return class_logits, mask_logits, labels, masks


def naive_matches(naive, weights, class_logits, mask_logits, labels, masks):
    """The cheapest of all assignments: the query of each object, in the objects' order."""

    def cost(q, o):
        pair = mask_logits[q], masks[o]
        terms = -naive.softmax(class_logits[q])[labels[o]], naive.dice(*pair), naive.bce(*pair)
        return sum(weight * term for weight, term in zip(weights, terms))

    table = [[cost(q, o) for o in range(len(labels))] for q in range(len(class_logits))]
    return min(
        itertools.permutations(range(len(table)), len(labels)),
        key=lambda chosen: sum(table[q][o] for o, q in enumerate(chosen)),
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("weights", [(9.0, 1.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (5.0, 2.0, 1.0)])
def test_the_matching_is_the_cheapest_of_all(naive, weights, seed):
    problem = random_problem(NUM_QUERIES, COUNTS, seed=seed)
    pairs = HungarianMatcher(*weights)(*problem)
    for (queries, objects), *frame in zip(pairs, *problem):
        expected = naive_matches(naive, weights, *(tensor.tolist() for tensor in frame))
        assert dict(zip(objects.tolist(), queries.tolist())) == dict(enumerate(expected))


def test_more_objects_than_queries_leaves_the_dearest_out():
    pairs = HungarianMatcher(1.0, 1.0)(*random_problem(2, counts=[4]))
    queries, objects = pairs[0]
    assert sorted(queries.tolist()) == [0, 1]
    assert len(set(objects.tolist())) == 2


def test_frames_without_objects_match_nothing():
    pairs = HungarianMatcher(1.0, 1.0)(*random_problem(3, counts=[0, 0]))
    assert [(len(queries), len(objects)) for queries, objects in pairs] == [(0, 0), (0, 0)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_predictions_that_are_not_finite_are_told(value):
    class_logits, mask_logits, labels, masks = random_problem(5, [1, 2])
    class_logits[1, 3, 0] = value
    with pytest.raises(FloatingPointError, match="classes or masks are infinite or NaN"):
        HungarianMatcher(5.0, 5.0)(class_logits, mask_logits, labels, masks)
