"""The objective (eq. 13) against a version of it written with loops over layers, frames, queries, pairs and pixels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transavs.losses import Criterion, HungarianMatcher
from transavs.modeling.mask_head import mask_logits

N, D, FRAMES = 6, 4, 3
HEIGHT, WIDTH, SCALE = 3, 4, 2  # of the mask features; the ground truth is SCALE times as large
PAPER = {"aqdl_weight": 2.0, "aqml_weight": 2.0, "class_weight": 5.0, "dice_weight": 5.0}
ALL_DIFFERENT = {
    "num_classes": 3,
    "aqdl_weight": 2.0,
    "aqml_weight": 3.0,
    "class_weight": 5.0,
    "dice_weight": 7.0,
    "mask_weight": 1.5,
    "focal_gamma": 1.5,
    "no_object_weight": 0.3,
    "aqdl_distance_threshold": 4.0,
}
CLASSES = ([1, 0], [2], [])  # of each frame's objects; all are 0 where there is but one class


def make_criterion(**changes):
    arguments = {
        "num_classes": 1,
        "dim": D,
        "matcher": HungarianMatcher(5.0, 4.0, 2.0),
        "mask_logits": mask_logits,
        **PAPER,
        **changes,
    }
    torch.manual_seed(0)
    return Criterion(**arguments).double()


def random_inputs(num_layers=2, seed=0, num_classes=1):
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    targets = []
    for classes in CLASSES:
        masks = torch.rand(len(classes), SCALE * HEIGHT, SCALE * WIDTH, generator=generator) > 0.6
        targets.append((torch.tensor(classes, dtype=torch.int64).clamp(max=num_classes - 1), masks))
    return {
        "class_logits": [random(FRAMES, N, num_classes + 1) for _ in range(num_layers)],
        "fused": [random(FRAMES, N, D) for _ in range(num_layers)],
        "projected": random(FRAMES, D, HEIGHT, WIDTH),
        "audio_queries": random(FRAMES, N, D) / 2,
        "targets": targets,
    }


def leaves(inputs):
    """The tensors of `inputs` that a gradient flows to."""
    return [*inputs["class_logits"], *inputs["fused"], inputs["projected"], inputs["audio_queries"]]


def changed(inputs, change):
    """`inputs` with each tensor changed, the targets left."""

    def of(part):
        return [change(layer) for layer in part] if isinstance(part, list) else change(part)

    return {name: part if name == "targets" else of(part) for name, part in inputs.items()}


def values(losses):
    return {name: loss.item() for name, loss in losses.items()}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("options", [PAPER, ALL_DIFFERENT])
def test_the_terms_are_those_of_eq_13(naive, float64_throughout, options, seed):
    criterion, inputs = make_criterion(**options), random_inputs(seed=seed, num_classes=options.get("num_classes", 1))
    found = criterion(**inputs, aqdl_confidence=0.3, aqml_confidence=0.4)
    expected = naive.objective(criterion, inputs, 0.3, 0.4, **options)
    assert values(found) == pytest.approx(expected, rel=1e-9)
    assert all(value > 0 for value in expected.values())  # the comparison says something


@pytest.mark.parametrize("options", [PAPER, ALL_DIFFERENT])
def test_single_precision_rounds_and_no_more(naive, options):
    criterion = make_criterion(**options).float()
    inputs = changed(random_inputs(num_classes=options.get("num_classes", 1)), torch.Tensor.float)
    found = criterion(**inputs, aqdl_confidence=0.3, aqml_confidence=0.4)
    assert values(found) == pytest.approx(naive.objective(criterion, inputs, 0.3, 0.4, **options), rel=2e-6)


def test_inputs_of_half_precision_are_compared_in_single():
    criterion = make_criterion(aqdl_distance_threshold=4.0).float()
    half = changed(random_inputs(num_layers=1), torch.Tensor.bfloat16)
    single = criterion(**changed(half, torch.Tensor.float), aqdl_confidence=0.3, aqml_confidence=0.3)
    found = criterion(**half, aqdl_confidence=0.3, aqml_confidence=0.3)
    assert all(loss.dtype == torch.float32 for loss in found.values())
    assert values(found) == pytest.approx(values(single), rel=1e-6)


def test_gradients_are_those_of_finite_differences(float64_throughout):
    criterion, inputs = make_criterion(**ALL_DIFFERENT), random_inputs(num_layers=1, num_classes=3)
    inputs = {**changed(inputs, lambda tensor: tensor[:2]), "targets": inputs["targets"][:2]}  # frames

    def total(logits, fused, projected, audio_queries, h):
        losses = torch.func.functional_call(
            criterion,
            {"query_projection.weight": h},
            ([logits], [fused], projected, audio_queries, inputs["targets"], 0.3, 0.4),
        )
        return sum(losses.values())

    tensors = [tensor.requires_grad_() for tensor in (*leaves(inputs), criterion.query_projection.weight)]
    assert torch.autograd.gradcheck(total, tensors)


def test_layers_add_up():
    criterion, inputs = make_criterion(), random_inputs(num_layers=2)
    single = [
        criterion(
            **{**inputs, "class_logits": inputs["class_logits"][i : i + 1], "fused": inputs["fused"][i : i + 1]},
            aqdl_confidence=0.3,
            aqml_confidence=0.3,
        )
        for i in range(2)
    ]
    both = criterion(**inputs, aqdl_confidence=0.3, aqml_confidence=0.3)
    for name, loss in both.items():
        assert loss.item() == pytest.approx(single[0][name].item() + single[1][name].item())


def test_a_query_at_exactly_the_threshold_is_not_confident():
    criterion, inputs = make_criterion(aqdl_distance_threshold=4.0), random_inputs(num_layers=1)
    inputs["class_logits"] = [torch.zeros(FRAMES, N, 2, dtype=torch.float64)]  # p = 0.5 for all
    at = criterion(**inputs, aqdl_confidence=0.5, aqml_confidence=0.5)
    below = criterion(**inputs, aqdl_confidence=0.49, aqml_confidence=0.49)
    assert at["loss_aqdl"] == 0 and at["loss_aqml"] == 0
    assert below["loss_aqdl"] > 0 and below["loss_aqml"] > 0


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(N)), seed=st.integers(0, 10**6))
def test_the_order_of_queries_does_not_matter(order, seed):
    criterion, inputs = make_criterion(**ALL_DIFFERENT), random_inputs(seed=seed, num_classes=3)
    shuffled = {
        **inputs,
        "class_logits": [layer[:, order] for layer in inputs["class_logits"]],
        "fused": [layer[:, order] for layer in inputs["fused"]],
        "audio_queries": inputs["audio_queries"][:, order],
    }
    before = criterion(**inputs, aqdl_confidence=0.3, aqml_confidence=0.3)
    after = criterion(**shuffled, aqdl_confidence=0.3, aqml_confidence=0.3)
    assert values(after) == pytest.approx(values(before), rel=1e-5)


def test_frames_without_objects_teach_the_classifier_alone():
    criterion, inputs = make_criterion(mask_weight=1.0), random_inputs(num_layers=1)
    inputs["targets"] = [(labels[:0], masks[:0]) for labels, masks in inputs["targets"]]
    inputs["class_logits"][0].requires_grad_()
    losses = criterion(**inputs, aqdl_confidence=0.99, aqml_confidence=0.99)
    sum(losses.values()).backward()
    assert losses["loss_dice"] == 0 and losses["loss_mask"] == 0 and losses["loss_class"] > 0
    assert (inputs["class_logits"][0].grad[..., 1] < 0).all()  # towards no object, everywhere


def test_without_objects_the_class_loss_is_the_sum_over_queries(naive):
    criterion, inputs = make_criterion(), random_inputs(num_layers=1)
    inputs["targets"] = [(labels[:0], masks[:0]) for labels, masks in inputs["targets"]]
    logits = inputs["class_logits"][0].flatten(0, 1).tolist()
    expected = 5 * sum(naive.focal(logit, 1, 2.0, [1.0, 0.1]) for logit in logits)
    found = criterion(**inputs, aqdl_confidence=0.99, aqml_confidence=0.99)
    assert found["loss_class"].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("members", [0, 1])
def test_sets_without_a_pair_cost_zero_and_keep_the_graph(members):
    criterion, inputs = make_criterion(), random_inputs(num_layers=1)
    logits = torch.tensor([-4.0, 4.0]).repeat(FRAMES, N, 1).double()
    logits[:, :members] *= -1
    inputs["class_logits"] = [logits]
    tensors = [tensor.requires_grad_() for tensor in leaves(inputs)]
    losses = criterion(**inputs, aqdl_confidence=0.6, aqml_confidence=0.6)
    assert losses["loss_aqdl"] == 0 and losses["loss_aqml"] == 0
    (losses["loss_aqdl"] + losses["loss_aqml"]).backward()
    for tensor in (inputs["projected"], inputs["fused"][0], inputs["audio_queries"], criterion.query_projection.weight):
        assert tensor.grad is not None and not tensor.grad.any()
    sum(criterion(**inputs, aqdl_confidence=0.6, aqml_confidence=0.6).values()).backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in tensors)


@pytest.mark.parametrize("class_logit", [0.0, 1e4])
@pytest.mark.parametrize("mask_logit", [-1e4, 1e4])
@pytest.mark.parametrize("truth", ["no object", "empty", "full"])
def test_equal_queries_with_certain_masks_have_known_losses_and_finite_gradients(truth, mask_logit, class_logit):
    criterion, inputs = make_criterion(mask_weight=1.0), random_inputs(num_layers=1)
    count = 0 if truth == "no object" else 1
    masks = torch.full((count, SCALE * HEIGHT, SCALE * WIDTH), truth == "full")
    inputs = {
        "class_logits": [torch.tensor([class_logit, -class_logit]).repeat(FRAMES, N, 1)],
        "fused": [torch.full((FRAMES, N, D), mask_logit / D)],
        "projected": torch.ones(FRAMES, D, HEIGHT, WIDTH),
        "audio_queries": torch.ones(FRAMES, N, D).double(),
        "targets": [(torch.zeros(count, dtype=torch.int64), masks)] * FRAMES,
    }
    tensors = [tensor.requires_grad_() for tensor in leaves(inputs)]
    losses = criterion(**inputs, aqdl_confidence=0.4, aqml_confidence=0.4)
    sum(losses.values()).backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in tensors)

    full, right = mask_logit > 0, (truth == "full") == (mask_logit > 0)
    wrong = 0 if right or not count else 1
    pairs = (N - 1) / (N + 1)  # 2 / (N (N + 1)) times their number
    losses = values(losses)
    assert losses["loss_dice"] == pytest.approx(5 * wrong * (1 - 1 / (SCALE**2 * HEIGHT * WIDTH + 1)))
    assert losses["loss_mask"] == pytest.approx(1e4 * wrong)
    assert losses["loss_aqdl"] == pytest.approx(2 * 300 * pairs, rel=1e-4)
    assert losses["loss_aqml"] == pytest.approx(2 * full * pairs)
    spare = FRAMES * (N - count) / max(FRAMES * count, 1)  # queries without an object, for each object
    certain, unsure = 2e4 * 0.1 * spare, 0.25 * 0.6931472 * (0.1 * spare + count)
    assert losses["loss_class"] == pytest.approx(5 * (certain if class_logit else unsure))


def test_the_pixelwise_loss_is_there_only_when_asked_for():
    inputs = random_inputs()
    assert "loss_mask" not in make_criterion()(**inputs, aqdl_confidence=0.6, aqml_confidence=0.6)
    assert make_criterion(mask_weight=1.0)(**inputs, aqdl_confidence=0.6, aqml_confidence=0.6)["loss_mask"] > 0


def test_objects_count_the_same_in_every_process(monkeypatch):
    criterion, inputs = make_criterion(), random_inputs()  # three objects
    alone = criterion(**inputs, aqdl_confidence=0.3, aqml_confidence=0.3)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda number: number.add_(9))  # nine in the other process
    shared = criterion(**inputs, aqdl_confidence=0.3, aqml_confidence=0.3)
    for name, share in {"loss_class": 2, "loss_dice": 2, "loss_aqdl": 1, "loss_aqml": 1}.items():
        assert alone[name].item() == pytest.approx(share * shared[name].item())


def test_h_is_a_matrix_of_width_d():
    assert {name: p.shape for name, p in make_criterion().named_parameters()} == {"query_projection.weight": (D, D)}


@pytest.mark.parametrize("gamma", [-1.0, 0.5])
def test_a_gamma_with_infinite_gradients_is_refused(gamma):
    with pytest.raises(ValueError, match=f"FOCAL_GAMMA is {gamma}, expected 0 or at least 1"):
        make_criterion(focal_gamma=gamma)


def test_the_sizes_of_s1_and_s2_and_the_share_of_near_pairs_are_known():
    criterion, inputs = make_criterion(aqdl_distance_threshold=1.0), random_inputs(num_layers=1)
    certain, unsure = torch.tensor([4.0, -4.0]), torch.tensor([-4.0, 4.0])
    queries = torch.eye(N, D).repeat(FRAMES, 1, 1).double()
    queries[0, 1] = queries[0, 0] + 0.1 * queries[0, 2]  # the one pair of three that is near
    logits = torch.stack(
        [torch.stack([certain if q < 3 - frame else unsure for q in range(N)]) for frame in range(FRAMES)]
    )
    criterion.query_projection.weight.data = torch.eye(D).double()
    criterion(
        **{**inputs, "class_logits": [logits], "audio_queries": queries}, aqdl_confidence=0.6, aqml_confidence=0.6
    )
    pairs = sum(n * (n - 1) / 2 for n in (3 - frame for frame in range(FRAMES)))
    assert criterion.metrics["s1"] == criterion.metrics["s2"] == sum(3 - frame for frame in range(FRAMES)) / FRAMES
    assert criterion.metrics["aqdl_pairs"] == pytest.approx(1 / pairs)
