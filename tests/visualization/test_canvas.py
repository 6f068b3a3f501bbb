"""Waveforms, and how figures are saved."""

import re

import numpy as np
from PIL import Image

from transavs import visualization


def test_waveform_has_the_size_asked_for_and_is_tall_where_it_is_loud():
    rate = 1000
    waveform = np.zeros(2 * rate, dtype=np.float32)
    waveform[rate:] = np.sin(np.arange(rate))
    image = visualization.draw_waveform(waveform, rate, 200, 60)
    assert image.shape == (60, 200, 3)
    dark = (image < 128).all(axis=-1).sum(axis=0)
    assert dark[5:95].max() <= 2 and dark[105:195].min() > 40


def test_a_sound_shorter_than_the_clip_ends_in_silence():
    image = visualization.draw_waveform(np.tile(np.float32([1, -1]), 500), 1000, 200, 60, seconds=2)
    dark = (image < 128).all(axis=-1).sum(axis=0)
    assert dark[5:95].min() > 40 and dark[105:195].max() <= 2


def test_a_pdf_has_its_text_as_text_and_is_the_same_each_time(tmp_path, picture, texts_of):
    figure = visualization.clip_figure(picture(title="clip $7", subtitle="guitar", jaccard=0.5), cell=40, detail=2)
    for name in ("a.pdf", "b.pdf"):
        visualization.save_figure(figure, tmp_path / name)
    written = (tmp_path / "a.pdf").read_bytes()
    assert written.startswith(b"%PDF") and written == (tmp_path / "b.pdf").read_bytes()
    texts = texts_of(written)
    assert {"frame", "ground truth", "prediction", "sound", "clip $7", "guitar  ·  J 50.0", "0 s", "3 s"} <= set(texts)
    assert b"/FontFile2" in written  # TrueType, not the Type 3 that conferences refuse
    # Rows of frames, with twice the pixels that they take at 100 a inch.
    assert len(re.findall(rb"/Subtype /Image\b", written)) == 3
    assert len(re.findall(rb"/Height 80\b", written)) == 3


def test_a_png_has_the_pixels_of_the_figure(tmp_path, picture):
    figure = visualization.clip_figure(picture(), cell=40)
    visualization.save_figure(figure, tmp_path / "a.png")
    written = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert np.array_equal(written, visualization.figure_to_array(figure))
