"""Pictures of clips: masks over frames, results, the model's input, and what its queries attend to.

Everything is drawn on images and on matplotlib figures of its own; no global state (pyplot) is touched, so that it
works without a display and inside other programs.
"""

from .attention import attention_figure
from .canvas import FORMATS, draw_waveform, figure_to_array, save_figure
from .clips import ClipPicture, clip_figure, qualitative_figure, results_sheet
from .inputs import frames_of, input_figure
from .masks import (
    GROUND_TRUTH_COLOR,
    PREDICTION_COLOR,
    RIM_COLOR,
    draw_heat,
    draw_instances,
    inner_border,
    instance_color,
    overlay,
)
from .objects import ObjectStyle, categories_of, draw_objects

__all__ = [
    "FORMATS",
    "GROUND_TRUTH_COLOR",
    "PREDICTION_COLOR",
    "RIM_COLOR",
    "ClipPicture",
    "ObjectStyle",
    "attention_figure",
    "categories_of",
    "clip_figure",
    "draw_heat",
    "draw_instances",
    "draw_objects",
    "draw_waveform",
    "figure_to_array",
    "frames_of",
    "inner_border",
    "input_figure",
    "instance_color",
    "overlay",
    "qualitative_figure",
    "results_sheet",
    "save_figure",
]
