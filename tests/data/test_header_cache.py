"""The sizes of pictures are read once, and again when a file has changed."""

import json
import os

import pytest
from PIL import Image

from transavs.data import AVSDatasetError, header_cache
from transavs.data.header_cache import HeaderCache


@pytest.fixture
def opened(monkeypatch):
    """The paths of the pictures whose heads are read."""
    paths, read = [], header_cache.image_size
    monkeypatch.setattr(header_cache, "image_size", lambda path, what: paths.append(path) or read(path, what))
    return paths


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "frame.png"
    Image.new("RGB", (7, 5)).save(path)
    return str(path)


def test_a_head_is_read_once_in_this_run_and_the_next(picture, opened, tmp_path):
    cache = HeaderCache(tmp_path / "cache/headers.json")
    assert [cache.size(picture, "frame") for _ in range(3)] == [(7, 5)] * 3
    cache.save()
    assert HeaderCache(tmp_path / "cache/headers.json").size(picture, "frame") == (7, 5)
    assert opened == [picture]


@pytest.mark.parametrize("same_time", [False, True])
def test_a_file_that_has_changed_is_read_again(picture, opened, tmp_path, same_time):
    cache = HeaderCache(tmp_path / "headers.json")
    cache.size(picture, "frame")
    before = os.stat(picture)
    Image.new("RGB", (90, 40)).save(picture)
    time = before.st_mtime_ns if same_time else before.st_mtime_ns + 1
    os.utime(picture, ns=(time, time))
    assert os.stat(picture).st_size != before.st_size
    assert cache.size(picture, "frame") == (90, 40) and len(opened) == 2


def test_a_missing_or_broken_file_is_told_and_not_kept(picture, tmp_path):
    cache = HeaderCache(tmp_path / "headers.json")
    cache.size(picture, "frame")
    os.remove(picture)
    with pytest.raises(AVSDatasetError, match=r"frame\.png"):
        cache.size(picture, "frame")
    with open(picture, "w") as file:
        file.write("no picture")
    for _ in range(2):
        with pytest.raises(AVSDatasetError, match=r"frame\.png"):
            cache.size(picture, "frame")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[1]",
        '{"a": 1}',
        '{"a": [1, 2, 3]}',
        '{"a": [1, 2, 3, "x"]}',
        '{"a": [1, 2, 3, Infinity]}',
        "[" * 99999,
    ],
)
def test_a_file_that_is_no_cache_counts_as_none(picture, tmp_path, content):
    (tmp_path / "headers.json").write_text(content)
    cache = HeaderCache(tmp_path / "headers.json")
    assert cache.size(picture, "frame") == (7, 5)
    cache.save()
    assert list(json.loads((tmp_path / "headers.json").read_text())) == [picture]


def test_where_nothing_can_be_written_it_does_without(picture, tmp_path):
    (tmp_path / "file").write_text("")
    cache = HeaderCache(tmp_path / "file/headers.json")
    assert cache.size(picture, "frame") == (7, 5)
    cache.save()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "frame.png"]
