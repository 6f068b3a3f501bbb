"""The names of AVSBench-semantic's labels, and those that its list of clips gives to what sounds."""

import json
import os
from collections.abc import Sequence
from typing import Any

from .errors import AVSDatasetError, one_line, reason_of
from .layout import FilePath
from .listing import HOW_TO_GET, MAX_NAME_BYTES
from .palette import MAX_LABELS
from .semantic_layout import BACKGROUND, LABELS_FILE, NAMES_SEPARATOR, semantic_folder

MAX_FILE_BYTES = 1 << 20  # of LABELS_FILE; AVSBench's has two thousand


def read_labels(root: FilePath, num_labels: int | None = None) -> list[str]:
    """Reads the labels' names.

    Args:
        root: the folder that holds `AVSBench-semantic/`, or that folder.
        num_labels: so many there must be.

    Returns:
        list[str]: the names in the order of their labels, "background" first

    Raises:
        AVSDatasetError: the file is missing, or does not give 2 to MAX_LABELS names the labels 0, 1, 2, ...
    """
    path = os.path.join(semantic_folder(root), LABELS_FILE)
    if not os.path.isfile(path):
        raise AVSDatasetError(f"{path} does not exist, the names of the labels. {HOW_TO_GET}.")
    try:
        if os.path.getsize(path) > MAX_FILE_BYTES:
            raise ValueError(f"it has {os.path.getsize(path)} bytes, expected at most {MAX_FILE_BYTES}")
        with open(path, encoding="utf-8-sig") as file:
            names = _in_order(json.load(file, object_pairs_hook=list))
        if num_labels is not None and len(names) != num_labels:
            raise ValueError(f"it has {len(names)} labels, expected {num_labels}")
    except (OSError, ValueError, RecursionError) as error:
        raise AVSDatasetError(f"{path}: not a list of labels ({reason_of(error)})") from error
    return names


def _in_order(pairs: Any) -> list[str]:
    """Raises: ValueError: the pairs do not give each name a label of its own, from 0 on."""
    expected = 'expected {"background": 0, "NAME": 1, ...}'
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise ValueError(f"it holds no names with their labels, {expected}")
    if not 2 <= len(pairs) <= MAX_LABELS:
        raise ValueError(f"it has {len(pairs)} labels, expected 2 to {MAX_LABELS}")
    names: list[str | None] = [None] * len(pairs)
    for name, label in pairs:
        if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < len(pairs):
            raise ValueError(f"{name!r} has the label {one_line(repr(label))}, expected one of 0 to {len(pairs) - 1}")
        if names[label] is not None:
            raise ValueError(f"{names[label]!r} and {name!r} both have the label {label}, expected one of its own")
        if not name or not name.isprintable() or len(os.fsencode(name)) > MAX_NAME_BYTES or name in names:
            raise ValueError(f"label {label} has the name {name!r}, expected one to print that no other label has")
        names[label] = name
    if names[0] != BACKGROUND:
        raise ValueError(f"label 0 is {names[0]!r}, expected {BACKGROUND!r}")
    return [name for name in names if name is not None]


def class_names(root: FilePath, labels: Sequence[str] = ()) -> list[str]:
    """The names of the model's classes: the labels' without the background.

    Args:
        root: see `read_labels`.
        labels: those to take where `label2idx.json` is not there.

    Raises:
        FileNotFoundError: it is not there, and there are no `labels`.
        AVSDatasetError: see `read_labels`.
    """
    path = os.path.join(semantic_folder(root), LABELS_FILE)
    if os.path.exists(path):
        labels = read_labels(root)
    elif not labels:
        raise FileNotFoundError(path)
    return list(labels[1:])


def object_names(text: str, labels: Sequence[str]) -> list[str]:
    """The names in the column a_obj, which stand with `_` between them.

    AVSBench's own file has a space in one ("h orse"): spaces do not count. A name may hold `_` itself where a label
    does.
    """
    parts = text.replace(" ", "").split(NAMES_SEPARATOR)
    most = 1 + max((label.count(NAMES_SEPARATOR) for label in labels), default=0)
    names, place = [], 0
    while place < len(parts):
        tried = (NAMES_SEPARATOR.join(parts[place : place + count]) for count in range(most, 0, -1))
        name = next((name for name in tried if name in labels), parts[place])
        names.append(name)
        place += 1 + name.count(NAMES_SEPARATOR)
    return names
