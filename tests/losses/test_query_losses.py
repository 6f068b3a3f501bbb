"""AQDL and AQML against the sums of eq. 9-12, written out pair by pair."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transavs.losses import audio_query_distance_loss, audio_query_mask_loss


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 7), seed=st.integers(0, 10**6), d0=st.floats(0.1, 6.0))
def test_aqdl_is_the_sum_over_pairs(naive, n, seed, d0):
    queries = torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = audio_query_distance_loss(queries, d0, min_squared_distance=0.05)
    assert found.item() == pytest.approx(naive.aqdl(queries.tolist(), d0, 0.05), rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 6), seed=st.integers(0, 10**6))
def test_aqml_is_the_sum_over_pairs(naive, n, seed):
    masks = torch.rand(n, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert audio_query_mask_loss(masks).item() == pytest.approx(naive.aqml(masks.tolist()), rel=1e-9)


def test_aqdl_of_two_queries_one_apart_by_hand():
    queries = torch.tensor([[0.0, 0.0], [0.5, 0.0]])  # squared distance 1/4, so 4, times 2 / (2 * 3)
    assert audio_query_distance_loss(queries, 1.0).item() == pytest.approx(4 / 3)


def test_aqdl_leaves_out_a_pair_at_exactly_the_threshold():
    queries = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert audio_query_distance_loss(queries, 1.0).item() == 0
    assert audio_query_distance_loss(queries, 1.001).item() == pytest.approx(1 / 3)


def test_aqml_of_two_full_masks_by_hand():
    assert audio_query_mask_loss(torch.ones(2, 3, 3)).item() == pytest.approx(1 / 3)  # I = 1, times 2 / (2 * 3)


def test_aqml_counts_a_mask_of_one_half_as_background():
    assert audio_query_mask_loss(torch.full((2, 3, 3), 0.5)).item() == 0


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 6), seed=st.integers(0, 10**6))
def test_aqml_of_disjoint_masks_is_zero(n, seed):
    generator = torch.Generator().manual_seed(seed)
    owner = torch.randint(-1, n, (4, 5), generator=generator)  # of each pixel; -1: nobody's
    masks = (owner == torch.arange(n)[:, None, None]) * torch.rand(n, 4, 5, generator=generator)
    assert audio_query_mask_loss(masks).item() == 0


@pytest.mark.parametrize("n", [0, 1])
def test_a_set_without_a_pair_costs_zero_and_keeps_the_graph(n):
    queries = torch.randn(n, 3, requires_grad=True)
    masks = torch.rand(n, 4, 4, requires_grad=True)
    loss = audio_query_distance_loss(queries, 1.0) + audio_query_mask_loss(masks)
    loss.backward()
    assert loss.item() == 0
    assert queries.grad.shape == queries.shape and not queries.grad.any()
    assert masks.grad.shape == masks.shape and not masks.grad.any()


def cost_at(distance):
    """Value and slope of a pair's penalty, without the 2 / (2 * 3) of eq. 9."""
    queries = torch.tensor([[0.0, 0.0], [distance, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = 3 * audio_query_distance_loss(queries, 1.0, min_squared_distance=0.01)
    loss.backward()
    return loss.item(), queries.grad[1, 0].item()


def test_loss_and_gradient_are_continuous_at_the_bound():
    (above, slope_above), (below, slope_below) = cost_at(0.1 + 1e-9), cost_at(0.1 - 1e-9)
    assert above == pytest.approx(100, rel=1e-6) and below == pytest.approx(100, rel=1e-6)
    assert slope_above == pytest.approx(-2000, rel=1e-6) and slope_below == pytest.approx(-2000, rel=1e-6)


def test_the_penalty_goes_on_in_a_straight_line_below_the_bound():
    assert cost_at(0.05) == pytest.approx((200, -2000))
    assert cost_at(0.001) == pytest.approx((298, -2000))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 0.06, 1.0, 100.0])
def test_equal_queries_part(dtype, size):
    queries = torch.full((3, 8), size, dtype=dtype, requires_grad=True)
    loss = audio_query_distance_loss(queries, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(2 / 12 * 3 * 300, rel=1e-2)
    assert queries.grad.norm(dim=1).min() > 100 and torch.isfinite(queries.grad).all()
    apart = torch.pdist((queries - 1e-3 * queries.grad / queries.grad.norm()).detach())
    assert apart.min() > 1e-4


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_empty_and_all_full_masks_have_finite_gradients(value):
    masks = torch.full((3, 4, 4), value, requires_grad=True)
    audio_query_mask_loss(masks).backward()
    assert torch.isfinite(masks.grad).all()


def test_aqdl_pushes_near_queries_apart():
    queries = torch.tensor([[0.0, 0.0], [0.3, 0.4]], requires_grad=True)
    audio_query_distance_loss(queries, 1.0).backward()
    direction = queries.detach()[1] - queries.detach()[0]
    assert -queries.grad[1] @ direction > 0 > -queries.grad[0] @ direction


def test_gradients_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(4, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    masks = torch.rand(3, 3, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(lambda q: audio_query_distance_loss(q, 5.0), queries)
    assert torch.autograd.gradcheck(audio_query_mask_loss, masks)


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(5)))
def test_the_order_of_queries_does_not_matter(order):
    generator = torch.Generator().manual_seed(1)
    queries = torch.randn(5, 3, dtype=torch.float64, generator=generator)
    masks = torch.rand(5, 4, 4, dtype=torch.float64, generator=generator)
    assert audio_query_distance_loss(queries[list(order)], 4.0).item() == pytest.approx(
        audio_query_distance_loss(queries, 4.0).item()
    )
    assert audio_query_mask_loss(masks[list(order)]).item() == pytest.approx(audio_query_mask_loss(masks).item())
