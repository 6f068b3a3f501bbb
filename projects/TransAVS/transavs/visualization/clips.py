"""Results: one clip at its full length, some clips side by side as in the paper, many clips on a sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from .canvas import FAINT_COLOR, GAP, blank_figure, fade, resize, show, side_by_side, waveform_axes, write
from .masks import GROUND_TRUTH_COLOR, PREDICTION_COLOR, Color, grey, overlay

GREY_SHARE = 0.75  # how far pictures take the colours out of what no mask covers
LABEL_LINE = 18  # pixels from one line of a label to the next
ROW_NAMES = ("frame", "ground truth", "prediction")


@dataclass
class ClipPicture:
    """What is drawn of one clip.

    Args:
        frames: T uint8 [H, W, 3], RGB.
        masks: T bool [H, W], the ground truth; None where a frame has none.
        predictions: T masks, bool [H, W], or probabilities, float [H, W]; None where a frame has none.
        waveform: float [samples], mono, in [-1, 1]; None draws no waveform.
        rate: the waveform's samples a second.
        title: the clip's id.
        subtitle: its category, say.
        jaccard: the clip's mean J in [0, 1], shown in percent; None shows none.
    """

    frames: Sequence[np.ndarray]
    masks: Sequence[np.ndarray | None]
    predictions: Sequence[np.ndarray | None]
    waveform: np.ndarray | None = None
    rate: int = 16000
    title: str = ""
    subtitle: str = ""
    jaccard: float | None = None

    def __post_init__(self) -> None:
        counts = [len(self.frames), len(self.masks), len(self.predictions)]
        if len(set(counts)) != 1 or not counts[0]:
            raise ValueError(
                f"clip {self.title!r}: frames, masks and predictions must be as many, and at least one; got {counts}"
            )


def clip_figure(clip: ClipPicture, cell: int = 160, detail: int = 1) -> Figure:
    """One clip at its full length: rows frame, ground truth and prediction over its T frames, the waveform below.

    Args:
        clip: what is drawn.
        cell: height of a frame, in pixels; smaller frames are enlarged.
        detail: pixels of the pictures in one of the figure's: more than 1 makes a PDF sharper.

    Returns:
        matplotlib Figure.
    """
    return qualitative_figure([clip], cell, detail)


def qualitative_figure(clips: Sequence[ClipPicture], cell: int = 160, detail: int = 1) -> Figure:
    """Clips side by side, as papers show them: rows frame, ground truth and prediction, the waveform second by second.

    Args:
        clips: what is drawn, in this order.
        cell, detail: as of `clip_figure`.

    Returns:
        matplotlib Figure.

    Raises:
        ValueError: without clips.
    """
    strips = _strips_of_all(clips, cell, detail, "qualitative_figure")
    widths = [rows[0].shape[1] // detail for rows in strips]
    heard = any(clip.waveform is not None for clip in clips)
    margin, top, label, space, wave = 14, 40, 96, 30, 64 if heard else 0
    below = top + len(ROW_NAMES) * (cell + GAP)
    right = label + sum(widths) + (len(clips) - 1) * space
    figure = blank_figure(right + margin, below + (wave + 22 if wave else margin))
    for row, name in enumerate(ROW_NAMES):
        write(figure, label - 10, top + row * (cell + GAP) + cell / 2, name, ha="right")
    if wave:
        write(figure, label - 10, below + 2 + wave / 2, "sound", ha="right")
    x = label
    for clip, rows, width in zip(clips, strips, widths):
        write(figure, x, 21, clip.title, size=11, weight="bold")
        write(figure, x + width, 21, _caption(clip), size=10, color=FAINT_COLOR, ha="right")
        for row, strip in enumerate(rows):
            show(figure, strip, x, top + row * (cell + GAP), detail)
        if clip.waveform is not None:
            waveform_axes(figure, (x, below + 2, width, wave), clip.waveform, clip.rate, len(clip.frames), ticks=True)
        x += width + space
    return figure


def results_sheet(clips: Sequence[ClipPicture], cell: int = 104, detail: int = 1) -> Figure:
    """Several clips on one sheet: a row a clip, with its frames, ground truth and prediction side by side.

    Arguments, result and error are those of `qualitative_figure`.
    """
    strips = _strips_of_all(clips, cell, detail, "results_sheet")
    width = max(strip[0].shape[1] for strip in strips) // detail
    margin, top, label, wave, space = 14, 34, 172, 30, 18
    block = cell + wave + 16
    figure = blank_figure(label + 3 * width + 2 * space + margin, top + len(clips) * block)
    for column, name in enumerate(ROW_NAMES):
        write(figure, label + column * (width + space), 18, name, size=11, weight="bold")
    for row, (clip, parts) in enumerate(zip(clips, strips)):
        y = top + row * block
        _clip_label(figure, clip, margin, y, cell)
        for column, strip in enumerate(parts):
            x = label + column * (width + space)
            show(figure, strip, x, y, detail)
            if clip.waveform is not None:
                box = (x, y + cell + 2, strip.shape[1] / detail, wave)
                waveform_axes(figure, box, clip.waveform, clip.rate, len(clip.frames))
    return figure


def _strips_of_all(clips: Sequence[ClipPicture], cell: int, detail: int, name: str) -> list[list[np.ndarray]]:
    if not clips:
        raise ValueError(f"{name} needs at least one clip")
    return [_strips(clip, cell * detail, GAP * detail) for clip in clips]


def _strips(clip: ClipPicture, cell: int, gap: int = GAP) -> list[np.ndarray]:
    """The clip's three rows, each uint8 [cell, width, 3]: T frames side by side."""
    frames = [resize(np.asarray(frame), cell) for frame in clip.frames]
    truth = [_masked(frame, mask, GROUND_TRUTH_COLOR) for frame, mask in zip(frames, clip.masks)]
    predicted = [_masked(frame, mask, PREDICTION_COLOR) for frame, mask in zip(frames, clip.predictions)]
    return [side_by_side(row, gap) for row in (frames, truth, predicted)]


def _masked(frame: np.ndarray, mask: np.ndarray | None, color: Color) -> np.ndarray:
    """The frame with its mask, enlarged to the frame's size; faded where there is no mask to show."""
    if mask is None:
        return fade(frame)
    size = frame.shape[1], frame.shape[0]
    # Probabilities stay so; a mask's jagged border is smoothed by thresholding its interpolation.
    enlarged = cv2.resize(np.asarray(mask, dtype=np.float32), size, interpolation=cv2.INTER_LINEAR)
    inside = enlarged > 0.5
    greyish = cv2.addWeighted(grey(frame), GREY_SHARE, frame, 1 - GREY_SHARE, 0)
    background = np.where(inside[..., None], frame, greyish)
    return overlay(background, inside if np.asarray(mask).dtype == bool else enlarged, color=color)


def _caption(clip: ClipPicture) -> str:
    score = "" if clip.jaccard is None else f"J {100 * clip.jaccard:.1f}"
    return "  ·  ".join(part for part in (clip.subtitle, score) if part)


def _clip_label(figure: Figure, clip: ClipPicture, x: float, y: float, cell: int) -> None:
    lines: list[tuple[str, dict[str, Any]]] = [(_shorten(clip.title, 18), {"weight": "bold"})]
    if clip.subtitle:
        lines.append((_shorten(clip.subtitle, 21), {"color": FAINT_COLOR}))
    if clip.jaccard is not None:
        lines.append((f"J {100 * clip.jaccard:.1f}", {}))
    first = y + cell / 2 - LABEL_LINE * (len(lines) - 1) / 2
    for row, (text, style) in enumerate(lines):
        write(figure, x, first + row * LABEL_LINE, text, **style)


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
