"""What is segmented although nothing sounds, counted pixel by pixel."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transavs.evaluation import metrics


def random_clip(seed, num_frames=4, silent=(1,)):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(num_frames, 3, 4, generator=generator, dtype=torch.float64)
    probabilities[-1] /= 4  # nothing is segmented there
    masks = torch.rand(num_frames, 3, 4, generator=generator) > 0.5
    masks[list(silent)] = False
    return probabilities, masks


def naive_rates(clips, threshold, own_audio):
    """(pixel, frame): the mean of false / silent pixels over frames; the share of silent frames with a false one."""
    shares, silent_frames, false_frames = [], 0, 0
    for probabilities, masks in clips:
        for probability, mask in zip(probabilities.flatten(1).tolist(), masks.flatten(1).tolist()):
            sounding = mask if own_audio else [False] * len(mask)
            silent = sum(not s for s in sounding)
            false = sum(p > threshold and not s for p, s in zip(probability, sounding))
            shares.append(false / silent if silent else 0.0)
            silent_frames += silent == len(sounding)
            false_frames += silent == len(sounding) and false > 0
    return sum(shares) / len(shares), false_frames / silent_frames if silent_frames else 0.0


@settings(max_examples=40, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 10**6), min_size=1, max_size=3),
    threshold=st.sampled_from([0.3, 0.5, 0.97]),
    own_audio=st.booleans(),
)
def test_rates_are_those_of_a_loop_over_pixels(seeds, threshold, own_audio):
    clips = [random_clip(seed, silent=(seed % 3,)) for seed in seeds]
    scores = [metrics.clip_scores(*clip, threshold=threshold, own_audio=own_audio) for clip in clips]
    summary = metrics.summarize(scores)
    assert (summary["FPR_pixel"], summary["FPR_frame"]) == pytest.approx(naive_rates(clips, threshold, own_audio))


def test_with_another_sound_all_that_is_segmented_is_false_and_the_other_scores_stay():
    masks = torch.zeros(2, 2, 4, dtype=torch.bool)
    masks[:, 0] = True
    own = metrics.summarize([metrics.clip_scores(masks.double(), masks)])
    other = metrics.summarize([metrics.clip_scores(masks.double(), masks, own_audio=False)])
    assert (own["FPR_pixel"], own["FPR_frame"]) == (0.0, 0.0)
    assert (other["FPR_pixel"], other["FPR_frame"]) == (0.5, 1.0)
    assert {name: own[name] for name in own if "FPR" not in name} == {
        name: other[name] for name in other if "FPR" not in name
    }


def test_a_frame_that_sounds_everywhere_has_no_false_pixel():
    full = torch.ones(1, 2, 2, dtype=torch.bool)
    assert metrics.false_positive_rate(full, full).tolist() == [0.0]


def test_one_false_pixel_makes_a_silent_frame_false():
    probabilities = torch.zeros(1, 2, 5)
    probabilities[0, 1, 3] = 0.6
    scores = metrics.clip_scores(probabilities, torch.zeros(1, 2, 5, dtype=torch.bool))
    assert (scores["num_silent_frames"], scores["num_false_frames"]) == (1, 1)
    assert scores["false_positive_rate"] == pytest.approx([0.1])
