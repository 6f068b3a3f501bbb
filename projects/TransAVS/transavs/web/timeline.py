"""What sounds when, as HTML: a column a second, in it each object with its picture and how sure the model is."""

import base64
import html
import io
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from ..engine.predictor import FrameResult
from ..visualization import ObjectStyle, categories_of, draw_waveform

THUMBNAIL = 72  # pixels
MARGIN = 0.15  # around an object in its thumbnail, of its longer side
FADED = 0.7  # how far the thumbnail's other pixels go towards white
MAX_ROWS = 6  # objects at once; the smaller ones are counted
WAVE_SIZE = 1200, 64  # pixels, width and height
STYLE = """
.timeline { overflow-x: auto; position: relative; padding-bottom: 4px; }
.timeline .grid { display: grid; gap: 3px; position: relative; width: fit-content;
    grid-template-columns: repeat(var(--seconds), minmax(46px, 84px)); }
.timeline .wave { grid-column: 1 / -1; width: 100%; height: 40px; border-radius: 4px; }
.timeline .second { font-size: 11px; opacity: .65; border-left: 1px solid currentColor; padding-left: 3px; }
.timeline button { padding: 0; border: 0; background: none; cursor: pointer; border-radius: 5px; overflow: hidden;
    border: 2px solid var(--color); text-align: center; }
.timeline button img { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; margin: 0; }
.timeline button span { display: block; font-size: 11px; line-height: 17px; color: var(--body-text-color);
    overflow: hidden; text-overflow: ellipsis; white-space: nowrap; padding: 0 2px;
    background: linear-gradient(90deg, color-mix(in srgb, var(--color) 55%, transparent) var(--sure), transparent 0); }
.timeline .playhead { position: absolute; top: 0; bottom: 0; width: 2px; background: #e11d48; pointer-events: none;
    left: calc(var(--now, 0) / var(--seconds) * 100%); }
"""
# The result's video moves the playhead, and a click on a second takes the video there.
SCRIPT = """
document.addEventListener("timeupdate", event => {
    const grid = document.querySelector(".timeline .grid");
    if (!grid || !event.target.closest("#result")) return;
    const now = event.target.currentTime, view = grid.parentElement;
    grid.style.setProperty("--now", now);
    const x = now / grid.style.getPropertyValue("--seconds") * grid.clientWidth;
    if (x < view.scrollLeft || x > view.scrollLeft + view.clientWidth) view.scrollLeft = x - 40;
}, true);
document.addEventListener("click", event => {
    const cell = event.target.closest(".timeline [data-second]");
    const video = document.querySelector("#result video");
    if (cell && video) video.currentTime = Number(cell.dataset.second);
});
"""


@dataclass
class Cell:
    """One object in one second."""

    scores: list[float] = field(default_factory=list)  # a frame each
    area: float = 0.0  # pixels, the largest
    thumbnail: Image.Image | None = None  # of that frame
    category: int = 0  # in it


Row = dict[int, tuple[int, Cell]]  # by second, the object's number and its cell


class Timeline:
    """Collects the frames of a video; memory grows with its seconds, not with its frames.

    Args:
        num_seconds: of the video.
        style: what objects are called and how they are coloured.
    """

    def __init__(self, num_seconds: int, style: ObjectStyle = ObjectStyle()):
        self.num_seconds, self.style = num_seconds, style
        # By the object's number, then by second.
        self._objects: dict[int, dict[int, Cell]] = defaultdict(lambda: defaultdict(Cell))

    @property
    def seconds_that_sound(self) -> int:
        return len({second for cells in self._objects.values() for second in cells})

    @property
    def names(self) -> list[str]:
        """The classes that sound, those first that are heard in the most seconds; none where there is but one class."""
        heard = Counter(
            name
            for second in range(self.num_seconds)
            for name in {self.style.name(cells[second].category) for cells in self._objects.values() if second in cells}
        )
        return [name for name, _ in heard.most_common() if name]

    def add(self, result: FrameResult) -> None:
        """Takes in the next frame."""
        found = result.instances
        numbers, scores = found.object_number.tolist(), found.scores.tolist()
        for number, category, score, mask in zip(numbers, categories_of(found), scores, found.pred_masks.numpy()):
            cell = self._objects[number][int(result.time)]
            cell.scores.append(score)
            if mask.sum() > cell.area:
                cell.area, cell.thumbnail, cell.category = mask.sum(), _thumbnail(result.frame, mask), category

    def html(self, waveform: np.ndarray | None = None, rate: int = 1) -> str:
        """The timeline, to be shown with STYLE and SCRIPT.

        Args:
            waveform: float [samples], mono; None draws none.
            rate: its samples a second.
        """
        parts = []
        if waveform is not None:
            image = Image.fromarray(draw_waveform(waveform, rate, *WAVE_SIZE, seconds=self.num_seconds))
            parts.append(f'<img class="wave" alt="the sound" src="{_data_url(image)}">')
        for second in range(self.num_seconds):
            parts.append(f'<span class="second" data-second="{second}">{second} s</span>')
        rows, left_out = self._rows()
        for row in rows:
            parts += [
                self._cell_html(second, *row[second]) if second in row else "<i></i>"
                for second in range(self.num_seconds)
            ]
        rest = f"<small>and {left_out} smaller ones</small>" if left_out else ""
        grid = (
            f'<div class="grid" style="--seconds:{self.num_seconds}">{"".join(parts)}<div class="playhead"></div></div>'
        )
        return f'<div class="timeline">{grid}{rest}</div>'

    def _rows(self) -> tuple[list[Row], int]:
        """Objects that never sound together share a row; the large ones come first.

        Returns:
            the rows, and how many objects found none.
        """
        rows: list[Row] = []
        left_out = 0
        objects = sorted(self._objects.items(), key=lambda item: -sum(cell.area for cell in item[1].values()))
        for number, cells in objects:
            row = next((row for row in rows if not row.keys() & cells.keys()), None)
            if row is None and len(rows) == MAX_ROWS:
                left_out += 1
                continue
            if row is None:
                rows.append(row := {})
            row.update((second, (number, cell)) for second, cell in cells.items())
        return rows, left_out

    def _cell_html(self, second: int, number: int, cell: Cell) -> str:
        color = "rgb({}, {}, {})".format(*self.style.color(cell.category, number))
        score = float(np.mean(cell.scores))
        label = html.escape(self.style.label(cell.category, score))
        text = f"object {number}, second {second}: {label} sure"
        return (
            f'<button data-second="{second}" title="{text}" style="--color:{color};--sure:{100 * score:.0f}%">'
            f'<img alt="{text}" src="{_data_url(cell.thumbnail)}"><span>{label}</span></button>'
        )


def _thumbnail(frame: np.ndarray, mask: np.ndarray) -> Image.Image:
    """The object on a faded background: a square of THUMBNAIL pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    half = (0.5 + MARGIN) * max(bottom - top, right - left)
    middle_y, middle_x = (top + bottom) / 2, (left + right) / 2
    box = (round(middle_x - half), round(middle_y - half), round(middle_x + half), round(middle_y + half))
    alpha = Image.fromarray(np.where(mask, 255, round(255 * (1 - FADED))).astype(np.uint8)).crop(box)
    square = Image.new("RGB", alpha.size, "white")
    square.paste(Image.fromarray(frame).crop(box), mask=alpha)
    return square.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)


def _data_url(image: Image.Image | None) -> str:
    assert image is not None  # a cell has one as soon as an object is in it
    buffer = io.BytesIO()
    image.save(buffer, "PNG" if image.width > THUMBNAIL else "JPEG", quality=80)
    kind = "png" if image.width > THUMBNAIL else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
