"""What is written of a lake: a table of frames and one of errors, a Parquet file of either for each video.

A file's name comes from its video's address, and is there only once it is whole: however often a video is segmented,
after a process has died or a machine was thought to be dead, the tables hold it once. The file carries the version of
the video, so that another run knows whether it is done.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem, FileType
from pyarrow.lib import NativeFile

from ..data.errors import one_line
from .errors import LakeError
from .listing import Location, Video

T = TypeVar("T")
FRAMES, ERRORS = "frames", "errors"
ROWS_AT_ONCE = 100  # in memory, of a table

MASK = pa.struct({"size": pa.list_(pa.int32()), "counts": pa.string()})  # COCO's compressed RLE
OBJECT = pa.struct({"object": pa.int32(), "score": pa.float32(), "category_id": pa.int32(), "segmentation": MASK})
VIDEO = {"path": pa.string(), "size": pa.int64(), "modified": pa.timestamp("ns", "UTC")}
SCHEMAS = {
    FRAMES: pa.schema(
        {**VIDEO, "frame": pa.int32(), "time": pa.float64(), "segmentation": MASK, "instances": pa.list_(OBJECT)}
    ),
    ERRORS: pa.schema({**VIDEO, "error": pa.string()}),
}


class Entry(NamedTuple):
    """Where this version of a video is.

    Args:
        table: FRAMES or ERRORS.
        is_new: it was put there by this run.
    """

    table: str
    is_new: bool


class Tables:
    """The tables in a folder.

    Args:
        folder: that they are in.
        run: names the run that writes.
    """

    def __init__(self, folder: Location, run: str):
        self.folder, self.run = folder, run
        self._under_way = folder / f"_under_way_{run}"

    def are_empty(self) -> bool:
        """Whether no run has put a video there. Raises: LakeError: they cannot be read."""
        with _told(self.folder, "cannot be read"):
            found = self.folder.filesystem.get_file_info([(self.folder / table).path for table in (FRAMES, ERRORS)])
            return all(info.type == FileType.NotFound for info in found)

    def find(self, video: Video) -> Entry | None:
        """Where this version of the video is already; None where it is in neither table.

        Raises:
            LakeError: the tables cannot be read.
        """
        version = _version(video)
        for table, other in ((FRAMES, ERRORS), (ERRORS, FRAMES)):
            marks = self._marks(self._file(table, video))
            if marks and {key: marks.get(key) for key in version} == version:
                self._remove(self._file(other, video))  # a process died before it did
                return Entry(table, marks.get(b"run") == self.run.encode())
        return None

    def write_frames(self, video: Video, descriptions: Iterable[dict[str, Any]]) -> int:
        """Writes the video's rows, and takes away what the tables had of it.

        Args:
            video: the video.
            descriptions: of its frames, as `engine.video_outputs.describe_frame` gives them.

        Returns:
            int: how many.

        Raises:
            LakeError: the table cannot be written. What the descriptions raise passes as it is.
        """
        numbered = ({"frame": number, **described} for number, described in enumerate(descriptions))
        return self._write(FRAMES, video, numbered)

    def write_error(self, video: Video, error: str) -> None:
        """Writes why the video has no frames, and takes away what the tables had of it.

        Raises:
            LakeError: the table cannot be written.
        """
        self._write(ERRORS, video, [{"error": error}])

    def finish(self) -> None:
        """Removes what processes that died have left half written."""
        with suppress(OSError):
            self.folder.filesystem.delete_dir(self._under_way.path)

    def write_file(self, name: str, content: bytes) -> None:
        """A file beside the tables.

        Raises:
            LakeError: it cannot be written.
        """
        target = self.folder / name
        with self._new_file(target) as stream, _told(target):
            stream.write(content)

    def read_file(self, name: str) -> bytes:
        """The content of a file beside the tables.

        Raises:
            LakeError: it cannot be read.
        """
        target = self.folder / name
        with _told(target, "cannot be read"), target.filesystem.open_input_stream(target.path) as stream:
            return stream.read()

    def _write(self, table: str, video: Video, rows: Iterable[dict[str, Any]]) -> int:
        target, other = self._file(table, video), self._file(ERRORS if table == FRAMES else FRAMES, video)
        schema = SCHEMAS[table].with_metadata({**_version(video), b"run": self.run.encode()})
        constant = {"path": video.address, "size": video.size, "modified": video.modified}
        remaining, count = iter(rows), 0
        with self._new_file(target) as stream:
            with _told(target):
                writer = pq.ParquetWriter(stream, schema, compression="zstd")
            try:
                while some := list(itertools.islice(remaining, ROWS_AT_ONCE)):
                    with _told(target):
                        writer.write_table(pa.Table.from_pylist([{**constant, **row} for row in some], schema))
                    count += len(some)
                with _told(target):
                    writer.close()
            except BaseException:
                with suppress(OSError, pa.ArrowException):
                    writer.close()  # now, while its file is open
                raise
        self._remove(other)
        return count

    @contextmanager
    def _new_file(self, target: Location) -> Iterator[NativeFile]:
        """A file that gets its name once it is whole; nothing of it stays where it fails."""
        filesystem = target.filesystem
        partial = (self._under_way / f"{uuid4()}{PurePosixPath(target.path).suffix}").path
        with _told(target):
            stream = _in_folder(partial, filesystem, lambda: filesystem.open_output_stream(partial))
        try:
            yield stream
            with _told(target):
                stream.close()
                _in_folder(target.path, filesystem, lambda: filesystem.move(partial, target.path))
        except BaseException:
            with suppress(OSError, pa.ArrowException):
                stream.close()
            with suppress(OSError, pa.ArrowException):
                filesystem.delete_file(partial)
            raise

    def _file(self, table: str, video: Video) -> Location:
        return self.folder / table / video.digest[:2] / f"{video.digest}.parquet"

    def _marks(self, file: Location) -> dict[bytes, bytes] | None:
        """What the file says of its video and its run; None where there is no such file, or none that can be read."""
        with _told(file, "cannot be read"):
            try:
                with file.filesystem.open_input_file(file.path) as stream:
                    return pq.read_schema(stream).metadata
            except (FileNotFoundError, pa.ArrowInvalid):
                return None

    def _remove(self, file: Location) -> None:
        with _told(file), suppress(FileNotFoundError):
            file.filesystem.delete_file(file.path)


def _version(video: Video) -> dict[bytes, bytes]:
    return {b"size": str(video.size).encode(), b"modified": str(video.modified).encode()}


def _in_folder(path: str, filesystem: FileSystem, make: Callable[[], T]) -> T:
    """Makes something whose folder may be missing. Stores of objects have no folders, and are not asked for any."""
    try:
        return make()
    except FileNotFoundError:
        filesystem.create_dir(path.rpartition("/")[0])
        return make()


@contextmanager
def _told(file: Location, what: str = "cannot be written") -> Iterator[None]:
    """Names the file that fails."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise LakeError(f"{file}: {what} ({one_line(error)})") from error
