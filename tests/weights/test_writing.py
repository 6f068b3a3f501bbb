"""Files that are there as a whole or not at all."""

import os
import resource
import subprocess

import pytest
import torch

from transavs.weights.writing import PARTIAL, OutputError, written_whole


@pytest.fixture
def small_files():
    """No file can become larger than 50 kB: a write beyond fails in the middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 64 kB."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_file_is_there_once_it_is_whole(tmp_path):
    path = tmp_path / "new" / "file"
    with written_whole(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole" and os.listdir(path.parent) == ["file"]


def test_a_file_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"before" and os.listdir(tmp_path) == ["file"]


def assert_fails(path, reason):
    """A checkpoint too large for the disk."""
    with written_whole(path) as file:
        torch.save({"weight": torch.zeros(10)}, file)
    with pytest.raises(OutputError, match=rf"^{path}: cannot be written \({reason}\)$"), written_whole(path) as file:
        torch.save({"weight": torch.zeros(100_000)}, file)
    assert len(torch.load(path)["weight"]) == 10
    assert not (path.parent / PARTIAL).exists()


def test_a_write_that_fails_in_the_middle_is_told_in_one_line(small_files, tmp_path):
    assert_fails(tmp_path / "model_0000001.pth", "File too large")


def test_a_full_disk_is_told_in_one_line(full_disk):
    assert_fails(full_disk / "model_0000001.pth", "No space left on device")


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("no folder")
    path = tmp_path / "file/model.pth"
    with pytest.raises(OutputError, match=f"^{path}: cannot be written"), written_whole(path):
        pass
