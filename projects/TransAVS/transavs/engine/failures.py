"""What ends a training from outside its code, told in one line."""

import contextlib
import errno
import logging
import os
from collections.abc import Iterator

from ..weights.writing import OutputError

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)


@contextlib.contextmanager
def told_in_one_line(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Where Detectron2's loop would log the traceback of an error that tells all by itself, the log has its message.

    Args:
        folder: that is written to.

    Raises:
        OutputError: the disk is full or cannot be written.
    """
    logger = logging.getLogger("detectron2.engine.train_loop")
    logger.addFilter(_shorten)
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise OutputError(f"{os.fspath(folder)}: cannot be written ({error.strerror})") from error
    finally:
        logger.removeFilter(_shorten)


def _shorten(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, (FloatingPointError, OutputError)) or getattr(error, "errno", None) in DISK_ERRORS:
        record.msg, record.args, record.exc_info = f"Training ends: {error}", (), None
    return True
