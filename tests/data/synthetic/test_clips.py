import numpy as np
import pytest

from transavs.data.synthetic.clips import make_clip
from transavs.data.synthetic.scenes import MotionRanges


@pytest.mark.parametrize("seed", range(4))  # with either object in front
def test_mask_holds_only_what_sounds_in_the_frames_second(seed, square_sprite, black):
    rng = np.random.default_rng(seed)
    sprites = [square_sprite(colour=(255, 0, 0)), square_sprite(colour=(0, 255, 0))]
    active = np.array([[1, 0, 1, 0, 0], [0, 1, 1, 0, 1]], dtype=bool)
    ranges = MotionRanges(area=(0.05, 0.1), max_angle=0, max_turn=0)
    clip = make_clip(rng, black, sprites, active, ranges)
    red, green = clip.frames[..., 0] >= 128, clip.frames[..., 1] >= 128
    for t, (first, second) in enumerate(active.T):
        assert np.array_equal(clip.masks[t], (first & red[t]) | (second & green[t]))
    assert np.array_equal(clip.visible, red | green)
