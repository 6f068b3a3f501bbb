"""Pictures of clips: masks over frames, the waveform under them, and sheets of results.

Everything is drawn on images and on matplotlib figures of its own; no global state (pyplot) is touched, so that it works
without a display and inside other programs.
"""
from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PREDICTION_COLOR = (255, 112, 32)  # orange; with the blue below told apart by colour-blind readers too
GROUND_TRUTH_COLOR = (0, 150, 255)
RIM_COLOR = (255, 255, 255)
MASK_OPACITY = 0.5
GREY_SHARE = 0.75  # how far sheets take the colours out of what no mask covers
DPI = 100  # figures are laid out in pixels
GAP = 4  # pixels between the cells of a strip
LABEL_LINE = 18  # pixels from one line of a label to the next
TEXT_COLOR, FAINT_COLOR, WAVE_COLOR = "#222222", "#8a8a8a", "#4a5568"
SHADE_COLOR = "#eef1f5"  # every other second under the waveform
ROW_NAMES = ("frame", "ground truth", "prediction")


@dataclass
class ClipPicture:
    """What is drawn of one clip.

    Args:
        frames (list): T uint8 [H, W, 3], RGB.
        masks (list): T bool [H, W], the ground truth; None where a frame has none.
        predictions (list): T masks, bool [H, W], or probabilities, float [H, W]; None where a frame has none.
        waveform (ndarray): float [samples], mono, in [-1, 1]; None draws no waveform.
        rate (int): the waveform's samples a second.
        title (str): the clip's id.
        subtitle (str): its category, say.
        jaccard (float): the clip's mean J in [0, 1], shown in percent; None shows none.
    """

    frames: list
    masks: list
    predictions: list
    waveform: np.ndarray = None
    rate: int = 16000
    title: str = ""
    subtitle: str = ""
    jaccard: float = None

    def __post_init__(self):
        counts = [len(self.frames), len(self.masks), len(self.predictions)]
        if len(set(counts)) != 1 or not counts[0]:
            raise ValueError(
                f"clip {self.title!r}: frames, masks and predictions must be as many, and at least one; got {counts}"
            )


def overlay(frame, mask, contour=True, color=PREDICTION_COLOR, opacity=MASK_OPACITY, score=None):
    """Lays a mask over a frame: a half-transparent colour inside, a line of it along the inner side of the border, and a
    thin white one along the outer side, so that the border is seen on frames of any colour.

    Args:
        frame (ndarray): uint8 [H, W, 3], RGB.
        mask (ndarray): bool [H, W]; or float [H, W], probabilities, whose colour is the stronger the higher they are and
            whose lines run where they exceed 0.5.
        contour (bool): draw the lines.
        color (tuple[int]): RGB.
        opacity (float): of the colour where the mask is True, or the probability 1; in [0, 1].
        score (float): written into the upper left corner in percent; None writes nothing.

    Returns:
        ndarray: uint8 [H, W, 3], a new image.

    Raises:
        ValueError: for a frame that is not uint8 [H, W, 3], or a mask of another size.
    """
    frame, mask = np.asarray(frame), np.asarray(mask)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"frame must be uint8 [H, W, 3], got {frame.dtype} {list(frame.shape)}")
    if mask.shape != frame.shape[:2]:
        raise ValueError(f"mask must be {list(frame.shape[:2])} as its frame, got {list(mask.shape)}")
    weight = opacity * mask.astype(np.float32)[..., None]
    image = np.rint(frame * (1 - weight) + np.float32(color) * weight).astype(np.uint8)
    if contour:
        inside = mask > 0.5 if mask.dtype != bool else mask
        image[inner_border(~inside)] = RIM_COLOR
        image[inner_border(inside, _line_width(mask.shape))] = color
    return image if score is None else _write_score(image, score)


def inner_border(mask, width=1):
    """The pixels of a mask at most `width` from one outside it: bool [H, W]. The image's own edge is no border."""
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))
    eroded = cv2.erode(mask.astype(np.uint8), kernel, iterations=width, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return mask & (eroded == 0)


def draw_waveform(waveform, rate, width, height, seconds=None):
    """Draws a waveform as one image.

    Args:
        waveform (ndarray): float [samples], mono.
        rate (int): samples a second.
        width, height (int): of the image, in pixels.
        seconds (float): length of the time axis; default: the waveform's own.

    Returns:
        ndarray: uint8 [height, width, 3].
    """
    figure = _figure(width, height)
    _waveform_axes(figure, (0, 0, width, height), waveform, rate, seconds or len(waveform) / rate)
    return figure_to_array(figure)


def clip_figure(clip, cell=160):
    """One clip at its full length: rows frame, ground truth and prediction over its T frames, the waveform below.

    Args:
        clip (ClipPicture)
        cell (int): height of a frame, in pixels; smaller frames are enlarged.

    Returns:
        matplotlib Figure.
    """
    strips = _strips(clip, cell)
    height, width = strips[0].shape[:2]
    margin, top, label, wave = 14, 40, 96, 64 if clip.waveform is not None else 0
    rows = len(strips) * (height + GAP)
    figure = _figure(label + width + margin, top + rows + (wave + 22 if wave else margin))
    _text(figure, label, 21, clip.title, size=11, weight="bold")
    _text(figure, label + width, 21, _caption(clip), size=10, color=FAINT_COLOR, ha="right")
    for row, (name, strip) in enumerate(zip(ROW_NAMES, strips)):
        y = top + row * (height + GAP)
        _show(figure, strip, label, y)
        _text(figure, label - 10, y + height / 2, name, ha="right")
    if wave:
        y = top + rows + 2
        _text(figure, label - 10, y + wave / 2, "sound", ha="right")
        box = (label, y, width, wave)
        _waveform_axes(figure, box, clip.waveform, clip.rate, len(clip.frames), ticks=True)
    return figure


def results_sheet(clips, cell=104):
    """Several clips on one sheet: a row a clip, with its frames, ground truth and prediction side by side.

    Args:
        clips (list[ClipPicture])
        cell (int): height of a frame, in pixels.

    Returns:
        matplotlib Figure.

    Raises:
        ValueError: without clips.
    """
    if not clips:
        raise ValueError("results_sheet needs at least one clip")
    strips = [_strips(clip, cell) for clip in clips]
    width = max(strip[0].shape[1] for strip in strips)
    margin, top, label, wave, space = 14, 34, 172, 30, 18
    block = cell + wave + 16
    figure = _figure(label + 3 * width + 2 * space + margin, top + len(clips) * block)
    for column, name in enumerate(ROW_NAMES):
        _text(figure, label + column * (width + space), 18, name, size=11, weight="bold")
    for row, (clip, parts) in enumerate(zip(clips, strips)):
        y = top + row * block
        _clip_label(figure, clip, margin, y, cell)
        for column, strip in enumerate(parts):
            x = label + column * (width + space)
            _show(figure, strip, x, y)
            if clip.waveform is not None:
                box = (x, y + cell + 2, strip.shape[1], wave)
                _waveform_axes(figure, box, clip.waveform, clip.rate, len(clip.frames))
    return figure


def figure_to_array(figure):
    """A figure's pixels: uint8 [height, width, 3], RGB."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _strips(clip, cell):
    """The clip's three rows, each uint8 [cell, width, 3]: T frames side by side."""
    frames = [_resize(np.asarray(frame), cell) for frame in clip.frames]
    truth = [_masked(frame, mask, GROUND_TRUTH_COLOR) for frame, mask in zip(frames, clip.masks)]
    predicted = [_masked(frame, mask, PREDICTION_COLOR) for frame, mask in zip(frames, clip.predictions)]
    return [_side_by_side(row) for row in (frames, truth, predicted)]


def _masked(frame, mask, color):
    """The frame with its mask, enlarged to the frame's size; faded where there is no mask to show."""
    if mask is None:
        return np.rint(frame * 0.25 + 255 * 0.75).astype(np.uint8)
    size = frame.shape[1], frame.shape[0]
    # Probabilities stay so; a mask's jagged border is smoothed by thresholding its interpolation.
    enlarged = cv2.resize(np.asarray(mask, dtype=np.float32), size, interpolation=cv2.INTER_LINEAR)
    inside = enlarged > 0.5
    background = np.where(inside[..., None], frame, _towards_grey(frame))
    return overlay(background, inside if np.asarray(mask).dtype == bool else enlarged, color=color)


def _towards_grey(frame):
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(grey, GREY_SHARE, frame, 1 - GREY_SHARE, 0)


def _resize(frame, height):
    width = max(1, round(frame.shape[1] * height / frame.shape[0]))
    interpolation = cv2.INTER_AREA if height < frame.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(frame, (width, height), interpolation=interpolation)


def _side_by_side(cells):
    gap = np.full((cells[0].shape[0], GAP, 3), 255, dtype=np.uint8)
    return np.concatenate([part for cell in cells for part in (cell, gap)][:-1], axis=1)


def _line_width(shape):
    return max(1, round(min(shape) / 96))  # 2 pixels at AVSBench's 224


def _write_score(image, score):
    scale = max(0.35, min(image.shape[:2]) / 400)
    origin = (round(10 * scale), round(30 * scale))
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):  # white on a dark rim: readable on any frame
        cv2.putText(image, f"{100 * score:.0f}%", origin, cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA)
    return image


def _figure(width, height):
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def _axes(figure, box):
    """Axes at a box (x, y, width, height) in pixels, y downwards from the top."""
    x, y, width, height = box
    total_width, total_height = figure.get_size_inches() * DPI
    return figure.add_axes([x / total_width, 1 - (y + height) / total_height, width / total_width, height / total_height])


def _show(figure, image, x, y):
    axes = _axes(figure, (x, y, image.shape[1], image.shape[0]))
    axes.imshow(image, interpolation="nearest", aspect="auto")
    axes.axis("off")


def _text(figure, x, y, text, size=9, color=TEXT_COLOR, **style):
    width, height = figure.get_size_inches() * DPI
    # "$" would start a formula.
    escaped = text.replace("$", r"\$")
    figure.text(x / width, 1 - y / height, escaped, fontsize=size, color=color, va="center", **style)


def _caption(clip):
    score = "" if clip.jaccard is None else f"J {100 * clip.jaccard:.1f}"
    return "  ·  ".join(part for part in (clip.subtitle, score) if part)


def _clip_label(figure, clip, x, y, cell):
    lines = [(_shorten(clip.title, 18), {"weight": "bold"})]
    if clip.subtitle:
        lines.append((_shorten(clip.subtitle, 21), {"color": FAINT_COLOR}))
    if clip.jaccard is not None:
        lines.append((f"J {100 * clip.jaccard:.1f}", {}))
    first = y + cell / 2 - LABEL_LINE * (len(lines) - 1) / 2
    for row, (text, style) in enumerate(lines):
        _text(figure, x, first + row * LABEL_LINE, text, **style)


def _shorten(text, length):
    return text if len(text) <= length else text[: length - 1] + "…"


def _waveform_axes(figure, box, waveform, rate, seconds, ticks=False):
    """The waveform's range in each pixel column, over shaded seconds that stand under the frames."""
    axes = _axes(figure, box)
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


def _envelope(waveform, columns, num_samples):
    """The lowest and the highest sample of each column, [columns] each; a shorter sound is padded with silence."""
    padded = np.zeros(max(num_samples, columns), dtype=np.float32)
    kept = waveform[: len(padded)]
    padded[: len(kept)] = kept
    starts = np.arange(columns) * len(padded) // columns
    return np.minimum.reduceat(padded, starts), np.maximum.reduceat(padded, starts)
