"""What sounds in a video: each object in its own colour, or its class's, with its score."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from detectron2.structures import Instances
from numpy.typing import ArrayLike

from ..data.palette import MAX_LABELS, palette
from .masks import (
    MASK_OPACITY,
    RIM_COLOR,
    Color,
    checked,
    inner_border,
    instance_color,
    line_width,
    top_of_largest_part,
)

LABEL_SHARE = 1 / 500  # of the frame's pixels: a smaller object gets no score written at it
LABEL_HEIGHT = 1 / 22  # of the shorter side; but at least
MIN_LABEL_PIXELS = 10
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_PIXELS = 22  # the height of its digits at scale 1


@dataclass(frozen=True)
class ObjectStyle:
    """How a video's objects are called and coloured.

    Args:
        class_names: of the model's classes; an object is called by its class where there are several.
        by_class: objects of a class have one colour, that of AVSBench's palette; else each has its own.
    """

    class_names: Sequence[str] = ()
    by_class: bool = False

    def name(self, category: int) -> str:
        """Of an object of this class; "" where there is but one."""
        return self.class_names[category] if len(self.class_names) > 1 else ""

    def label(self, category: int, score: float) -> str:
        """ "93%", or "violin 93%"."""
        return f"{self.name(category)} {100 * score:.0f}%".lstrip()

    def color(self, category: int, number: int) -> Color:
        """Of the object of this class and number: RGB."""
        if not self.by_class:
            return instance_color(number)
        red, green, blue = palette(MAX_LABELS)[category + 1].tolist()
        return red, green, blue


def draw_objects(frame: ArrayLike, instances: Instances, style: ObjectStyle = ObjectStyle()) -> np.ndarray:
    """Draws the objects of a video's frame: a half-transparent colour in each mask, a line of it inside the mask's
    border, a thin white one around all of them, and the scores in percent.

    Unlike `draw_instances`, which Visualizer slows down to a few frames a second, it is meant for whole videos.

    Args:
        frame: uint8 [H, W, 3], RGB.
        instances: `pred_masks` bool [k, H, W] without a common pixel, `scores` [k], `object_number` [k];
            `pred_classes` [k] where there are several classes.
        style: what they are called and how they are coloured.

    Returns:
        ndarray: uint8 [H, W, 3], a new image.

    Raises:
        ValueError: for a frame that is not uint8 [H, W, 3], or masks of another size.
    """
    masks, categories = instances.pred_masks.numpy(), categories_of(instances)
    image = np.array(frame)
    for mask in masks:
        checked(image, mask)
    colors = [style.color(*object_) for object_ in zip(categories, instances.object_number.tolist())]
    for mask, color in zip(masks, colors):
        image[mask] = np.rint((1 - MASK_OPACITY) * image[mask] + MASK_OPACITY * np.array(color, dtype=np.float32))
    image[inner_border(~masks.any(0))] = RIM_COLOR
    for mask, color in zip(masks, colors):
        image[inner_border(mask, line_width(mask.shape))] = color
    for mask, category, score in zip(masks, categories, instances.scores.tolist()):
        if mask.mean() >= LABEL_SHARE:
            _write_above(image, mask, style.label(category, score))
    return image


def categories_of(instances: Instances) -> list[int]:
    """The class of each instance; 0 where they have no `pred_classes`."""
    return instances.pred_classes.tolist() if instances.has("pred_classes") else [0] * len(instances)


def _write_above(image: np.ndarray, mask: np.ndarray, text: str) -> None:
    """Writes a text above the mask's largest part, inside the image: white on a dark rim, readable on any frame."""
    height, width = image.shape[:2]
    scale = max(MIN_LABEL_PIXELS, LABEL_HEIGHT * min(height, width)) / FONT_PIXELS
    thickness = max(1, round(2.5 * scale))
    (text_width, text_height), _ = cv2.getTextSize(text, FONT, scale, thickness)
    middle, top = top_of_largest_part(mask)
    x = round(min(max(2, middle - text_width / 2), max(2, width - text_width - 2)))
    y = max(text_height + 3, top - 4)
    for color, line in (((0, 0, 0), thickness + 2), ((255, 255, 255), thickness)):
        cv2.putText(image, text, (x, int(y)), FONT, scale, color, line, cv2.LINE_AA)
