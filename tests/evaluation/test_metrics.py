"""J and F against hand-computed numbers and against a loop over all thresholds, written from AVSBench's definitions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transavs.evaluation import metrics

NUM_THRESHOLDS = 255
J_AND_F = ("mJ", "mF", "mF_dataset", "mF@0.5")


def random_clip(seed, num_frames=3, height=9, width=7, on_thresholds=False, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(num_frames, height, width, generator=generator) > 0.6
    masks[torch.rand(num_frames, generator=generator) < 0.3] = False
    if on_thresholds:
        index = torch.randint(NUM_THRESHOLDS, masks.shape, generator=generator)
        return torch.linspace(0, 1 - 1e-10, NUM_THRESHOLDS, dtype=dtype)[index], masks
    return torch.rand(masks.shape, generator=generator, dtype=dtype), masks


def scores_of(clips):
    return [metrics.clip_scores(probabilities, masks) for probabilities, masks in clips]


def test_jaccard_is_intersection_over_union_of_each_frame():
    mask = torch.tensor([[[1, 1, 0, 0]], [[1, 1, 1, 1]], [[0, 0, 1, 0]]], dtype=torch.bool)
    prediction = torch.tensor([[[0, 1, 1, 0]], [[1, 1, 1, 1]], [[1, 1, 0, 0]]], dtype=torch.bool)
    scores = metrics.jaccard(prediction, mask)
    assert scores.dtype == torch.float64
    assert scores.tolist() == [1 / 3, 1.0, 0.0]


def test_jaccard_of_empty_ground_truth_is_the_share_rightly_left_empty():
    mask = torch.zeros(3, 2, 4, dtype=torch.bool)
    prediction = torch.zeros(3, 2, 4, dtype=torch.bool)
    prediction[1, 0, 0] = True
    prediction[2] = True
    assert metrics.jaccard(prediction, mask).tolist() == [1.0, 7 / 8, 0.0]


def test_jaccard_keeps_leading_dimensions():
    mask = torch.eye(4, dtype=torch.bool).expand(2, 3, 4, 4)
    assert metrics.jaccard(mask, mask).tolist() == [[1.0] * 3] * 2
    assert metrics.jaccard(mask[0, 0], mask[0, 0]).item() == 1.0


def test_f_curve_of_a_frame_computed_by_hand():
    # Sounding pixels at 1.0 and 0.25, a silent one at 0.75, one at 0.
    probability = torch.tensor([[1.0, 0.25, 0.75, 0.0]])
    mask = torch.tensor([[True, True, False, False]])
    curve = metrics.f_curve(probability, mask)
    thresholds = metrics.f_thresholds()

    def f(precision, recall):
        return 1.3 * precision * recall / (0.3 * precision + recall)

    assert curve[0].item() == pytest.approx(f(2 / 4, 1), abs=1e-12)  # threshold 0 predicts every pixel
    between = (thresholds > 0) & (thresholds <= 0.25)
    assert torch.allclose(curve[between], torch.tensor(f(2 / 3, 1)).double())
    between = (thresholds > 0.25) & (thresholds <= 0.75)
    assert torch.allclose(curve[between], torch.tensor(f(1 / 2, 1 / 2)).double())
    assert torch.allclose(curve[thresholds > 0.75], torch.tensor(f(1, 1 / 2)).double())


def test_f_weighs_precision_more_with_beta_squared_0_3():
    # P = 1/4, R = 1 against P = 1, R = 1/4.
    assert metrics.f_score(torch.tensor(1), torch.tensor(4), torch.tensor(1)).item() == pytest.approx(1.3 / 4.3)
    assert metrics.f_score(torch.tensor(1), torch.tensor(1), torch.tensor(4)).item() == pytest.approx(1.3 / 2.2)
    assert metrics.f_score(torch.tensor(1), torch.tensor(4), torch.tensor(1), 1.0).item() == pytest.approx(0.4)


@pytest.mark.parametrize("on_thresholds", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(4))
def test_f_curve_equals_the_loop_over_all_thresholds(naive, seed, dtype, on_thresholds):
    probabilities, masks = random_clip(seed, on_thresholds=on_thresholds, dtype=dtype)
    curves = metrics.f_curve(probabilities, masks)
    for curve, probability, mask in zip(curves, probabilities, masks):
        assert torch.allclose(curve, naive.f_curve(probability, mask), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("direction", [-1, 0, 1])
def test_the_nearest_numbers_beside_a_threshold_fall_on_the_right_side(dtype, direction):
    thresholds = metrics.f_thresholds(dtype)
    limit = torch.full_like(thresholds, 0.0 if direction < 0 else 1.0)
    probability = thresholds if direction == 0 else torch.nextafter(thresholds, limit)
    for k in range(NUM_THRESHOLDS):
        pixel = probability[k].view(1, 1)
        passed = metrics.f_curve(pixel, torch.ones(1, 1, dtype=torch.bool)) > 0
        assert passed.tolist() == (pixel.flatten() >= thresholds).tolist()


def test_half_precision_is_compared_as_float32():
    probabilities, masks = random_clip(0)
    half = probabilities.half()
    assert torch.equal(metrics.f_curve(half, masks), metrics.f_curve(half.float(), masks))


def test_all_empty_and_all_full_frames():
    full, empty = torch.ones(1, 4, 4), torch.zeros(1, 4, 4)
    everywhere, nowhere = full.bool(), empty.bool()
    perfect = metrics.clip_scores(full, everywhere)
    assert (perfect["jaccard"], perfect["f"], perfect["f_at_threshold"]) == ([1.0], 1.0, 1.0)
    silent = metrics.clip_scores(empty, nowhere)
    assert (silent["jaccard"], silent["f"], silent["num_sounding_frames"]) == ([1.0], 0.0, 0)
    false_alarm = metrics.clip_scores(full, nowhere)
    assert (false_alarm["jaccard"], false_alarm["f"]) == ([0.0], 0.0)
    missed = metrics.clip_scores(empty, everywhere)
    assert (missed["jaccard"], missed["f_at_threshold"]) == ([0.0], 0.0)
    assert missed["f"] == 1.0  # at threshold 0 every pixel is predicted, and here all of them sound


def test_a_clips_f_is_the_maximum_of_the_curve_averaged_over_its_sounding_frames(naive):
    for seed in range(6):
        probabilities, masks = random_clip(seed)
        assert metrics.clip_scores(probabilities, masks)["f"] == pytest.approx(
            naive.clip_f(probabilities, masks), abs=1e-12
        )


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_clips=st.integers(1, 3),
    on_thresholds=st.booleans(),
    threshold=st.sampled_from([0.5, 0.4]),
    beta_squared=st.sampled_from([0.3, 0.09, 1.0]),
)
def test_the_summary_is_that_of_loops_over_clips_frames_and_thresholds(
    naive, seed, num_clips, on_thresholds, threshold, beta_squared
):
    clips = [random_clip(seed + i, 1 + i, 4, 5, on_thresholds) for i in range(num_clips)]
    found = metrics.summarize([metrics.clip_scores(*clip, threshold, beta_squared) for clip in clips])
    expected = naive.summary(clips, threshold, beta_squared)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)


def test_one_clip_at_a_time_or_all_at_once_is_the_same():
    clips = [random_clip(seed) for seed in range(5)]
    scores, together = scores_of(clips), metrics.clip_scores(*map(torch.cat, zip(*clips)))
    assert [frame for clip in scores for frame in clip["jaccard"]] == together["jaccard"]
    assert metrics.summarize(scores)["mF_dataset"] == pytest.approx(together["f"], abs=1e-12)
    assert metrics.summarize(scores)["mJ"] == metrics.summarize([together])["mJ"]


def test_silent_frames_do_not_change_a_clips_f():
    probabilities, masks = random_clip(2)
    masks[0] = True
    with_silence = torch.cat([probabilities, torch.rand(2, 9, 7)]), torch.cat([masks, torch.zeros(2, 9, 7).bool()])
    assert metrics.clip_scores(*with_silence)["f"] == metrics.clip_scores(probabilities, masks)["f"]


def test_the_mask_threshold_is_exclusive_and_configurable():
    probabilities = torch.tensor([[[0.5, 0.6, 0.7, 0.0]]])
    masks = torch.tensor([[[False, True, True, False]]])
    assert metrics.clip_scores(probabilities, masks)["jaccard"] == [1.0]
    scores = metrics.clip_scores(probabilities, masks, threshold=0.6)
    assert scores["jaccard"] == [0.5]
    assert scores["f_at_threshold"] == pytest.approx(1.3 * 0.5 / (0.3 + 0.5))
    assert "mF@0.6" in metrics.summarize([scores])


def test_summary_of_two_clips_computed_by_hand():
    # Clip a is best (F 1) from threshold 0.25 down, clip b from above 0.75 on: no single threshold serves both.
    sounding = torch.tensor([[[True, False]]])
    a = metrics.clip_scores(torch.tensor([[[0.25, 0.0]]]), sounding)
    b = metrics.clip_scores(torch.tensor([[[1.0, 0.75]]]), sounding)
    silent = metrics.clip_scores(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[False, False]]]))
    both_predicted = 1.3 * 0.5 / (0.3 * 0.5 + 1)  # P 1/2, R 1
    summary = metrics.summarize([a, b, silent])
    assert summary["mJ"] == pytest.approx((0 + 0.5 + 0.5) / 3)
    assert summary["mF"] == pytest.approx((1 + 1 + 0) / 3)
    assert summary["mF_dataset"] == pytest.approx((1 + both_predicted) / 2)
    assert summary["mF@0.5"] == pytest.approx((0 + both_predicted + 0) / 3)


def test_mj_is_the_mean_over_frames_not_over_clips():
    one = metrics.clip_scores(torch.ones(1, 2, 2), torch.ones(1, 2, 2).bool())
    three = metrics.clip_scores(torch.zeros(3, 2, 2), torch.ones(3, 2, 2).bool())
    assert metrics.summarize([one, three])["mJ"] == 0.25


def test_only_silent_clips_have_every_f_zero():
    clips = scores_of([(torch.zeros(2, 3, 3), torch.zeros(2, 3, 3).bool())] * 3)
    summary = metrics.summarize(clips)
    assert [summary[name] for name in J_AND_F] == [1.0, 0.0, 0.0, 0.0]


@settings(max_examples=25, deadline=None)
@given(seeds=st.lists(st.integers(0, 1000), min_size=1, max_size=6, unique=True), data=st.data())
def test_the_order_of_the_clips_changes_nothing(seeds, data):
    clips = scores_of(random_clip(seed) for seed in seeds)
    shuffled = data.draw(st.permutations(clips))
    assert metrics.summarize(shuffled) == metrics.summarize(clips)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), num_frames=st.integers(1, 4), on_thresholds=st.booleans())
def test_frames_scored_one_by_one_or_together_are_the_same(seed, num_frames, on_thresholds):
    probabilities, masks = random_clip(seed, num_frames, on_thresholds=on_thresholds)
    together = metrics.f_curve(probabilities, masks)
    alone = torch.stack([metrics.f_curve(p, m) for p, m in zip(probabilities, masks)])
    assert torch.equal(together, alone)
    prediction = probabilities > 0.5
    alone = torch.stack([metrics.jaccard(p, m) for p, m in zip(prediction, masks)])
    assert torch.equal(metrics.jaccard(prediction, masks), alone)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_scores_are_fractions_and_the_best_threshold_beats_the_shared_one(seed):
    clips = scores_of(random_clip(seed + step) for step in range(4))
    summary = metrics.summarize(clips)
    assert all(0 <= value <= 1 and math.isfinite(value) for value in summary.values())
    assert summary["mF@0.5"] <= summary["mF"] + 1e-12


def test_a_perfect_prediction_scores_exactly_one():
    masks = random_clip(1)[1]
    masks[:, 0, 0] = True
    scores = metrics.clip_scores(masks.float(), masks)
    summary = metrics.summarize([scores])
    assert [summary[name] for name in J_AND_F] == [1.0] * 4


def test_no_rounding_lifts_f_above_one():
    counts = torch.arange(1, 10_000)
    for beta_squared in (0.3, 0.09, 1.0):
        scores = metrics.f_score(counts, counts, counts, beta_squared)
        assert scores.max().item() == 1.0 and scores.min().item() == pytest.approx(1.0, abs=1e-15)


def test_inputs_are_left_as_they_were():
    probabilities, masks = random_clip(0)
    copies = probabilities.clone(), masks.clone()
    metrics.clip_scores(probabilities, masks)
    assert torch.equal(probabilities, copies[0]) and torch.equal(masks, copies[1])


MASK = torch.ones(1, 2, 2, dtype=torch.bool)


@pytest.mark.parametrize(
    ("probabilities", "masks", "message"),
    [
        (torch.full((1, 2, 2), 1.5), MASK, r"lie in \[0, 1\], got values from 1.5 to 1.5"),
        (torch.full((1, 2, 2), -0.1), MASK, r"lie in \[0, 1\]"),
        (torch.tensor([[[0.1, float("nan")], [0.2, 0.3]]]), MASK, "nan"),
        (torch.ones(1, 2, 2, dtype=torch.int64), MASK, "floating-point tensor, got torch.int64"),
        (torch.ones(1, 2, 2), MASK.float(), "mask must be a bool tensor, got torch.float32"),
        (torch.ones(1, 2, 3), MASK, r"one shape, got \[1, 2, 3\] and \[1, 2, 2\]"),
        (torch.ones(2, 2), MASK[0], r"\[F, H, W\] with F >= 1, got \[2, 2\]"),
        (torch.ones(0, 2, 2), MASK[:0], r"F >= 1, got \[0, 2, 2\]"),
    ],
)
def test_unusable_input_is_named(probabilities, masks, message):
    with pytest.raises(ValueError, match=message):
        metrics.clip_scores(probabilities, masks)


def test_summaries_need_clips_of_one_threshold():
    with pytest.raises(ValueError, match="got 0 clips"):
        metrics.summarize([])
    clips = [metrics.clip_scores(MASK.float(), MASK, threshold=threshold) for threshold in (0.4, 0.5)]
    with pytest.raises(ValueError, match=r"2 clips at \[0.4, 0.5\]"):
        metrics.summarize(clips)


def test_beta_squared_must_be_positive():
    with pytest.raises(ValueError, match="beta_squared must be positive, got 0"):
        metrics.f_curve(MASK.float(), MASK, beta_squared=0)
