"""Labels in colours, and colours as labels."""

import numpy as np
import pytest
from PIL import Image

from transavs.data.errors import AVSDatasetError
from transavs.data.palette import MAX_LABELS, encode_labels, palette, read_label_map

LABELS = np.arange(MAX_LABELS, dtype=np.uint8).reshape(16, 16)


def test_the_colours_are_those_of_pascal_voc():
    """The first ten, and some others, as its development kit lists them."""
    first = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    assert palette(10).tolist() == [*map(list, first), [128, 128, 128], [64, 0, 0], [192, 0, 0]]
    assert palette(71)[[16, 20, 63, 64, 70]].tolist() == [
        [0, 64, 0],
        [0, 64, 128],
        [192, 192, 192],
        [32, 0, 0],
        [32, 128, 128],
    ]
    assert palette(MAX_LABELS)[255].tolist() == [224, 224, 192]


def test_no_colour_is_there_twice():
    assert len(np.unique(palette(MAX_LABELS), axis=0)) == MAX_LABELS


@pytest.mark.parametrize("num_labels", [0, 257])
def test_a_number_of_labels_without_a_palette_is_told(num_labels):
    with pytest.raises(ValueError, match=f"1 to 256 labels, asked for {num_labels}"):
        palette(num_labels)


def test_labels_are_painted_pixel_by_pixel():
    painted = encode_labels(np.array([[0, 1], [70, 2]], np.uint8))
    assert painted.dtype == np.uint8
    assert painted.tolist() == [[[0, 0, 0], [128, 0, 0]], [[32, 128, 128], [0, 128, 0]]]


def indexed(labels):
    """A picture with the colours in reverse order, so that its indices are not the labels."""
    image = Image.fromarray(255 - labels, mode="P")
    image.putpalette(palette(MAX_LABELS)[::-1].tobytes())
    return image


@pytest.mark.parametrize(
    "picture",
    [
        lambda labels: Image.fromarray(encode_labels(labels)),
        lambda labels: Image.fromarray(np.dstack([encode_labels(labels), labels])),  # with an alpha channel
        indexed,
    ],
    ids=["RGB", "RGBA", "indexed"],
)
def test_every_label_is_read_as_it_was_painted(tmp_path, picture):
    picture(LABELS).save(tmp_path / "0.png")
    labels = read_label_map(tmp_path / "0.png", MAX_LABELS)
    assert labels.dtype == np.uint8 and np.array_equal(labels, LABELS)


def test_a_black_picture_of_any_mode_is_background(tmp_path):
    for mode in ("1", "L", "RGB"):
        Image.new(mode, (3, 2)).save(tmp_path / "0.png")
        assert read_label_map(tmp_path / "0.png", 2).tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    "colour, num_labels",
    [
        ((1, 0, 0), 256),  # near black
        ((0, 0, 32), 256),  # would be label 256
        ((255, 255, 255), 256),
        ((128, 128, 0), 3),  # label 3
        ((32, 128, 128), 70),  # label 70
    ],
)
def test_another_colour_is_an_error_that_names_file_pixel_and_colour(tmp_path, colour, num_labels):
    path = tmp_path / "4.png"
    pixels = encode_labels(np.ones((5, 6), np.uint8))
    pixels[3, 2] = pixels[4, 5] = colour
    Image.fromarray(pixels).save(path)
    with pytest.raises(AVSDatasetError) as raised:
        read_label_map(path, num_labels)
    assert str(raised.value) == (
        f"{path}: pixel in column 2, row 3 has the colour {colour}, expected one of the palette's first {num_labels}"
    )


def test_a_file_that_is_no_picture_is_named(tmp_path):
    with pytest.raises(AVSDatasetError, match="0.png: no such file, expected a label map"):
        read_label_map(tmp_path / "0.png", 71)
    (tmp_path / "0.png").write_text("none")
    with pytest.raises(AVSDatasetError, match="0.png: not a readable label map"):
        read_label_map(tmp_path / "0.png", 71)
