import pytest
import torch


@pytest.fixture(scope="session")
def make_frames():
    """Makes frames for a backbone, float [count, 3, height, width], the same in every call."""

    def make(height=64, width=96, count=2):
        return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))

    return make


@pytest.fixture(scope="session")
def assert_same_features():
    """Compares what a backbone gives with the features of its four strides, from fine to coarse."""

    def compare(found, expected, **tolerance):
        assert list(found) == ["res2", "res3", "res4", "res5"]
        for feature, wanted in zip(found.values(), expected):
            torch.testing.assert_close(feature, wanted, **tolerance)

    return compare
