"""Getting a file of weights from a path or an address, and checking it against the SHA-256 that the address carries."""

import hashlib
import os
import re

from detectron2.utils.file_io import PathManager
from iopath.common.file_io import get_cache_dir

# At an address's end; the digest or its first digits.
FRAGMENT = re.compile(r"#sha256=([0-9a-fA-F]{8,64})$")
# In a file's name as PyTorch publishes its weights: resnet50-0676ba61.pth.
DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[^/.]+$")


class WeightsError(ValueError):
    """Weights cannot be had or read, or do not fit; the message names them."""


def local_file(address: str | os.PathLike[str]) -> str:
    """The file at a path or an address, which is downloaded once and kept in Detectron2's cache.

    A digest is checked every time. It stands behind `#sha256=` at the end, or in the file's name as PyTorch publishes
    weights. The one in the name counts for addresses alone: a file of one's own may be called as one likes.

    Args:
        address: of whatever Detectron2's PathManager opens.

    Returns:
        str: a path of an existing file.

    Raises:
        WeightsError: there is no such file, or it has another digest. A downloaded one is removed then.
    """
    address = os.fspath(address)
    if os.path.exists(address):
        return address
    location, expected = _split(address)
    path = PathManager.get_local_path(location)
    if not os.path.exists(path):
        raise WeightsError("no such file, expected a file of weights")
    found = _sha256(path) if expected else ""
    if not found.startswith(expected):
        raise WeightsError(f"has the SHA-256 {found}, expected {expected}{_remove_download(path)}")
    return path


def _split(address: str) -> tuple[str, str]:
    """An address without its fragment, and the digest that it carries, "" where it carries none."""
    fragment = FRAGMENT.search(address)
    if fragment:
        return address[: fragment.start()], fragment[1].lower()
    in_name = DIGEST_IN_NAME.search(address) if "://" in address else None
    return address, in_name[1] if in_name else ""


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove_download(path: str) -> str:
    """Removes a file from the cache of downloads, and no other; returns what to tell of it."""
    cache = os.path.realpath(get_cache_dir())
    if os.path.commonpath([cache, os.path.realpath(path)]) != cache:
        return ""
    os.remove(path)
    return f"; {path} was removed"
