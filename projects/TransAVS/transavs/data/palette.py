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
    pixels = read_picture(path, "label map", _colours)
    # Where the colour is one of the palette, its bits give the label; where it is another one, painting tells.
    labels = sum(_label_bits()[channel][pixels[..., channel]] for channel in range(3))
    labels = np.asarray(labels, np.uint8)
    if labels.max(initial=0) >= num_labels or not np.array_equal(encode_labels(labels), pixels):
        unknown = (labels >= num_labels) | (encode_labels(labels) != pixels).any(axis=2)
        row, column = np.argwhere(unknown)[0].tolist()
        colour = tuple(pixels[row, column].tolist())
        raise AVSDatasetError(
            f"{path}: pixel in column {column}, row {row} has the colour {colour}, expected one of the palette's first "
            f"{num_labels}"
        )
    return labels


def _colours(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGB"))


@functools.cache
def _label_bits() -> NDArray[np.uint8]:
    """uint8 [3, 256]: what a level of red, of green, of blue adds to the label."""
    levels = np.arange(256)
    bits = [
        sum(((levels >> (7 - place)) & 1) << (3 * place + channel) for place in range(3)) & 255 for channel in range(3)
    ]
    return np.asarray(bits, np.uint8)
