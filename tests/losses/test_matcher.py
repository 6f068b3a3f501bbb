import itertools

import torch

from transavs.losses import HungarianMatcher


def naive_cost(class_logits, mask_logits, label, mask, matcher):
    """What one query costs for one object: scalar loops over pixels."""
    probability = class_logits.softmax(-1)[label].item()
    overlap = predicted = wanted = entropy = 0.0
    for logit, truth in zip(mask_logits.flatten(), mask.flatten()):
        p = torch.sigmoid(logit)
        overlap, predicted, wanted = overlap + p * truth, predicted + p, wanted + truth
        entropy -= truth * p.log() + (1 - truth) * (1 - p).log()
    dice = 1 - (2 * overlap + 1) / (predicted + wanted + 1)
    return float(-matcher.class_weight * probability + matcher.dice_weight * dice
                 + matcher.mask_weight * entropy / mask.numel())


def random_problem(num_queries, counts, num_classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    class_logits = torch.randn(len(counts), num_queries, num_classes + 1, dtype=torch.float64, generator=generator)
    mask_logits = torch.randn(len(counts), num_queries, 3, 4, dtype=torch.float64, generator=generator)
    labels = [torch.randint(num_classes, (n,), generator=generator) for n in counts]
    masks = [(torch.rand(n, 3, 4, generator=generator) > 0.5).float() for n in counts]
    return class_logits, mask_logits, labels, masks


def test_the_matching_is_the_cheapest_of_all():
    matcher = HungarianMatcher(class_weight=5.0, dice_weight=5.0, mask_weight=2.0)
    class_logits, mask_logits, labels, masks = random_problem(5, counts=[3, 1, 0, 2])
    pairs = matcher(class_logits, mask_logits, labels, masks)
    for frame, (queries, objects) in enumerate(pairs):
        n = len(labels[frame])
        cost = [
            [naive_cost(class_logits[frame, q], mask_logits[frame, q], labels[frame][o], masks[frame][o], matcher)
             for o in range(n)]
            for q in range(5)
        ]
        best = min(
            itertools.permutations(range(5), n), key=lambda chosen: sum(cost[q][o] for o, q in enumerate(chosen))
        )
        assert dict(zip(objects.tolist(), queries.tolist())) == dict(enumerate(best))


def test_more_objects_than_queries_leaves_the_dearest_out():
    pairs = HungarianMatcher(1.0, 1.0)(*random_problem(2, counts=[4]))
    queries, objects = pairs[0]
    assert sorted(queries.tolist()) == [0, 1]
    assert len(set(objects.tolist())) == 2


def test_frames_without_objects_match_nothing():
    pairs = HungarianMatcher(1.0, 1.0)(*random_problem(3, counts=[0, 0]))
    assert [(len(queries), len(objects)) for queries, objects in pairs] == [(0, 0), (0, 0)]
