"""Masks as COCO's compressed RLE; those of a JSON file are checked before pycocotools reads them, which trusts what it
gets."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

Rle = dict[str, Any]  # `size` [H, W] and `counts`


def encode(mask: NDArray[np.bool_]) -> Rle:
    """COCO's compressed RLE of a mask, bool [H, W]: {"size": [H, W], "counts": ASCII str}, ready for JSON."""
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def compress(mask: object, height: int, width: int) -> Rle:
    """A mask as COCO's compressed RLE.

    Args:
        mask: a compressed or an uncompressed RLE, or a list of polygons, of which those of fewer than three corners
            cover nothing.
        height, width: of the frame, in pixels.

    Raises:
        ValueError: it is none, or of another size; the message says what was found and expected.
    """
    if isinstance(mask, dict) and isinstance(mask.get("counts"), (str, bytes, list)):
        size = mask.get("size")
        if size != [height, width]:
            raise ValueError(f"its size is {size}, expected {[height, width]} (height, width)")
        compressed = not isinstance(mask["counts"], list)
        counts = _decode_counts(mask["counts"]) if compressed else mask["counts"]
        if not all(isinstance(count, int) and count >= 0 for count in counts) or sum(counts) != height * width:
            raise ValueError(f"its counts are not runs of {height * width} pixels in all")
        if compressed:
            return {"size": size, "counts": mask["counts"]}
        return dict(coco_mask.frPyObjects(mask, height, width))
    if isinstance(mask, list) and all(_is_polygon(polygon, 2 * max(height, width)) for polygon in mask):
        polygons = [polygon for polygon in mask if len(polygon) >= 6]
        nothing = {"size": [height, width], "counts": [height * width]}
        rles = coco_mask.frPyObjects(polygons or [nothing], height, width)
        return dict(coco_mask.merge(rles))
    raise ValueError("expected an RLE with `size` and `counts`, polygons (x, y, ... in pixels), or null")


def _is_polygon(corners: object, farthest: int) -> bool:
    """Whether it is x, y of its corners, in pixels."""
    if not isinstance(corners, list) or len(corners) % 2:
        return False
    return all(isinstance(place, (int, float)) and abs(place) <= farthest for place in corners)


def _decode_counts(text: str | bytes) -> list[int]:
    """The runs in a compressed RLE: pycocotools does not look whether they fill the mask, and may then never end.

    Each is written in groups of five bits, the lowest first, and from the fourth on less the one before the last.
    """
    counts: list[int] = []
    value, shift = 0, 0
    for group in (byte - 48 for byte in (text.encode() if isinstance(text, str) else text)):
        if not 0 <= group < 64 or shift > 30:
            raise ValueError("its counts are not those of a compressed RLE")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:  # negative
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value, shift = 0, 0
    return counts
