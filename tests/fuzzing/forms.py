"""What a file to begin with is, and how a reader is told."""

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Parts = Sequence[bytes]


@dataclass(frozen=True)
class Base:
    """A file to begin with.

    Args:
        name: what the mutated files are called.
        parts: what of it is mutated, each by itself.
        join: makes a file of the parts; it computes checksums and lengths, so that the reader gets beyond them.
    """

    name: str
    parts: Parts
    join: Callable[[Parts], bytes] = b"".join


@dataclass(frozen=True)
class Reader:
    """
    Args:
        read: gets the path of a file.
        bases: made in a folder.
        errors: that it documents.
        tells_rows: whether it tells what is wrong row by row, below its first line.
    """

    read: Callable[[Path], object]
    bases: Callable[[Path], list[Base]]
    errors: tuple[type[Exception], ...]
    tells_rows: bool = False


def whole(path: Path) -> Base:
    return Base(path.name, [path.read_bytes()])


def png_parts(data: bytes) -> Parts:
    """Each chunk's name and content."""
    parts, place = [], 8
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        parts.append(data[place + 4 : place + 8 + length])
        place += 12 + length
    return parts


def join_png(parts: Parts) -> bytes:
    chunks = [struct.pack(">I", max(0, len(part) - 4)) + part + struct.pack(">I", zlib.crc32(part)) for part in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
