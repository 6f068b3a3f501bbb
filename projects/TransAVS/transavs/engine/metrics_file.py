"""Detectron2's metrics.json in a training that is resumed."""

import functools
import json
import os
from typing import IO

from detectron2.utils.events import JSONWriter

from ..weights.writing import written_whole

METRICS_FILE = "metrics.json"


class MetricsWriter(JSONWriter):
    """JSONWriter that opens its file at the first line, and so leaves it to `forget_later_lines` until then.

    Args:
        path: of the file; lines are added to what is there.
        window_size: iterations whose median a line has.
    """

    def __init__(self, path: str | os.PathLike[str], window_size: int = 20):
        self._path, self._window_size, self._last_write = path, window_size, -1

    @functools.cached_property
    def _file_handle(self) -> IO[str]:
        return open(self._path, "a", encoding="utf-8")


def forget_later_lines(path: str | os.PathLike[str], iterations: int) -> None:
    """Takes from a metrics.json what a resumed training does again, and the half line of one that was killed.

    The scores of a training that ended after as many iterations, which Detectron2 writes as those of one more, stay.

    Args:
        path: of the file; it need not be there.
        iterations: how many are done in the checkpoint that training goes on from.

    Raises:
        OutputError: it cannot be written; it is as before then.
    """
    if not os.path.exists(path):
        return
    with open(path, "rb") as file:
        lines = file.readlines()
    kept = [line for line in lines if _stays(line, iterations)]
    if len(kept) < len(lines):
        with written_whole(path) as file:
            file.writelines(kept)


def _stays(line: bytes, iterations: int) -> bool:
    try:
        found = json.loads(line)
        iteration = found["iteration"]
    except (ValueError, KeyError, TypeError):
        return False
    return line.endswith(b"\n") and (iteration < iterations or iteration == iterations and "total_loss" not in found)
