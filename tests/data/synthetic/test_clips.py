import zlib

import numpy as np
import pytest

from transavs.data.synthetic import ToyMaker
from transavs.data.synthetic.clips import clip_generator, make_clip
from transavs.data.synthetic.scenes import MotionRanges
from transavs.data.synthetic.writing import FORMAT_VERSION


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


@pytest.mark.parametrize("seed", range(4))
def test_sounding_pixels_are_told_apart_by_object_in_the_order_of_their_names(seed, square_sprite, black):
    sprites = [square_sprite("dog", colour=(255, 0, 0)), square_sprite("cat", colour=(0, 255, 0))]
    active = np.array([[1, 0, 1, 0, 0], [0, 1, 1, 0, 1]], dtype=bool)
    ranges = MotionRanges(area=(0.05, 0.1), max_angle=0, max_turn=0)
    clip = make_clip(np.random.default_rng(seed), black, sprites, active, ranges)
    assert clip.objects == ["cat", "dog"] and clip.category == "dog"
    for number, colour, seconds in ((0, 1, active[1]), (1, 0, active[0])):
        expected = (clip.frames[..., colour] >= 128) & seconds[:, None, None]
        assert np.array_equal(clip.sounding[number], expected)


@pytest.mark.parametrize("subset, digest", [("s4", 1402234027), ("ms3", 1374156438)])
def test_clips_are_those_of_format_version_3(subset, digest):
    """Raise FORMAT_VERSION with a change of these numbers: datasets on disk are then made anew."""
    clip = ToyMaker(64).make_clip(clip_generator(0, subset, "test", 0), subset, "test")
    assert (FORMAT_VERSION, zlib.crc32(clip.frames.tobytes() + clip.masks.tobytes())) == (3, digest)
