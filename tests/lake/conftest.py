"""Lakes of a few files, some in memory or in a store of S3 on this machine, and a model that needs no time."""

import logging

import fsspec
import numpy as np
import pyarrow.dataset
import pytest
from moto.server import ThreadedMotoServer
from pyarrow.fs import FSSpecHandler, PyFileSystem, S3FileSystem

from transavs.lake.listing import Location
from transavs.video import VideoError, VideoWriter

MASK = {"size": [2, 3], "counts": "132"}
OBJECT = {"object": 1, "score": 0.75, "category_id": 0, "segmentation": MASK}


@pytest.fixture
def memory():
    """A store in memory, as a folder."""
    filesystem = fsspec.filesystem("memory")
    yield Location(PyFileSystem(FSSpecHandler(filesystem)), "/bucket", "memory://")
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


@pytest.fixture
def s3(monkeypatch):
    """A bucket of S3 on 127.0.0.1, here and in the processes that are started."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # which tells of each request
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    keys = {"ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "secret", "DEFAULT_REGION": "us-east-1"}
    for name, value in keys.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
    store, _ = S3FileSystem.from_uri("s3://bucket?allow_bucket_creation=true&allow_bucket_deletion=true")
    store.create_dir("bucket")
    yield Location.at("s3://bucket")
    store.delete_dir("bucket")
    server.stop()


@pytest.fixture
def put():
    """Writes a file of some content below a folder, and gives its path."""

    def write(folder, name, content=b"3"):
        filesystem, path = folder.filesystem, f"{folder.path}/{name}"
        filesystem.create_dir(path.rpartition("/")[0])
        with filesystem.open_output_stream(path) as stream:
            stream.write(content)
        return path

    return write


@pytest.fixture
def describe():
    """Describes as many frames as the file's content says; what is no number is a broken video."""

    def read(path):
        with open(path, "rb") as file:
            content = file.read()
        if not content.isdigit():
            raise VideoError(f"{path}: not a readable video")
        for second in range(int(content)):
            yield {"time": float(second), "segmentation": MASK, "instances": [OBJECT] * second}

    return read


@pytest.fixture
def rows_of():
    """Gives the rows of a table, sorted, as a user reads them; [] where there is none."""

    def read(output, table):
        folder = output / table
        if not folder.filesystem.get_file_info(folder.path).type:
            return []
        read = pyarrow.dataset.dataset(folder.path, filesystem=folder.filesystem).to_table().to_pylist()
        return sorted(read, key=lambda row: (row["path"], row.get("frame", 0)))

    return read


@pytest.fixture(scope="session")
def write_videos():
    """Writes videos of two seconds, 64 x 48, at five frames a second, and files that are none; gives their paths."""

    def write(folder, count, broken=0):
        rng = np.random.default_rng(0)
        sound = 0.2 * np.sin(2 * np.pi * 440 * np.arange(32000) / 16000)
        paths = [folder / f"part{number % 3}" / f"{number:02d}.mp4" for number in range(count + broken)]
        for number, path in enumerate(paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            if number < broken:
                path.write_bytes(b"not a video")
                continue
            with VideoWriter(path, 48, 64, fps=5, audio=(sound, 16000)) as writer:
                for frame in range(10):
                    pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
                    writer.write(np.kron(pixels, np.ones((8, 8, 1), np.uint8)), frame / 5, 0.2)
        return paths

    return write
