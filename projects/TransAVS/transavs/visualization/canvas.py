"""Figures laid out in pixels: images, texts and waveforms at their places; and how they are saved."""

import os
from collections.abc import Sequence
from typing import Any

import cv2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

Box = tuple[float, float, float, float]  # x, y, width, height in pixels, y downwards from the top

DPI = 100  # figures are laid out in pixels
GAP = 4  # pixels between the cells of a strip
FORMATS = ("png", "pdf")
TEXT_COLOR, FAINT_COLOR, WAVE_COLOR = "#222222", "#8a8a8a", "#4a5568"
SHADE_COLOR = "#eef1f5"  # every other second under the waveform


def draw_waveform(waveform: np.ndarray, rate: int, width: int, height: int, seconds: float | None = None) -> np.ndarray:
    """Draws a waveform as one image.

    Args:
        waveform: float [samples], mono.
        rate: samples a second.
        width, height: of the image, in pixels.
        seconds: length of the time axis; default: the waveform's own.

    Returns:
        ndarray: uint8 [height, width, 3].
    """
    figure = blank_figure(width, height)
    waveform_axes(figure, (0, 0, width, height), waveform, rate, seconds or len(waveform) / rate)
    return figure_to_array(figure)


def figure_to_array(figure: Figure) -> np.ndarray:
    """A figure's pixels: uint8 [height, width, 3], RGB."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a figure as what the path's suffix says: PNG pixel by pixel, PDF with text as text and lines as lines.

    The same figure gives the same bytes.
    """
    # Type 42, TrueType as it is: what conferences ask for, and text that can be searched.
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        no_date = {"CreationDate": None} if str(path).endswith(".pdf") else {}
        figure.savefig(path, dpi=DPI, metadata=no_date)


def blank_figure(width: float, height: float) -> Figure:
    """A white figure of so many pixels."""
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def axes_at(figure: Figure, box: Box) -> Axes:
    """Axes at a place of the figure."""
    x, y, width, height = box
    total_width, total_height = figure.get_size_inches() * DPI
    return figure.add_axes(
        (x / total_width, 1 - (y + height) / total_height, width / total_width, height / total_height)
    )


def show(figure: Figure, image: np.ndarray, x: float, y: float, detail: int = 1) -> None:
    """Puts an image where its upper left corner is (x, y); `detail` of its pixels go into one of the figure's."""
    axes = axes_at(figure, (x, y, image.shape[1] / detail, image.shape[0] / detail))
    axes.imshow(image, interpolation="none", aspect="auto")  # a PDF then keeps every pixel
    axes.axis("off")


def write(
    figure: Figure, x: float, y: float, text: str, size: float = 9, color: str = TEXT_COLOR, **style: Any
) -> None:
    """Writes a text whose middle line is at y; `style` is matplotlib's."""
    width, height = figure.get_size_inches() * DPI
    # "$" would start a formula.
    escaped = text.replace("$", r"\$")
    figure.text(x / width, 1 - y / height, escaped, fontsize=size, color=color, va="center", **style)


def resize(frame: np.ndarray, height: int) -> np.ndarray:
    """A frame brought to a height, its shape kept: uint8 [height, width, 3]."""
    width = max(1, round(frame.shape[1] * height / frame.shape[0]))
    interpolation = cv2.INTER_AREA if height < frame.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(frame, (width, height), interpolation=interpolation)


def fade(frame: np.ndarray) -> np.ndarray:
    """A frame that stands for one without anything to show."""
    return np.rint(frame * 0.25 + 255 * 0.75).astype(np.uint8)


def side_by_side(cells: Sequence[np.ndarray], gap: int = GAP) -> np.ndarray:
    """Images of one height in a row, white between them: uint8 [height, width, 3]."""
    between = np.full((cells[0].shape[0], gap, 3), 255, dtype=np.uint8)
    return np.concatenate([part for cell in cells for part in (cell, between)][:-1], axis=1)


def waveform_axes(
    figure: Figure, box: Box, waveform: ArrayLike, rate: int, seconds: float, ticks: bool = False
) -> None:
    """The waveform's range in each pixel column, over shaded seconds that stand under the frames."""
    axes = axes_at(figure, box)
    columns = max(1, round(box[2]))
    low, high = _envelope(np.asarray(waveform, dtype=np.float32), columns, round(seconds * rate))
    time = (np.arange(columns) + 0.5) * seconds / columns
    for second in range(0, int(np.ceil(seconds)), 2):
        axes.axvspan(second, min(second + 1, seconds), color=SHADE_COLOR, linewidth=0)
    axes.fill_between(time, low, high, color=WAVE_COLOR, linewidth=0.4)
    axes.axhline(0, color=WAVE_COLOR, linewidth=0.5)
    peak = max(float(np.abs(low).max()), float(np.abs(high).max()), 0.05)  # near-silence stays a flat line
    axes.set(xlim=(0, seconds), ylim=(-1.08 * peak, 1.08 * peak), yticks=[])
    axes.set_xticks(range(int(seconds) + 1) if ticks else [])
    if ticks:
        axes.set_xticklabels([f"{second} s" for second in range(int(seconds) + 1)])
        axes.tick_params(length=0, labelsize=8, labelcolor=FAINT_COLOR)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _envelope(waveform: np.ndarray, columns: int, num_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest sample of each column, [columns] each; a shorter sound is padded with silence."""
    padded = np.zeros(max(num_samples, columns), dtype=np.float32)
    kept = waveform[: len(padded)]
    padded[: len(kept)] = kept
    starts = np.arange(columns) * len(padded) // columns
    return np.minimum.reduceat(padded, starts), np.maximum.reduceat(padded, starts)
