"""Pictures from disk: frames, masks, and the masks of single objects. A file is checked before it is decoded."""

import os
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from detectron2.data import detection_utils
from numpy.typing import NDArray
from PIL import Image

from .errors import AVSDatasetError, reason_of
from .layout import FilePath

# Pillow's other formats are left out: some of them start programs, or libraries that print what they find wrong.
FORMATS = ("BMP", "JPEG", "PNG", "WEBP")
MAX_PIXELS = 1 << 26  # of a picture; a frame of 8K has half of it

T = TypeVar("T")


def image_size(path: FilePath, what: str) -> tuple[int, int]:
    """(width, height), from the file's head; errors as `read_frame`'s, which call the picture `what`."""
    return read_picture(path, what, lambda image: image.size)


def read_frame(path: FilePath, image_format: str) -> NDArray[np.uint8]:
    """Reads a frame by Detectron2's means, which turn it as its EXIF says.

    Args:
        path: of the picture.
        image_format: "RGB" or "BGR".

    Returns:
        uint8 [H, W, 3]

    Raises:
        AVSDatasetError: the file is missing, not an image, or has more than MAX_PIXELS pixels.
    """
    return read_picture(path, "frame", lambda _: detection_utils.read_image(path, image_format))


def read_mask(path: FilePath) -> NDArray[np.bool_]:
    """Reads a mask image of any mode: grey, palette, RGB, black-and-white.

    Returns:
        bool [H, W]: True where the pixel's colour is not black, which is where the frame's object sounds

    Raises:
        AVSDatasetError: see `read_frame`.
    """
    return read_picture(path, "mask", _mask_pixels)


def mask_levels(path: FilePath) -> set[int]:
    """The levels of grey that a mask image has, 0 to 255. Raises: AVSDatasetError: see `read_frame`."""
    return read_picture(path, "mask", lambda image: set(np.unique(np.asarray(image.convert("L"))).tolist()))


def read_instances(path: FilePath) -> NDArray[np.bool_]:
    """Reads the masks of a frame's sounding objects: a grey picture in which each object has a value of its own.

    Returns:
        bool [n, H, W]: the objects' masks in the order of their values; 0 is the background

    Raises:
        AVSDatasetError: see `read_frame`; or the picture is not a grey one, or its masks have more pixels than that.
    """
    return read_picture(path, "picture of instances", _numbered_masks)


def read_picture(path: FilePath, what: str, decode: Callable[[Image.Image], T]) -> T:
    """What `decode` makes of a picture; errors as `read_frame`'s, which call the picture `what`."""
    if not os.path.isfile(path):
        raise AVSDatasetError(f"{path}: no such file, expected a {what}")
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height <= MAX_PIXELS:
                return decode(image)
            found = f"{image.width}x{image.height} pixels (width x height)"
    # Pillow raises OSError, SyntaxError, ValueError, ... for broken files.
    except Exception as error:
        raise AVSDatasetError(f"{path}: not a readable {what} ({reason_of(error)})") from error
    raise AVSDatasetError(f"{path}: {what} is {found}, expected at most {MAX_PIXELS} pixels")


def _mask_pixels(image: Image.Image) -> NDArray[np.bool_]:
    # By its colours, not by its indices: a palette may have black anywhere. An alpha channel says nothing here.
    pixels = np.asarray(image.convert("RGB") if image.mode in ("P", "PA", "LA", "RGBA") else image)
    return pixels.astype(bool) if pixels.ndim == 2 else np.asarray(pixels.any(axis=2))


def _numbered_masks(image: Image.Image) -> NDArray[np.bool_]:
    if image.mode not in ("L", "P", "I;16", "I"):
        raise ValueError(f"its mode is {image.mode}, expected a grey picture whose values number the objects")
    pixels = np.asarray(image)
    numbers = np.setdiff1d(pixels, [0])
    if len(numbers) * pixels.size > MAX_PIXELS:
        raise ValueError(f"it has {len(numbers)} objects, expected masks of at most {MAX_PIXELS} pixels together")
    return np.asarray(pixels == numbers[:, None, None])
