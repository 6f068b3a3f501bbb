"""Which class is taken for which: a picture of the table that `SemanticEvaluator` writes."""

import csv
import os
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

CELL = 0.24  # inches
MARGIN = 2.2  # inches, for names and title
LEAST_PERCENT = 1  # of a row; less is not written into a cell


class ConfusionError(ValueError):
    """A table cannot be read; the message names it."""


@dataclass(frozen=True)
class Confusion:
    """Pixels by true and by predicted label.

    Args:
        names: of the labels, the background first.
        pixels: int64 [L, L]; the true label comes first.
    """

    names: list[str]
    pixels: NDArray[np.int64]

    def occurring(self) -> "Confusion":
        """Without the labels that are neither true nor predicted anywhere."""
        kept = np.flatnonzero(self.pixels.sum(0) + self.pixels.sum(1))
        return Confusion([self.names[label] for label in kept], self.pixels[np.ix_(kept, kept)])


def read_confusion(path: str | os.PathLike[str]) -> Confusion:
    """Reads confusion.csv.

    Raises:
        ConfusionError: the file is missing, or is no such table.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            (_, *names), *rows = list(csv.reader(file))
        pixels = np.array([[int(cell) for cell in row[1:]] for row in rows], np.int64)
        if [row[0] for row in rows] != names or pixels.shape != (len(names),) * 2 or pixels.min() < 0:
            raise ValueError(f"{len(rows)} rows for {len(names)} labels, expected one of numbers for each")
    except OSError as error:
        raise ConfusionError(f"{path}: {error.strerror}, expected a confusion.csv of SemanticEvaluator") from error
    except (ValueError, IndexError, OverflowError, csv.Error) as error:
        raise ConfusionError(f"{path}: not a confusion.csv of SemanticEvaluator ({error})") from error
    return Confusion(names, pixels)


def confusion_figure(confusion: Confusion, title: str) -> Figure:
    """A row a true label, a column a predicted one, for the labels that occur: the percent of the true pixels.

    Args:
        confusion: the table.
        title: above it.
    """
    found = confusion.occurring()
    share = 100 * found.pixels / np.maximum(found.pixels.sum(1, keepdims=True), 1)
    side = CELL * len(found.names) + MARGIN
    figure = Figure(figsize=(side, side), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    places = range(len(found.names))
    names = [name.replace("$", r"\$") for name in found.names]  # "$" would start a formula
    axes.set_xticks(places, names, rotation=90, fontsize=7)
    axes.set_yticks(places, names, fontsize=7)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for row, column in zip(*np.nonzero(share >= LEAST_PERCENT)):
        color = "white" if share[row, column] > 60 else "black"
        axes.text(column, row, f"{share[row, column]:.0f}", ha="center", va="center", fontsize=6, color=color)
    axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#e5e7eb", linewidth=0.4)
    axes.tick_params(which="minor", length=0)
    axes.set(xlabel="predicted", ylabel="true")
    axes.xaxis.set_label_position("top")
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=9)
    return figure
