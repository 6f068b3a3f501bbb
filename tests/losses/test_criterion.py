"""The objective (eq. 13) against a version of it written with loops over queries, pairs and pixels."""
import pytest
import torch

from transavs.losses import Criterion, HungarianMatcher, audio_query_distance_loss, audio_query_mask_loss
from transavs.modeling.mask_head import mask_logits

N, D, SIZE = 6, 4, 8
WEIGHTS = {"aqdl_weight": 2.0, "aqml_weight": 2.0, "class_weight": 5.0, "dice_weight": 5.0}


def make_criterion(**changes):
    arguments = dict(num_classes=1, dim=D, matcher=HungarianMatcher(5.0, 5.0), mask_logits=mask_logits,
                     aqdl_distance_threshold=4.0, **WEIGHTS)
    return Criterion(**{**arguments, **changes}).double()


def random_inputs(num_layers=2, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    masks = torch.zeros(3, 1, SIZE, SIZE, dtype=torch.bool)
    masks[0, 0, :4], masks[1, 0, 2:5, 3:6] = True, True
    targets = [(torch.zeros(1, dtype=torch.int64), masks[0]), (torch.zeros(1, dtype=torch.int64), masks[1]),
               (torch.zeros(0, dtype=torch.int64), masks[2, :0])]
    return {
        "class_logits": [random(3, N, 2) for _ in range(num_layers)],
        "fused": [random(3, N, D) for _ in range(num_layers)],
        "projected": random(3, D, SIZE, SIZE),  # as large as the ground truth, so that nothing is resized
        "audio_queries": random(3, N, D) / 2,
        "targets": targets,
    }


def naive_losses(criterion, inputs, delta1, delta2, gamma=2.0, no_object_weight=0.1):
    totals = dict.fromkeys(["loss_class", "loss_dice", "loss_aqdl", "loss_aqml"], 0.0)
    num_objects = sum(len(labels) for labels, _ in inputs["targets"])
    projected_queries = inputs["audio_queries"] @ criterion.query_projection.weight.T
    for logits, fused in zip(inputs["class_logits"], inputs["fused"]):
        for frame, (labels, masks) in enumerate(inputs["targets"]):
            logit_maps = torch.einsum("nd,dhw->nhw", fused[frame], inputs["projected"][frame])
            probability = logits[frame].softmax(-1)
            dice = [_dice(logit_maps[q].sigmoid(), masks[0].double()) for q in range(N)] if len(labels) else None
            matched = None
            if len(labels):
                matched = min(range(N), key=lambda q: -5 * probability[q, 0].item() + 5 * dice[q].item())
                totals["loss_dice"] += 5 * dice[matched].item() / num_objects
            for q in range(N):
                label = 0 if q == matched else 1
                p, weight = probability[q, label].item(), 1.0 if label == 0 else no_object_weight
                totals["loss_class"] -= 5 * weight * (1 - p) ** gamma * torch.tensor(p).log().item() / num_objects
            s1, s2 = probability[:, 0] > delta1, probability[:, 0] > delta2
            totals["loss_aqdl"] += 2 * audio_query_distance_loss(projected_queries[frame, s1], 4.0).item() / 3
            totals["loss_aqml"] += 2 * audio_query_mask_loss(logit_maps[s2].sigmoid()).item() / 3
    return totals


def _dice(probability, mask):
    return 1 - (2 * (probability * mask).sum() + 1) / (probability.sum() + mask.sum() + 1)


def test_the_terms_are_those_of_eq_13():
    criterion = make_criterion()
    for seed in range(3):
        inputs = random_inputs(seed=seed)
        found = criterion(**inputs, aqdl_confidence=0.3, aqml_confidence=0.4)
        expected = naive_losses(criterion, inputs, 0.3, 0.4)
        assert {name: loss.item() for name, loss in found.items()} == pytest.approx(expected, rel=1e-4)
        assert expected["loss_aqdl"] > 0 and expected["loss_aqml"] > 0  # the comparison says something


def test_layers_add_up():
    criterion, inputs = make_criterion(), random_inputs(num_layers=2)
    single = [
        criterion(**{**inputs, "class_logits": inputs["class_logits"][i:i + 1], "fused": inputs["fused"][i:i + 1]},
                  aqdl_confidence=0.3, aqml_confidence=0.3)
        for i in range(2)
    ]
    both = criterion(**inputs, aqdl_confidence=0.3, aqml_confidence=0.3)
    for name, loss in both.items():
        assert loss.item() == pytest.approx(single[0][name].item() + single[1][name].item())


def test_a_query_at_exactly_the_threshold_is_not_confident():
    criterion, inputs = make_criterion(), random_inputs(num_layers=1)
    inputs["class_logits"] = [torch.zeros(3, N, 2, dtype=torch.float64)]  # p = 0.5 for all
    at = criterion(**inputs, aqdl_confidence=0.5, aqml_confidence=0.5)
    below = criterion(**inputs, aqdl_confidence=0.49, aqml_confidence=0.49)
    assert at["loss_aqdl"] == 0 and at["loss_aqml"] == 0
    assert below["loss_aqdl"] > 0 and below["loss_aqml"] > 0


def test_the_order_of_queries_does_not_matter():
    criterion, inputs, order = make_criterion(), random_inputs(), torch.tensor([3, 1, 5, 0, 2, 4])
    shuffled = {
        **inputs,
        "class_logits": [layer[:, order] for layer in inputs["class_logits"]],
        "fused": [layer[:, order] for layer in inputs["fused"]],
        "audio_queries": inputs["audio_queries"][:, order],
    }
    before = criterion(**inputs, aqdl_confidence=0.3, aqml_confidence=0.3)
    after = criterion(**shuffled, aqdl_confidence=0.3, aqml_confidence=0.3)
    for name in before:
        assert after[name].item() == pytest.approx(before[name].item(), rel=1e-6)


def test_frames_without_objects_teach_the_classifier_alone():
    criterion, inputs = make_criterion(mask_weight=1.0), random_inputs(num_layers=1)
    inputs["targets"] = [(labels[:0], masks[:0]) for labels, masks in inputs["targets"]]
    inputs["class_logits"][0].requires_grad_()
    losses = criterion(**inputs, aqdl_confidence=0.99, aqml_confidence=0.99)
    sum(losses.values()).backward()
    assert losses["loss_dice"] == 0 and losses["loss_mask"] == 0 and losses["loss_class"] > 0
    assert (inputs["class_logits"][0].grad[..., 1] < 0).all()  # towards no object, everywhere


def test_the_pixelwise_loss_is_there_only_when_asked_for():
    inputs = random_inputs()
    assert "loss_mask" not in make_criterion()(**inputs, aqdl_confidence=0.6, aqml_confidence=0.6)
    assert make_criterion(mask_weight=1.0)(**inputs, aqdl_confidence=0.6, aqml_confidence=0.6)["loss_mask"] > 0
