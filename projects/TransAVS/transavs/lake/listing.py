"""The videos of a lake, found folder by folder: a list of all of them is never made."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType, LocalFileSystem

from ..data.errors import one_line
from ..video import VIDEO_SUFFIXES
from .errors import LakeError

Row = dict[str, Any]  # of Ray Data
# Of the videos that are segmented one after the other in one task: many of short ones, since a task costs Ray
# milliseconds, and few of long ones, since their tasks are to end at about the same time.
MAX_GROUP_VIDEOS = 8
MAX_GROUP_BYTES = 64 << 20


class Video(NamedTuple):
    """One version of a video.

    Args:
        address: as a user names it: "/lake/a.mp4", "s3://lake/a.mp4".
        path: as its filesystem names it.
        size: bytes.
        modified: nanoseconds since 1970; 0 where the store does not tell.
    """

    address: str
    path: str
    size: int
    modified: int

    @property
    def digest(self) -> str:
        """Of its address: a name that is short, of plain letters, and not that of a folder outside."""
        return hashlib.sha256(self.address.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Location:
    """A folder or a file, on this machine or in a store.

    Args:
        filesystem: that it is in.
        path: as the filesystem names it.
        scheme: what makes an address of a path: "s3://"; "" on this machine.
    """

    filesystem: FileSystem
    path: str
    scheme: str = ""

    @classmethod
    def at(cls, address: str) -> Self:
        """Of a path, or of a URI that PyArrow knows: s3://, gs://, abfs://, hdfs://.

        Raises:
            LakeError: the URI is of another kind, or its store cannot be reached.
        """
        if "://" not in address:
            return cls(LocalFileSystem(), os.path.abspath(address))
        try:
            filesystem, path = FileSystem.from_uri(address)
        except (pa.ArrowException, OSError) as error:
            raise LakeError(f"{address}: cannot be opened ({one_line(error)})") from error
        return cls(filesystem, path, f"{address.partition('://')[0]}://")

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, LocalFileSystem)

    def __str__(self) -> str:
        return self.scheme + self.path

    def __truediv__(self, name: str) -> "Location":
        return Location(self.filesystem, f"{self.path}/{name}" if self.path else name, self.scheme)

    def info(self) -> FileInfo:
        """Raises: LakeError: there is nothing, or the store cannot be reached."""
        try:
            info = self.filesystem.get_file_info(self.path)
        except (pa.ArrowException, OSError) as error:
            raise LakeError(f"{self}: cannot be read ({one_line(error)})") from error
        if info.type == FileType.NotFound:
            raise LakeError(f"{self}: no such folder, expected one of videos")
        return info


def find_groups(lake: Location, number: int) -> Iterator[Row]:
    """Videos to be segmented together, as a row for Ray: see `videos_of`.

    Args:
        lake: a folder, or one video.
        number: the lake's, among several.

    Yields:
        dict: `lake`, its number; `paths`, `sizes` and `modified` of the videos; `unlisted`, in a row of no videos:
        what cannot be listed, and why.
    """
    group: list[FileInfo] = []
    for found in _walk(lake):
        if isinstance(found, str):
            yield _row(number, [], found)
            continue
        if group and (len(group) == MAX_GROUP_VIDEOS or _bytes_of([*group, found]) > MAX_GROUP_BYTES):
            yield _row(number, group)
            group = []
        group.append(found)
    if group:
        yield _row(number, group)


def videos_of(row: Row, lakes: Sequence[Location]) -> list[Video]:
    lake = lakes[int(row["lake"])]
    columns = zip(row["paths"], row["sizes"], row["modified"])
    return [Video(lake.scheme + path, str(path), int(size), int(modified)) for path, size, modified in columns]


def _walk(lake: Location) -> Iterator[FileInfo | str]:
    """Videos, folder by folder, in the order of their names, which a listing that is done again needs; and what is
    wrong with a folder that cannot be listed. Links to folders are not followed: they may lead in a circle."""
    try:
        info = lake.info()
    except LakeError as error:
        yield str(error)
        return
    if info.is_file:
        yield info
        return
    folders = [lake.path]
    while folders:
        folder = folders.pop()
        try:
            entries = lake.filesystem.get_file_info(FileSelector(folder))
        except (pa.ArrowException, OSError) as error:
            yield f"{lake.scheme}{folder}: cannot be listed ({one_line(error)})"
            continue
        found, unreadable = _named(entries)
        yield from (f"{lake.scheme}{folder}: a name in it is no UTF-8: {name!r}" for name in unreadable)
        for path, entry in found:
            if entry.is_file and path.lower().endswith(VIDEO_SUFFIXES):
                yield entry
        folders += [
            path
            for path, entry in reversed(found)
            if entry.type == FileType.Directory and not (lake.is_local and os.path.islink(path))
        ]


def _named(entries: Sequence[FileInfo]) -> tuple[list[tuple[str, FileInfo]], list[bytes]]:
    """Entries with their paths, sorted by them; and the paths that cannot be decoded."""
    found, unreadable = [], []
    for entry in entries:
        try:
            found.append((entry.path, entry))
        except UnicodeDecodeError as error:
            unreadable.append(error.object)
    return sorted(found), sorted(unreadable)


def _bytes_of(videos: Sequence[FileInfo]) -> int:
    return sum(video.size or 0 for video in videos)


def _row(number: int, videos: Sequence[FileInfo], unlisted: str = "") -> Row:
    return {
        "lake": number,
        "paths": [video.path for video in videos],
        "sizes": [video.size or 0 for video in videos],
        "modified": [video.mtime_ns or 0 for video in videos],
        "unlisted": unlisted,
    }
