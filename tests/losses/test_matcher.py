import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pad_sequence

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


def match(weights, class_logits, mask_logits, labels, masks):
    """The pairs {object: query} of each frame, of the only layer."""
    matcher, counts = HungarianMatcher(*weights), [len(of_frame) for of_frame in labels]
    of_frames = [matcher.costs(*frame).t() for frame in zip(class_logits, mask_logits, labels, masks)]
    costs = pad_sequence(of_frames, batch_first=True).transpose(1, 2)  # F N n
    frames, (queries,), (objects,) = matcher.pair(costs[None].numpy(), counts)
    found = [{} for _ in counts]
    for frame, query, index in zip(frames.tolist(), queries.tolist(), objects.tolist()):
        found[frame][index] = query
    return found


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("weights", [(9.0, 1.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (5.0, 2.0, 1.0)])
def test_the_matching_is_the_cheapest_of_all(naive, weights, seed):
    problem = random_problem(NUM_QUERIES, COUNTS, seed=seed)
    for found, *frame in zip(match(weights, *problem), *problem):
        expected = naive_matches(naive, weights, *(tensor.tolist() for tensor in frame))
        assert found == dict(enumerate(expected))


def test_each_layer_has_its_own_pairs():
    matcher, counts = HungarianMatcher(1.0, 1.0), [2, 0, 1]
    costs = np.random.default_rng(0).random((3, len(counts), NUM_QUERIES, 2))
    together = matcher.pair(costs, counts)
    assert together.frames.tolist() == [0, 0, 2]
    for layer in range(3):
        alone = matcher.pair(costs[layer : layer + 1], counts)
        np.testing.assert_array_equal(together.queries[layer], alone.queries[0])
        np.testing.assert_array_equal(together.objects[layer], alone.objects[0])


def test_more_objects_than_queries_leaves_the_dearest_out():
    (found,) = match((1.0, 1.0), *random_problem(2, counts=[4]))
    assert sorted(found.values()) == [0, 1]


def test_frames_without_objects_match_nothing():
    assert match((1.0, 1.0), *random_problem(3, counts=[0, 0])) == [{}, {}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_predictions_that_are_not_finite_cost_the_most(value):
    problem = random_problem(5, [1, 2])
    problem[0][1, 3, :] = value
    found = match((5.0, 5.0), *problem)
    assert [len(of_frame) for of_frame in found] == [1, 2]
    assert 3 not in found[1].values()
