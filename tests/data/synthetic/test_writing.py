import numpy as np

from transavs.data.synthetic.clips import make_clip
from transavs.data.synthetic.scenes import MotionRanges
from transavs.data.synthetic.subset_files import oracle_scores


def test_oracle_of_an_empty_frame_is_the_share_left_empty(square_sprite, black):
    rng = np.random.default_rng(0)
    active = np.array([[1, 1, 1, 1, 0]], dtype=bool)
    ranges = MotionRanges(area=(0.1, 0.1))
    clip = make_clip(rng, black, [square_sprite()], active, ranges)
    assert oracle_scores(clip).tolist() == [1, 1, 1, 1, 1 - clip.visible[4].mean()]
