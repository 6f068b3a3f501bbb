import numpy as np
import pytest
from PIL import Image

from transavs.data.synthetic.scenes import Motion, Sprite


@pytest.fixture
def square_sprite():
    """Makes a square object of one colour, with a tone."""

    def make(name="square", side=20, colour=(255, 0, 0)):
        sound = np.sin(np.arange(8000) * 0.3).astype(np.float32)
        return Sprite(name, Image.new("RGBA", (side, side), (*colour, 255)), sound)

    return make


@pytest.fixture
def still():
    """Makes the motion of an object that stays where it is."""

    def make(x, y):
        return Motion(x=(x, x), y=(y, y), scale=(1, 1), angle=(0, 0), flip=False)

    return make


class _Black:
    size = 64

    def draw(self, progress, size):
        return np.zeros((size, size, 3), np.uint8)


@pytest.fixture
def black():
    """A background."""
    return _Black()
