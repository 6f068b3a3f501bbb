"""Sizes of a dataset's pictures, kept from one reading of their heads to the next."""

import functools
import json
import os
from contextlib import suppress
from pathlib import Path

from .images import image_size
from .layout import FilePath

FILE_NAME = ".headers.json"
Entry = tuple[int, int, int, int]  # the file's bytes and time in nanoseconds when it was read; width and height


class HeaderCache:
    """What the heads of pictures said, by the files' paths; a file that has changed since is read again.

    A dataset's frames and masks are checked whenever it is used: of AVSBench's S4 that is 22,000 heads at the start of
    training, in each process, and 7,400 in each evaluation.

    Args:
        path: where it is kept from one run to the next. A file that is not such a cache counts as none.
    """

    def __init__(self, path: FilePath):
        self.path = Path(path)
        self._entries: dict[str, Entry] = _read_entries(self.path)
        self._changed = False

    def size(self, picture: str, what: str) -> tuple[int, int]:
        """(width, height); as `image_size`, with its errors."""
        try:
            state = os.stat(picture)
        except OSError:
            return image_size(picture, what)  # which tells what is wrong
        found = self._entries.get(picture)
        if found is None or found[:2] != (state.st_size, state.st_mtime_ns):
            found = (state.st_size, state.st_mtime_ns, *image_size(picture, what))
            self._entries[picture] = found
            self._changed = True
        return found[2:]

    def save(self) -> None:
        """Writes what is new; does without where nothing can be written."""
        if not self._changed:
            return
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(self._entries), encoding="utf-8")
            os.replace(partial, self.path)
            self._changed = False
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def header_cache(root: FilePath) -> HeaderCache:
    """The cache of a dataset's folder, kept in it under FILE_NAME."""
    return _cache_at(Path(root) / FILE_NAME)


@functools.cache
def _cache_at(path: Path) -> HeaderCache:
    return HeaderCache(path)


def _read_entries(path: Path) -> dict[str, Entry]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {picture: _entry(values) for picture, values in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return {}


def _entry(values: list[int]) -> Entry:
    size, time, width, height = map(int, values)
    return size, time, width, height
