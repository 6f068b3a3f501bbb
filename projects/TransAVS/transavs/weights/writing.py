"""Files that are there as a whole or not at all, whatever happens while they are written."""

import contextlib
import os
from collections.abc import Iterator
from typing import IO

PARTIAL = "partial.tmp"  # in the file's folder; one name for all, so that processes that are killed leave one at most


class OutputError(Exception):
    """What training writes cannot be written; the message names the file or folder."""


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file to write, which takes the place of `path` once it is whole and on the disk.

    Raises:
        OutputError: it cannot be written; what was at `path` is there as before.
    """
    folder = os.path.dirname(os.path.abspath(path))
    partial = os.path.join(folder, PARTIAL)
    try:
        os.makedirs(folder, exist_ok=True)
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(folder)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        reason = _os_error_of(error)
        if reason is None:
            raise
        raise OutputError(f"{os.fspath(path)}: cannot be written ({reason.strerror})") from error


def _os_error_of(error: BaseException | None) -> OSError | None:
    """torch.save covers what the file said by an error of its own."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def _sync_folder(folder: str) -> None:
    """So that the new name outlives a loss of power, where the file system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
