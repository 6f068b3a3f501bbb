from fractions import Fraction

import pytest

from transavs.losses import confidence_threshold


@pytest.mark.parametrize(
    "iteration, expected",
    [
        (0, 0.55),
        (4999, 0.55),
        (5000, 0.55 + 0.1 / 18),
        (9999, 0.55 + 0.1 / 18),
        (45000, 0.60),
        (89999, 0.55 + 17 * 0.1 / 18),
        (90000, 0.65),
        (10**7, 0.65),
    ],
)
def test_delta_follows_eq_18(iteration, expected):
    assert confidence_threshold(iteration, 0.55, 0.65, 5000) == pytest.approx(expected)


@pytest.mark.parametrize("step", range(1, 19))
def test_delta_rises_at_each_of_the_18_boundaries(step):
    a, b, n_iter = Fraction(55, 100), Fraction(65, 100), 5000
    boundary = step * n_iter
    for iteration in (boundary - 1, boundary, boundary + 1):
        expected = a + (b - a) / 18 * (iteration // n_iter)
        assert confidence_threshold(iteration, 0.55, 0.65, n_iter) == pytest.approx(float(expected), abs=1e-15)


def test_delta_may_fall():
    assert [confidence_threshold(i, 18.0, 0.0, 1) for i in (0, 5, 18, 30)] == [18.0, 13.0, 0.0, 0.0]


def test_equal_ends_fix_delta():
    assert {confidence_threshold(i, 0.6, 0.6, 5000) for i in range(0, 95000, 2500)} == {0.6}


def test_every_step_begins_at_a_multiple_of_step_iters():
    values = [confidence_threshold(i, 0.0, 18.0, 10) for i in range(200)]
    assert values == [pytest.approx(min(i // 10, 18)) for i in range(200)]


def test_a_step_without_iterations_is_refused():
    with pytest.raises(ValueError, match="step_iters must be at least 1, got 0"):
        confidence_threshold(0, 0.55, 0.65, 0)
    assert confidence_threshold(18, 0.0, 18.0, 1) == 18
