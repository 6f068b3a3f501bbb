"""Where the winning audio queries look."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from detectron2.structures import Instances
from matplotlib.figure import Figure

from ..modeling.audio_query.attention_record import AttentionRecord
from .canvas import FAINT_COLOR, GAP, blank_figure, resize, show, side_by_side, write
from .masks import draw_heat, draw_instances

Row = tuple[str, str, Sequence[np.ndarray]]  # its name, a second line below that, a picture a frame

MAX_QUERIES = 3  # that a figure shows, by the pixels that they own


def attention_figure(
    frames: np.ndarray,
    instances: Sequence[Instances],
    attention: AttentionRecord,
    title: str = "",
    cell: int = 144,
) -> Figure:
    """A clip's frames, their instances, and below, for each query that owns pixels, its attention in the decoder's last
    round over the scales.

    Args:
        frames: uint8 [F, H, W, 3], RGB, as the model got them.
        instances: the model's, for these frames at this size.
        attention: of the same run.
        title: the clip's id.
        cell: height of a frame in the figure, in pixels.

    Returns:
        matplotlib Figure.
    """
    queries, size = winning_queries(instances)[:MAX_QUERIES], frames.shape[1:3]
    small = [resize(np.ascontiguousarray(frame), cell) for frame in frames]
    instances = [_resized(found, small[0].shape[:2]) for found in instances]
    rows = [
        ("frame", "", small),
        ("instances", "", [draw_instances(frame, found, scale=1) for frame, found in zip(small, instances)]),
    ]
    for query in queries:
        maps = attention.over_frames(query, size)
        for layer in _last_round(attention):
            height, width = attention.layers[layer].shape[-2:]
            heat = [draw_heat(frame, _enlarged(of_frame, frame)) for frame, of_frame in zip(small, maps[layer])]
            rows.append((f"query {query}", f"layer {layer + 1}: {width} x {height}", heat))
    return _stack(rows, cell, title, "" if queries else "no query owns a pixel")


def winning_queries(instances: Sequence[Instances]) -> list[int]:
    """The queries that own pixels in any frame, those with the most pixels first.

    Args:
        instances: of F frames, with `pred_masks` and `query_index`.
    """
    pixels: dict[int, int] = {}
    for frame in instances:
        for query, area in zip(frame.query_index.tolist(), frame.pred_masks.flatten(1).sum(1).tolist()):
            pixels[query] = pixels.get(query, 0) + area
    return sorted(pixels, key=lambda query: (-pixels[query], query))


def _last_round(attention: AttentionRecord) -> range:
    """Indices of the last layers that see each scale once."""
    scales = {maps.shape[-2:] for maps in attention.layers}
    return range(len(attention.layers))[-len(scales) :]


def _stack(rows: Sequence[Row], cell: int, title: str, note: str) -> Figure:
    """Rows of (name, second line, pictures) below each other."""
    margin, top, label = 14, 40, 128
    strips = [side_by_side(pictures) for _, _, pictures in rows]
    right = label + strips[0].shape[1]
    figure = blank_figure(right + margin, top + len(rows) * (cell + GAP) + margin)
    write(figure, label, 21, title, size=11, weight="bold")
    write(figure, right, 21, note, color=FAINT_COLOR, ha="right")
    for row, ((name, line, _), strip) in enumerate(zip(rows, strips)):
        y = top + row * (cell + GAP)
        show(figure, strip, label, y)
        write(figure, label - 10, y + cell / 2 - 9 * bool(line), name, ha="right")
        write(figure, label - 10, y + cell / 2 + 9, line, color=FAINT_COLOR, ha="right")
    return figure


def _resized(instances: Instances, size: tuple[int, int]) -> Instances:
    """A frame's instances at another size."""
    masks = instances.pred_masks.cpu().numpy().astype(np.uint8)
    masks = [cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT) for mask in masks]
    fields = {**instances.get_fields(), "pred_masks": torch.from_numpy(np.array(masks, dtype=bool).reshape(-1, *size))}
    return Instances(size, **fields)


def _enlarged(heat: torch.Tensor, frame: np.ndarray) -> np.ndarray:
    return cv2.resize(heat.cpu().numpy(), frame.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
