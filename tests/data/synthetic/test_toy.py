import numpy as np
import pytest
from PIL import Image

from transavs.data.synthetic import ToyMaker, clip_generator, toy


def test_sounds_of_shapes_differ_in_their_spectra():
    rng = np.random.default_rng(0)
    spectra = []
    for shape in toy.OUTLINES:
        spectrum = np.abs(np.fft.rfft(toy.shape_sound(shape, rng)[:16000])).reshape(-1)[:8000]
        bands = np.sqrt((spectrum.reshape(80, 100) ** 2).sum(1))
        spectra.append(bands / np.linalg.norm(bands))
    similarity = np.array(spectra) @ np.array(spectra).T
    assert similarity[~np.eye(5, dtype=bool)].max() < 0.75


@pytest.mark.parametrize("subset", ["s4", "ms3"])
def test_a_clips_scene_draws_its_frames_again_and_larger(subset):
    for index in range(3):
        clip = ToyMaker(64).make_clip(clip_generator(0, subset, "test", index), subset, "test")
        for k, (frame, visible) in enumerate(zip(clip.frames, clip.visible)):
            assert np.array_equal(clip.scene.draw((k + 0.5) / 5), frame)
            larger = Image.fromarray(clip.scene.draw((k + 0.5) / 5, 256)).reduce(4)
            difference = np.abs(np.asarray(larger, int) - frame).mean(-1)
            assert np.median(difference[visible]) < 4  # edges differ, and the noise of the pattern
            assert difference[~visible].mean() < 12
