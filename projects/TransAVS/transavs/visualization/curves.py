"""Curves of trainings, from the metrics.json that Detectron2 writes: losses, scores, and what AQDL and AQML act on."""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Curve = tuple[list[int], list[float]]  # iterations and values

# A panel each: its title, and the quantities that it shows by their names in metrics.json.
PANELS = {
    "losses": ("loss_class", "loss_dice", "loss_mask", "loss_aqdl", "loss_aqml"),
    "scores on DATASETS.VAL": ("avs/mJ", "avs/mF", "avss/mIoU"),
    "confident queries in a frame": ("[metric]s1", "[metric]s2"),
    "share of S1's pairs that AQDL moves": ("[metric]aqdl_pairs",),
}


class MetricsError(ValueError):
    """A metrics.json cannot be read; the message names it."""


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads a metrics.json; of what it has twice of an iteration, the last one counts. Half a last line, as a training
    that is killed leaves it, is left out.

    Returns:
        list[dict]: one an iteration that the file has, in their order.

    Raises:
        MetricsError: the file is missing, or a line of it is no JSON object with an iteration.
    """
    by_iteration: dict[int, dict[str, Any]] = {}
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()
        for number, line in enumerate(lines, start=1):
            if number < len(lines) or line.endswith("\n"):
                found = json.loads(line)
                if not isinstance(found, dict) or not isinstance(found.get("iteration"), int):
                    raise MetricsError(
                        f"{path}: line {number} is {line.strip()[:60]!r}, expected the metrics of an iteration"
                    )
                by_iteration.setdefault(found["iteration"], {}).update(found)
    except OSError as error:
        raise MetricsError(f"{path}: {error.strerror}, expected a metrics.json") from error
    except (ValueError, RecursionError) as error:
        raise MetricsError(str(error) if isinstance(error, MetricsError) else f"{path}: not JSON ({error})") from error
    return [by_iteration[iteration] for iteration in sorted(by_iteration)]


def curve_of(metrics: Iterable[Mapping[str, Any]], name: str) -> Curve:
    """One quantity, at the iterations that have it."""
    pairs = [(found["iteration"], float(found[name])) for found in metrics if name in found]
    return [iteration for iteration, _ in pairs], [value for _, value in pairs]


def training_figure(trainings: Mapping[str, list[dict[str, Any]]]) -> Figure:
    """Four panels, see `PANELS`. A quantity has a colour, a training a style of line.

    Args:
        trainings: by the name that the legend shows, what `read_metrics` gives.
    """
    figure = Figure(figsize=(10, 6.4), dpi=150, layout="constrained")
    styles = ("-", "--", ":", "-.")
    for axes, (title, names) in zip(figure.subplots(2, 2).flat, PANELS.items()):
        for number, (training, metrics) in enumerate(trainings.items()):
            for index, name in enumerate(names):
                _draw(
                    axes,
                    curve_of(metrics, name),
                    f"C{index}",
                    styles[number % len(styles)],
                    _label(name, training, trainings),
                )
        axes.set(title=title, xlabel="iteration", yscale="log" if title == "losses" else "linear")
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False, fontsize=7)
    return figure


def _draw(axes: Axes, curve: Curve, color: str, style: str, label: str) -> None:
    if curve[0] and any(curve[1]):
        axes.plot(
            *curve, color=color, linestyle=style, linewidth=1, label=label, marker="." if len(curve[0]) < 30 else ""
        )


def _label(name: str, training: str, trainings: Mapping[str, Any]) -> str:
    quantity = name.rpartition("]")[2].rpartition("/")[2]
    return quantity if len(trainings) == 1 else f"{training}: {quantity}"
