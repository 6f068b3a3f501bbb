import numpy as np
import pytest
from PIL import Image

from transavs.data.synthetic.scenes import Motion, MotionRanges, Scene, Sprite, compose, random_scene


def test_hidden_part_of_an_object_is_not_visible(square_sprite, still):
    behind, front = square_sprite(colour=(255, 0, 0)), square_sprite(colour=(0, 255, 0))
    motions = [still(30, 30), still(40, 30)]
    frame, visible, shares = compose(np.zeros((64, 64, 3), np.uint8), 0.5, [behind, front], motions)
    assert visible.sum((1, 2)).tolist() == [10 * 20, 20 * 20]
    assert not (visible[0] & visible[1]).any()
    assert shares.tolist() == [0.5, 1.0]
    assert (frame[visible[0]] == (255, 0, 0)).all() and (frame[visible[1]] == (0, 255, 0)).all()


def test_part_outside_the_frame_counts_as_hidden(square_sprite, still):
    _, visible, shares = compose(np.zeros((64, 64, 3), np.uint8), 0.5, [square_sprite()], [still(0, 32)])
    assert visible[0].sum() == 10 * 20 and shares[0] == 0.5


def test_only_the_moments_asked_for_are_drawn(square_sprite, black):
    ranges = MotionRanges(area=(0.1, 0.1))
    results = []
    for moments in ([], [[(t + 0.5) / 5 for t in range(5)]], [[0.3]]):
        rng = np.random.default_rng(3)
        results.append((*random_scene(rng, black, [square_sprite(), square_sprite()], ranges, *moments), rng.random()))
    (_, frames, visible, following), (_, same, _, same_following), (scene, few, seen, _) = results
    assert frames.shape == (5, 64, 64, 3) and visible.shape == (2, 5, 64, 64)
    assert np.array_equal(frames, same) and following == same_following
    assert few.shape == (1, 64, 64, 3) and seen.shape == (2, 1, 64, 64)
    assert np.array_equal(few[0], scene.draw(0.3))


def test_a_scene_moves_from_its_first_moment_to_its_last_at_any_size(square_sprite, black):
    motion = Motion(x=(16, 48), y=(32, 32), scale=(1, 0.5), angle=(0, 0), flip=False)
    scene = Scene(black, [square_sprite()], [motion])
    for size in (64, 192):
        zoom = size / 64
        for progress, x, side in ((0, 16, 20), (0.5, 32, 15), (1, 48, 10)):
            rows, columns = scene.draw(progress, size)[..., 0].nonzero()
            assert np.mean(rows) + 0.5 == pytest.approx(32 * zoom, abs=1)
            assert np.mean(columns) + 0.5 == pytest.approx(x * zoom, abs=1)
            assert len(rows) == (side * zoom) ** 2


def test_a_larger_drawing_shows_an_objects_own_detail(still, black):
    original = Image.fromarray(np.indices((40, 40)).sum(0).astype(np.uint8) % 2 * 255).convert("RGBA")
    sprite = Sprite("board", original.resize((20, 20), Image.Resampling.BOX), np.zeros(8000, np.float32), original)
    scene = Scene(black, [sprite], [still(32, 32)])
    assert set(np.unique(scene.draw(0.5)[24:40, 24:40])) <= {127, 128}
    assert set(np.unique(scene.draw(0.5, 128)[48:80, 48:80])) == {0, 255}
