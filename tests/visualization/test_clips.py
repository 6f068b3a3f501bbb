"""Figures of clips: at full length, side by side, on a sheet."""

import numpy as np
import pytest

from transavs import visualization
from transavs.visualization import ClipPicture, clips
from transavs.visualization.canvas import GAP


def has_color(image, color, tolerance=0):
    return bool((np.abs(image.astype(int) - color).max(axis=-1) <= tolerance).any())


def test_clip_figure_shows_truth_and_prediction_in_their_colours(picture):
    image = visualization.figure_to_array(visualization.clip_figure(picture(), cell=96))
    assert has_color(image, visualization.GROUND_TRUTH_COLOR) and has_color(image, visualization.PREDICTION_COLOR)
    without = picture(predictions=[np.zeros((24, 24), dtype=bool)] * 3)
    image = visualization.figure_to_array(visualization.clip_figure(without, cell=96))
    assert has_color(image, visualization.GROUND_TRUTH_COLOR) and not has_color(image, visualization.PREDICTION_COLOR)


def test_clip_figure_widens_with_the_frames_and_shrinks_without_sound(picture):
    shape = visualization.figure_to_array(visualization.clip_figure(picture(), cell=96)).shape
    longer = visualization.figure_to_array(visualization.clip_figure(picture(num_frames=5), cell=96)).shape
    assert longer == (shape[0], shape[1] + 2 * (96 + GAP), 3)
    silent = visualization.figure_to_array(visualization.clip_figure(picture(waveform=None), cell=96)).shape
    assert silent[0] < shape[0] and silent[1] == shape[1]


def test_frames_without_ground_truth_are_faded(picture):
    clip = picture(masks=[None] * 3)
    image = visualization.figure_to_array(visualization.clip_figure(clip, cell=96))
    assert not has_color(image, visualization.GROUND_TRUTH_COLOR)
    assert has_color(image, [206, 206, 206])  # 0.25 * 60 + 0.75 * 255


def test_frames_of_any_size_and_shape_fit_the_cells():
    for height, width in ((16, 16), (64, 128), (300, 200)):
        frames = [np.zeros((height, width, 3), dtype=np.uint8)] * 2
        masks = [np.ones((height, width), dtype=bool)] * 2
        clip = ClipPicture(frames, masks, masks)
        expected = 2 * round(width * 80 / height) + GAP
        assert clips._strips(clip, 80)[0].shape == (80, expected, 3)


def test_results_sheet_has_a_block_for_each_clip(picture):
    one = visualization.figure_to_array(visualization.results_sheet([picture()]))
    three = visualization.figure_to_array(visualization.results_sheet([picture(title="a $ sign", jaccard=0.5)] * 3))
    four = visualization.figure_to_array(visualization.results_sheet([picture()] * 4))
    assert three.shape[1] == four.shape[1] == one.shape[1]
    assert (four.shape[0] - three.shape[0]) * 2 == three.shape[0] - one.shape[0] > 200


def test_qualitative_figure_puts_clips_side_by_side(picture):
    one = visualization.figure_to_array(visualization.clip_figure(picture(), cell=80))
    two = visualization.figure_to_array(visualization.qualitative_figure([picture(), picture(num_frames=2)], cell=80))
    assert two.shape[0] == one.shape[0]
    assert np.array_equal(two[:, : one.shape[1] - 30], one[:, :-30])  # the first clip stands where it stands alone
    assert two.shape[1] - one.shape[1] == 30 + 2 * 80 + GAP
    assert has_color(two[:, one.shape[1] :], visualization.PREDICTION_COLOR)


def test_pictures_need_clips_and_as_many_masks_as_frames(picture):
    with pytest.raises(ValueError, match="at least one clip"):
        visualization.results_sheet([])
    with pytest.raises(ValueError, match="qualitative_figure needs at least one clip"):
        visualization.qualitative_figure([])
    with pytest.raises(ValueError, match=r"clip 'odd': .* got \[3, 1, 3\]"):
        picture(title="odd", masks=[None])
