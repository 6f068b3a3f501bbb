import os
import shutil
import signal
import tempfile
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from transavs import AVSPredictor
from transavs.evaluation.avs_evaluator import decode_mask
from transavs.lake.listing import Location, find_groups, videos_of
from transavs.lake.tables import ERRORS, FRAMES, Tables
from transavs.lake.working import MAX_DEATHS, WAITS, Desks, Model, Worker


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files, which is to be empty again."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(params=["local", "memory"])
def lake(request, tmp_path, put):
    """Three videos, of which the second is broken."""
    folder = Location.at(str(tmp_path / "lake")) if request.param == "local" else request.getfixturevalue("memory")
    for name, content in (("a.mp4", b"2"), ("b.mp4", b"broken"), ("c.mp4", b"1")):
        put(folder, name, content)
    return folder


@pytest.fixture
def output(tmp_path):
    return Location.at(str(tmp_path / "out"))


@pytest.fixture
def work(describe, output):
    """Segments a whole lake, as the process of a run does."""

    def run(lake, run="1", describe=describe, retry_errors=False):
        worker = Worker(lambda: describe, [lake], Tables(output, run), retry_errors)
        (row,) = [worker(row) for row in find_groups(lake, 0)]
        return row["segmented"], row["failed"], row["skipped"]

    return run


def test_each_video_is_in_one_of_the_tables(lake, output, work, rows_of, temporary):
    assert work(lake) == (2, 1, 0)
    names = [(row["path"].rpartition("/")[2], row["frame"]) for row in rows_of(output, FRAMES)]
    assert names == [("a.mp4", 0), ("a.mp4", 1), ("c.mp4", 0)]
    (error,) = rows_of(output, ERRORS)
    address = f"{lake.scheme}{lake.path}/b.mp4"
    assert (error["path"], error["error"], error["size"]) == (address, f"{address}: not a readable video", 6)
    assert list(temporary.iterdir()) == []


def test_what_is_done_is_skipped_by_another_run_and_counted_by_the_same(lake, work):
    assert work(lake) == (2, 1, 0)
    assert work(lake, "1") == (2, 1, 0)  # as after a process that died before it could tell
    assert work(lake, "2") == (0, 0, 3)


def test_errors_are_tried_again_where_asked_for(lake, work, output, rows_of, put):
    assert work(lake, "1") == (2, 1, 0)
    assert work(lake, "2", retry_errors=True) == (0, 1, 2)
    put(lake, "b.mp4", b"3")
    assert work(lake, "3", retry_errors=True) == (1, 0, 2)
    assert rows_of(output, ERRORS) == [] and len(rows_of(output, FRAMES)) == 6


def test_a_video_that_has_changed_is_done_again(lake, work, output, rows_of, put):
    work(lake, "1")
    put(lake, "a.mp4", b"12")  # frames, and another size
    put(lake, "b.mp4", b"4")
    assert work(lake, "2") == (2, 0, 1)
    assert len(rows_of(output, FRAMES)) == 12 + 4 + 1 and rows_of(output, ERRORS) == []


@pytest.mark.parametrize(
    "failure, told",
    [
        (MemoryError(), "MemoryError"),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried"), "CUDA out of memory. Tried"),
    ],
)
def test_a_video_that_needs_too_much_memory_is_an_error(lake, work, output, rows_of, failure, told):
    def describe(path):
        yield from ()
        raise failure

    assert work(lake, describe=describe) == (0, 3, 0)
    assert {row["error"] for row in rows_of(output, ERRORS)} == {told} and rows_of(output, FRAMES) == []


def test_a_video_that_is_gone_is_an_error(lake, work, output, rows_of, describe):
    rows = list(find_groups(lake, 0))
    lake.filesystem.delete_file(f"{lake.path}/a.mp4")
    counts = Worker(lambda: describe, [lake], Tables(output, "1"))(rows[0])
    assert (counts["segmented"], counts["failed"]) == (1, 2)
    assert f"{lake.path}/a.mp4" in rows_of(output, ERRORS)[0]["error"]


def test_an_output_that_fails_is_tried_again_and_ends_the_run_in_the_end(lake, output, describe, rows_of, monkeypatch):
    waited = []

    def full(self, *_):
        raise OSError(28, "No space left on device")

    def wait(seconds):
        waited.append(seconds)
        if len(waited) == 3:
            monkeypatch.undo()

    rows = list(find_groups(lake, 0))
    worker = Worker(lambda: describe, [lake], Tables(output, "1"))
    monkeypatch.setattr(pq.ParquetWriter, "close", full)
    monkeypatch.setattr(time, "sleep", waited.append)
    counts = worker(rows[0])
    assert counts["fatal"].endswith("cannot be written ([Errno 28] No space left on device)")
    assert waited == [0, *WAITS] and rows_of(output, FRAMES) == rows_of(output, ERRORS) == []
    waited.clear()
    monkeypatch.setattr(time, "sleep", wait)
    assert worker(rows[0]) == {"segmented": 2, "failed": 1, "skipped": 0, "unlisted": "", "fatal": ""}


def test_a_model_that_does_not_work_ends_the_run(lake, output, trained):
    cfg = trained.clone()
    cfg.MODEL.WEIGHTS = "s3://models/best.pth"
    (row,) = find_groups(lake, 0)
    worker = Worker(Model(cfg, b"PK no zip", 1).load, [lake], Tables(output, "1"))
    told = "the model does not work there (WeightsError: s3://models/best.pth: not a readable file of weights"
    assert told in worker(row)["fatal"] and Tables(output, "1").are_empty()


@pytest.mark.parametrize("how", ["killed", "bug"])
def test_a_video_that_ends_every_process_is_given_up(lake, output, work, rows_of, temporary, how, describe):
    """Each process is a fork of this one, since it dies."""

    def fatal(path):
        with open(path, "rb") as file:
            if file.read() == b"2":
                if how == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise RuntimeError("CUDA error: an illegal memory access")
        yield from describe(path)

    for _ in range(MAX_DEATHS):
        child = os.fork()
        if not child:
            work(lake, describe=fatal)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == (-signal.SIGKILL if how == "killed" else 1)
        assert rows_of(output, FRAMES) == []
    assert work(lake, describe=fatal) == (1, 2, 0)
    reason = {"killed": "killed, out of memory, or a crash in a library"}.get(
        how, "RuntimeError: CUDA error: an illegal memory access"
    )
    address = f"{lake.scheme}{lake.path}/a.mp4"
    assert rows_of(output, ERRORS)[0]["error"] == f"{address}: ended the process 3 times: {reason}"
    assert len(list(temporary.iterdir())) == MAX_DEATHS
    assert list(temporary.rglob("video*")) == []  # copies of it do not pile up
    Desks("1").clear()
    assert list(temporary.iterdir()) == []


def test_what_processes_of_another_run_left_does_not_count(lake):
    (row,) = find_groups(lake, 0)
    video, other, *_ = videos_of(row, [lake])
    desks = Desks("1")
    with desks.at_work(video) as desk:
        desks.leave(desk, video, "bug")
        assert desks.last_words(video) == ["bug"] and desks.last_words(other) == []
        assert Desks("2").last_words(video) == []
    assert desks.last_words(video) == []


def test_a_model_travels_with_its_weights(trained, tmp_path, write_videos, temporary):
    cfg = trained.clone()
    weights = tmp_path / "here_alone.pth"
    shutil.copy(cfg.MODEL.WEIGHTS, weights)
    cfg.MODEL.WEIGHTS = str(weights)
    model = Model(cfg, weights.read_bytes(), fps=2)
    weights.unlink()
    video = write_videos(tmp_path, 1)[0]
    described = list(model.load()(str(video)))
    expected = AVSPredictor(trained)(video, fps=2)
    assert [frame["time"] for frame in described] == expected["times"] == [0, 0.5, 1, 1.5]
    for frame, soft, objects in zip(described, expected["sem_seg"], expected["instances"]):
        assert np.array_equal(decode_mask(frame["segmentation"]), soft[0] > trained.TEST.MASK_THRESHOLD)
        assert [found["object"] for found in frame["instances"]] == objects.object_number.tolist()
    assert any(frame["instances"] for frame in described) and list(temporary.iterdir()) == []
