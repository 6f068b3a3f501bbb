"""Scores as bars."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure


def score_bars(results: Mapping[str, Mapping[str, float | None]], title: str) -> Figure:
    """A group of bars a score, a bar in it for each of the things that are compared.

    Args:
        results: by what is compared, the scores by name, in percent; None is shown as a dash.
        title: above them.
    """
    names = list(next(iter(results.values())))
    figure = Figure(figsize=(8, 3.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(results)
    for number, (compared, scores) in enumerate(results.items()):
        places = np.arange(len(names)) + (number - (len(results) - 1) / 2) * width
        bars = axes.bar(places, [scores[name] or 0 for name in names], width, label=compared)
        values = (scores[name] for name in names)
        axes.bar_label(bars, ["–" if value is None else f"{value:.0f}" for value in values], fontsize=8)
    axes.set_xticks(range(len(names)), names)
    axes.set(title=title, ylabel="percent", ylim=(0, 105))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(ncols=len(results), loc="outside lower center", frameon=False)
    return figure
