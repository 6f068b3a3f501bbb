"""The colours in which AVSBench-semantic writes its labels: those of PASCAL VOC, label 0 being black."""

import functools

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import AVSDatasetError
from .images import read_picture
from .layout import FilePath

MAX_LABELS = 256  # so that a map of them is uint8


def palette(num_labels: int) -> NDArray[np.uint8]:
    """The labels' colours.

    A label's three lowest bits are the top bits of red, green and blue, its next three bits the next ones, and so on.

    Args:
        num_labels: 1 to MAX_LABELS, the background included.

    Returns:
        uint8 [num_labels, 3], RGB; no colour is there twice
    """
    if not 1 <= num_labels <= MAX_LABELS:
        raise ValueError(f"the palette has colours for 1 to {MAX_LABELS} labels, asked for {num_labels}")
    labels = np.arange(num_labels)[:, None]
    channels = np.arange(3)
    colours = np.zeros((num_labels, 3), np.uint8)
    for place in range(3):
        bits = (labels >> (3 * place + channels)) & 1
        colours |= (bits << (7 - place)).astype(np.uint8)
    return colours


def encode_labels(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paints labels. Args: labels: uint8 [H, W]. Returns: uint8 [H, W, 3], RGB"""
    return palette(MAX_LABELS)[labels]


def read_label_map(path: FilePath, num_labels: int) -> NDArray[np.uint8]:
    """Reads a picture in the palette's colours, be it RGB or indexed.

    An indexed picture is read by its colours, not by its indices; an alpha channel says nothing.

    Args:
        path: of the picture.
        num_labels: so many of the palette's colours may be in it.

    Returns:
        uint8 [H, W]: labels, 0 being the background

    Raises:
        AVSDatasetError: the picture cannot be read (see `images.read_frame`), or a pixel has another colour.
    """
    colours = read_picture(path, "label map", _colours)
    # The three top bits of red, green and blue say which label it is; the others must be 0.
    known = _labels_of_top_bits()[(colours & 0xE0) << 1 | (colours >> 10) & 0x38 | (colours >> 21) & 0x07]
    unknown = (known >= num_labels) | (colours & 0x1F1F1F != 0)
    if unknown.any():
        row, column = np.argwhere(unknown)[0].tolist()
        colour = tuple(int(colours[row, column]) >> shift & 0xFF for shift in (0, 8, 16))
        raise AVSDatasetError(
            f"{path}: pixel in column {column}, row {row} has the colour {colour}, expected one of the palette's first "
            f"{num_labels}"
        )
    return known.astype(np.uint8)


def _colours(image: Image.Image) -> NDArray[np.uint32]:
    """uint32 [H, W]: red in the lowest byte, then green, then blue"""
    return np.asarray(image.convert("RGB").convert("RGBA")).view("<u4")[..., 0]


@functools.cache
def _labels_of_top_bits() -> NDArray[np.uint16]:
    """uint16 [512]: the label of each colour, by three bits of red, three of green and three of blue"""
    labels = np.full(512, MAX_LABELS, np.uint16)  # what is none
    red, green, blue = (palette(MAX_LABELS) >> 5).astype(np.uint16).T
    labels[red << 6 | green << 3 | blue] = np.arange(MAX_LABELS)
    return labels
