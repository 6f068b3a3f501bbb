"""The tables of tools/benchmark.py: what is measured, under which headings, and where it stands in a page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode

from . import cost, engines, evaluating, loading, stepping, video
from .measuring import device_name

Rows = list[list[Any]]


@dataclass(frozen=True)
class Options:
    """What all measurements are given.

    Args:
        runs: timed ones, of which the median counts.
        seconds: of a video.
        trained: whether all the models have trained weights.
    """

    runs: int
    seconds: int
    trained: bool

    @property
    def place(self) -> str:
        return f"PyTorch {torch.__version__}, {device_name()}"


@dataclass(frozen=True)
class Table:
    """One of the tables.

    Args:
        headers: of its columns.
        measure: gives a config's rows; of the config, its name, and the options.
        title: of the options.
        in_page: what its marks in a page are called; see `marks`.
    """

    headers: Sequence[str]
    measure: Callable[[CfgNode, str, Options], Rows]
    title: Callable[[Options], str]
    in_page: str

    @property
    def marks(self) -> tuple[str, str]:
        """Between these lines of a page it stands."""
        return f"<!-- {self.in_page}: start -->", f"<!-- {self.in_page}: end -->"


TABLES = {
    "clip": Table(
        cost.HEADERS,
        lambda cfg, name, options: [cost.measure_clip(cfg, name, options.runs)],
        lambda options: f"One clip, median of {options.runs}, {options.place}.",
        "measured",
    ),
    "waits": Table(
        stepping.HEADERS,
        lambda cfg, name, options: [stepping.measure_waits(cfg, name)],
        lambda options: "By count, on the CPU, of two clips a step.",
        "waits measured",
    ),
    "engines": Table(
        engines.HEADERS,
        lambda cfg, name, options: engines.measure_engines(cfg, name, options.runs),
        lambda options: engines.describe(options.runs, options.place),
        "engines measured",
    ),
    "loading": Table(
        loading.HEADERS,
        lambda cfg, name, options: [loading.measure_loading(cfg, name, options.runs)],
        lambda options: f"{loading.CLIPS} clips in one thread, by its processor time, median of {options.runs}.",
        "loading measured",
    ),
    "evaluation": Table(
        evaluating.HEADERS,
        lambda cfg, name, options: [evaluating.measure_evaluation(cfg, name, options.runs)],
        lambda options: f"By processor time, median of {options.runs}, {options.place}.",
        "evaluation measured",
    ),
    "video": Table(
        video.HEADERS,
        lambda cfg, name, options: video.measure_video(cfg, name, options.seconds, options.runs),
        lambda options: video.describe(options.seconds, options.runs, options.trained),
        "video measured",
    ),
}
