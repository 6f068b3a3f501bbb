"""What the model receives of a clip: frames, masks and log-mel, after all augmentation."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..data.audio import SILENCE
from .canvas import FAINT_COLOR, GAP, Box, axes_at, blank_figure, resize, show, write
from .masks import GROUND_TRUTH_COLOR, overlay

SOUND_MAP = "magma"
MIX_TITLES = {
    "first": "its own sound, and what was pasted is silent",
    "second": "the sound of what was pasted alone",
    "both": "both sounds",
    "silence": "silence",
    "noise": "noise",
    "offscreen": "a sound that nothing in the picture makes",
}


def input_figure(clip: dict[str, Any], image_format: str = "RGB", cell: int = 128) -> Figure:
    """A model input, second by second: its frames, in training their masks, and the log-mel example of each second.

    Args:
        clip: as `AVSDatasetMapper` makes it: `images`, `frame_indices`, `audio_log_mel` and perhaps `instances`; the
            title says what `mix` is.
        image_format: INPUT.FORMAT, the order of the images' channels.
        cell: height of a frame in the figure, in pixels.

    Returns:
        matplotlib Figure.
    """
    rows = {name: [resize(image, cell) for image in images] for name, images in _pictures(clip, image_format).items()}
    seconds, width = len(clip["audio_log_mel"]), rows["frame"][0].shape[1]
    margin, top, label, sound = 14, 56, 84, 64
    columns = [label + second * (width + GAP) for second in range(seconds)]
    below = top + len(rows) * (cell + GAP)
    figure = blank_figure(columns[-1] + width + margin, below + sound + 40)
    write(figure, label, 16, _title(clip), size=11, weight="bold")
    for second, x in enumerate(columns):
        write(figure, x, 42, f"second {second}", color=FAINT_COLOR)
    for row, (name, images) in enumerate(rows.items()):
        y = top + row * (cell + GAP)
        write(figure, label - 10, y + cell / 2, name, ha="right")
        for image, second in zip(images, clip["frame_indices"].tolist()):
            show(figure, image, columns[second], y)
    write(figure, label - 10, below + sound / 2, "log-mel", ha="right")
    _show_log_mel(figure, clip["audio_log_mel"].numpy(), [(x, below, width, sound) for x in columns])
    write(figure, label, below + sound + 20, _facts(clip), color=FAINT_COLOR)
    return figure


def frames_of(clip: dict[str, Any], image_format: str = "RGB") -> np.ndarray:
    """A model input's frames as pictures: uint8 [F, h, w, 3], RGB."""
    frames = clip["images"].permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(frames[..., ::-1] if image_format == "BGR" else frames)


def _pictures(clip: dict[str, Any], image_format: str) -> dict[str, Iterable[np.ndarray]]:
    """The rows that have a picture a frame: {name: [uint8 [h, w, 3], ...]}."""
    frames = frames_of(clip, image_format)
    if "instances" not in clip:
        return {"frame": frames}
    masks = [instances.gt_masks.tensor.any(0).numpy() for instances in clip["instances"]]
    masked = [overlay(frame, mask, color=GROUND_TRUTH_COLOR) for frame, mask in zip(frames, masks)]
    return {"frame": frames, "mask": masked}


def _title(clip: dict[str, Any]) -> str:
    name, mix = clip.get("video_id", ""), clip.get("mix")
    return f"{name}  ·  mixed: {MIX_TITLES[mix]}" if mix else name


def _show_log_mel(figure: Figure, log_mel: np.ndarray, boxes: Sequence[Box]) -> None:
    """Each second's example, time from left to right, low notes at the bottom; all on one scale from silence up."""
    highest = max(float(log_mel.max()), SILENCE + 1)
    for example, box in zip(log_mel, boxes):
        axes = axes_at(figure, box)
        axes.imshow(
            example[0].T,
            origin="lower",
            aspect="auto",
            interpolation="none",
            cmap=SOUND_MAP,
            vmin=SILENCE,
            vmax=highest,
        )
        axes.axis("off")


def _facts(clip: dict[str, Any]) -> str:
    height, width = clip["images"].shape[-2:]
    log_mel = clip["audio_log_mel"]
    return (
        f"frames {width} x {height}, on disk {clip['width']} x {clip['height']} pixels  ·  "
        f"log-mel from {float(log_mel.min()):.1f} to {float(log_mel.max()):.1f}"
    )
