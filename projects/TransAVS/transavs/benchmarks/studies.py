"""Studies: trainings that differ in a few config keys, each with several seeds, and what they reach side by side."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from ..evaluation.avs_evaluator import RESULTS_FILE
from ..evaluation.instance_evaluator import INSTANCES_FILE
from .tables import format_table

Changes = Mapping[str, Any]  # config keys and their values
SCORES = ("mJ", "mF")
INSTANCE_SCORES = ("AP50", "HOTA", "FSLA")  # of a dataset with instances


class StudyError(ValueError):
    """A study's file cannot be used; the message names it."""


@dataclass(frozen=True)
class Study:
    """What a study's YAML file says.

    Args:
        config: the config that all trainings start from; in the file a path from the file's own folder.
        changes: of that config, for all rows.
        rows: by a row's name, what it changes on top.
    """

    config: Path
    changes: Changes
    rows: Mapping[str, Changes]

    def opts(self, row: str) -> list[str]:
        """KEY, VALUE, ... of a row's training, as on a command line."""
        return [str(word) for pair in {**self.changes, **self.rows[row]}.items() for word in pair]


def read_study(path: Path) -> Study:
    """Reads CONFIG, CHANGES and ROWS.

    Raises:
        StudyError: the file is missing or no YAML, or lacks a key, or has another one.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{path}: {error.strerror}, expected a study's YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    expected = {"CONFIG": str, "CHANGES": dict, "ROWS": dict}
    if not isinstance(found, dict) or set(found) != set(expected):
        keys = ", ".join(map(str, found)) if isinstance(found, dict) else type(found).__name__
        raise StudyError(f"{path}: found {keys}, expected the keys {', '.join(expected)}")
    for key, kind in expected.items():
        if not isinstance(found[key], kind):
            raise StudyError(f"{path}: {key} is {found[key]!r}, expected a {kind.__name__}")
    for row, changes in found["ROWS"].items():
        if not isinstance(changes, dict):
            raise StudyError(f"{path}: ROWS: {row!r} is {changes!r}, expected config keys and values, or {{}}")
    return Study(path.parent / found["CONFIG"], found["CHANGES"], found["ROWS"])


def run_folder(output: Path, row: str, seed: int) -> Path:
    """Where the training of a row with a seed writes: its OUTPUT_DIR."""
    return output / re.sub(r"\W+", "_", row).strip("_") / f"seed{seed}"


def scores_of(folder: Path) -> dict[str, float] | None:
    """What a training reached on DATASETS.TEST, in percent; None where it is not at its end."""
    found: dict[str, float] = {}
    for file_name, names in ((RESULTS_FILE, SCORES), (INSTANCES_FILE, INSTANCE_SCORES)):
        for path in sorted(folder.glob(f"inference/*/{file_name}"))[:1]:
            scores = json.loads(path.read_text())["scores"]
            found |= {name: 100 * scores[name] for name in names}
    return found or None


def study_table(title: str, study: Study, output: Path, seeds: Sequence[int]) -> str:
    """GitHub Markdown: of each row that is trained, mean over its seeds and spread, the largest less the least."""
    reached = {row: [scores_of(run_folder(output, row, seed)) for seed in seeds] for row in study.rows}
    done = {row: [found for found in scores if found is not None] for row, scores in reached.items()}
    others = list(dict.fromkeys(name for scores in done.values() for found in scores for name in found if name != "mJ"))
    headers = ["row", "mJ", "spread", "mJ of each seed", *(others or SCORES[1:])]
    return format_table(title, [_table_row(row, scores, others) for row, scores in done.items() if scores], headers)


def _table_row(row: str, reached: Sequence[dict[str, float]], others: Sequence[str]) -> list[str]:
    """Of the seeds that are done; `others` are the scores beside mJ."""
    mj = [scores["mJ"] for scores in reached]
    each = ", ".join(f"{value:.1f}" for value in mj)
    means = [f"{mean(scores[name] for scores in reached):.1f}" for name in others]
    return [row, f"{mean(mj):.1f}", f"{max(mj) - min(mj):.1f}", each, *means]
