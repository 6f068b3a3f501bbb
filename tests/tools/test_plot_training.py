"""What the trainings in one picture are called."""

import pytest
from plot_training import names_of


@pytest.mark.parametrize(
    "paths, expected",
    [
        (["/out/s4/metrics.json"], ["s4"]),
        (["/out/s4/metrics.json", "/out/ms3/metrics.json"], ["s4", "ms3"]),
        (["/out/a/seed0/metrics.json", "/out/b/seed0/metrics.json"], ["a/seed0", "b/seed0"]),
        (["/out/a/metrics.json", "/out/a/metrics.json"], ["/out/a/metrics.json", "/out/a/metrics.json"]),
    ],
)
def test_trainings_are_called_as_shortly_as_tells_them_apart(paths, expected):
    assert names_of(paths) == expected
