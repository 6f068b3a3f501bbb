"""Masks, instances and heat over a frame."""

from collections.abc import Sequence

import cv2
import numpy as np
from detectron2.data import Metadata
from detectron2.structures import Instances
from detectron2.utils.visualizer import Visualizer
from matplotlib import colormaps
from numpy.typing import ArrayLike

Color = tuple[int, int, int]  # RGB, 0 to 255

PREDICTION_COLOR: Color = (255, 112, 32)  # orange; with the blue below told apart by colour-blind readers too
GROUND_TRUTH_COLOR: Color = (0, 150, 255)
RIM_COLOR: Color = (255, 255, 255)
# Of a frame's instances, by their query: after Okabe and Ito, told apart by colour-blind readers.
INSTANCE_COLORS: tuple[Color, ...] = (
    PREDICTION_COLOR,
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (0, 114, 178),
    (213, 94, 0),
)
MASK_OPACITY = 0.5
HEAT_MAP = "inferno"
LEGIBLE_SIZE = 320  # pixels: to this shorter side `draw_instances` enlarges a frame, so that its text can be read
TEXT_SIZE, TEXT_SHARE = 9, 1 / 32  # of that text, in points: at least, and of the shorter side in pixels
POINT = 100 / 72  # pixels, in Visualizer's figures


def overlay(
    frame: ArrayLike,
    mask: ArrayLike,
    contour: bool = True,
    color: Color = PREDICTION_COLOR,
    opacity: float = MASK_OPACITY,
) -> np.ndarray:
    """Lays a mask over a frame: a half-transparent colour inside, a line of it along the inner side of the border, and
    a thin white one along the outer side, so that the border is seen on frames of any colour.

    It is exact to the pixel and keeps the frame's size. `draw_instances` tells several instances apart.

    Args:
        frame: uint8 [H, W, 3], RGB.
        mask: bool [H, W]; or float [H, W], probabilities, whose colour is the stronger the higher they are and
            whose lines run where they exceed 0.5.
        contour: draw the lines.
        color: RGB.
        opacity: of the colour where the mask is True, or the probability 1; in [0, 1].

    Returns:
        ndarray: uint8 [H, W, 3], a new image.

    Raises:
        ValueError: for a frame that is not uint8 [H, W, 3], or a mask of another size.
    """
    frame, mask = checked(frame, mask)
    weight = opacity * mask.astype(np.float32)[..., None]
    image = np.rint(frame * (1 - weight) + np.array(color, dtype=np.float32) * weight).astype(np.uint8)
    if contour:
        inside = mask > 0.5 if mask.dtype != bool else mask
        image[inner_border(~inside)] = RIM_COLOR
        image[inner_border(inside, line_width(mask.shape))] = color
    return image


def inner_border(mask: np.ndarray, width: int = 1) -> np.ndarray:
    """The pixels of a mask at most `width` from one outside it: bool [H, W]. The image's own edge is no border."""
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))
    eroded = cv2.erode(mask.astype(np.uint8), kernel, iterations=width, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return mask & (eroded == 0)


def draw_instances(
    frame: ArrayLike,
    instances: Instances,
    metadata: Metadata | None = None,
    scale: float | None = None,
    opacity: float = MASK_OPACITY,
) -> np.ndarray:
    """Draws a frame's instances with Detectron2's `Visualizer`: colour, contour and score of each.

    The colour goes by the query, so that a query has the same one in all frames. Visualizer's own
    `draw_instance_predictions` picks random colours and fills the holes of masks; its parts are used here instead.

    Args:
        frame: uint8 [H, W, 3], RGB.
        instances: `pred_masks` bool [k, H, W], `scores` [k]; `pred_classes` and `query_index` where known.
        metadata: its `thing_classes` name the classes, where there are several.
        scale: how much larger the picture is; None enlarges frames that are too small for text.
        opacity: of the colours, in [0, 1].

    Returns:
        ndarray: uint8 [scale * H, scale * W, 3].

    Raises:
        ValueError: for a frame that is not uint8 [H, W, 3], or masks of another size.
    """
    instances = instances.to("cpu")
    frame, masks = np.asarray(frame), instances.pred_masks.numpy()
    scale = scale or max(1.0, LEGIBLE_SIZE / min(frame.shape[:2]))
    for mask in masks:
        checked(frame, mask)
    visualizer = Visualizer(frame, metadata, scale=scale)
    for index in np.argsort(-masks.sum((1, 2)), kind="stable"):  # the small ones on top
        query = int(instances.query_index[index]) if instances.has("query_index") else int(index)
        _draw_instance(
            visualizer, masks[index], instance_color(query), _label(instances[int(index)], metadata), opacity
        )
    return visualizer.output.get_image()


def instance_color(number: int) -> Color:
    """The colour that goes with a number, of a query or of a video's object: RGB."""
    return INSTANCE_COLORS[number % len(INSTANCE_COLORS)]


def draw_heat(frame: ArrayLike, heat: ArrayLike, opacity: float = 0.75) -> np.ndarray:
    """Lays a map over the grey frame: the brighter, the higher.

    Args:
        frame: uint8 [H, W, 3], RGB.
        heat: float [H, W], from 0 up; its highest value gets the brightest colour.
        opacity: of the colours, in [0, 1].

    Returns:
        ndarray: uint8 [H, W, 3].

    Raises:
        ValueError: for a frame that is not uint8 [H, W, 3], or a map of another size.
    """
    frame, heat = checked(frame, heat)
    colors = 255 * colormaps[HEAT_MAP](heat / max(float(heat.max()), np.finfo(np.float32).tiny))[..., :3]
    return np.rint(opacity * colors + (1 - opacity) * grey(frame)).astype(np.uint8)


def grey(frame: np.ndarray) -> np.ndarray:
    """The frame without its colours: uint8 [H, W, 3]."""
    return cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def checked(frame: ArrayLike, mask: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays. Raises: ValueError, where they do not fit."""
    frame, mask = np.asarray(frame), np.asarray(mask)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"frame must be uint8 [H, W, 3], got {frame.dtype} {list(frame.shape)}")
    if mask.shape != frame.shape[:2]:
        raise ValueError(f"mask must be {list(frame.shape[:2])} as its frame, got {list(mask.shape)}")
    return frame, mask


def line_width(shape: Sequence[int]) -> int:
    """Pixels of a border's line in a frame of this height and width."""
    return max(1, round(min(shape) / 96))  # 2 pixels at AVSBench's 224


def _label(instance: Instances, metadata: Metadata | None) -> str:
    """ "87%", or "guitar 87%" where there are several classes with names."""
    names = metadata.get("thing_classes", []) if metadata is not None else []
    name = f"{names[int(instance.pred_classes)]} " if len(names) > 1 and instance.has("pred_classes") else ""
    return f"{name}{100 * float(instance.scores):.0f}%"


def _draw_instance(visualizer: Visualizer, mask: np.ndarray, rgb: Color, label: str, opacity: float) -> None:
    color = tuple(channel / 255 for channel in rgb)
    visualizer.draw_soft_mask(mask.astype(np.float32), color, alpha=opacity)
    for polygon in _outlines(mask):
        visualizer.draw_polygon(polygon, color, edge_color=color, alpha=0)
    if mask.any():
        height, width = mask.shape
        size = max(TEXT_SIZE / visualizer.output.scale, TEXT_SHARE * min(height, width))
        # Above the mask and inside the frame: the text hangs from its position and is about so high and wide.
        text_height, half_width = 1.5 * size * POINT, 0.35 * size * POINT * len(label)
        middle, top = top_of_largest_part(mask)
        x = np.clip(middle, half_width, max(half_width, width - half_width))
        visualizer.draw_text(label, (x, max(0, top - text_height)), color=color, font_size=size)


def top_of_largest_part(mask: np.ndarray) -> tuple[float, int]:
    """Where a mask's label goes: x and y."""
    _, _, boxes, centers = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    largest = 1 + boxes[1:, cv2.CC_STAT_AREA].argmax()  # 0 is the background
    return centers[largest, 0], boxes[largest, cv2.CC_STAT_TOP]


def _outlines(mask: np.ndarray) -> list[np.ndarray]:
    """The borders of a mask, of its holes too, between pixels: list of [n, 2], x and y."""
    enlarged = mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, _ = cv2.findContours(enlarged, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return [contour[:, 0] / 2 + 0.25 for contour in contours]
