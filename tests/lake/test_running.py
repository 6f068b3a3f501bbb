import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest
import ray

from transavs.lake import running
from transavs.lake.errors import LakeError
from transavs.lake.listing import Location
from transavs.lake.running import predict_lake
from transavs.lake.tables import ERRORS, FRAMES


class Killer(threading.Thread):
    """Kills the process that segments a video, once some are done."""

    def __init__(self, temporary, output, done):
        super().__init__(daemon=True)
        self.temporary, self.output, self.done = temporary, output, done
        self.killed = None
        self.start()

    def run(self):
        while len(list(self.output.glob("frames/*/*.parquet"))) < self.done:
            time.sleep(0.01)
        while self.killed is None:
            for desk in self.temporary.glob("transavs_lake_*"):
                self.killed = int(desk.name.split("_")[3])
                os.kill(self.killed, signal.SIGKILL)
                return


@pytest.fixture
def segment(run_script, packaged, tmp_path):
    """Runs the command; gives the last line that it prints."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def run(lake, output, *arguments, status=0):
        command = ["--config-file", packaged, "--input", lake, "--output", output, *arguments]
        # Ray's sockets have short names, and lie elsewhere.
        done = run_script("tools/predict_lake.py", *command, TMPDIR=str(temporary), RAY_TMPDIR="/tmp", RAY_ADDRESS=None)
        assert done.returncode == status, done.stdout
        return done.stdout.splitlines()[-1]

    run.temporary = temporary
    return run


def check_tables(output, rows_of, videos, broken, frames):
    """Every video is in one of the tables, once, with so many frames."""
    found = [(row["path"], row["frame"]) for row in rows_of(Location.at(str(output)), FRAMES)]
    assert found == [(str(path), frame) for path in sorted(videos[broken:]) for frame in range(frames)]
    assert [row["path"] for row in rows_of(Location.at(str(output)), ERRORS)] == sorted(map(str, videos[:broken]))
    assert sorted(path.name for path in output.iterdir()) == [ERRORS, FRAMES, "settings.json"]


@pytest.mark.slow
def test_a_small_lake_is_segmented(segment, write_videos, rows_of, tmp_path):
    lake, output = tmp_path / "lake", tmp_path / "out"
    videos = write_videos(lake, 5, broken=1)
    assert segment(lake, output, "--actors", 1) == f"5 videos segmented, 1 failed, 0 skipped: {output}"
    check_tables(output, rows_of, videos, broken=1, frames=2)
    frames = rows_of(Location.at(str(output)), FRAMES)
    assert any(row["instances"] for row in frames) and frames[0]["segmentation"]["size"] == [48, 64]
    assert list(segment.temporary.iterdir()) == []


@pytest.mark.long(minutes=3)
def test_every_video_of_a_lake_is_segmented_once_though_an_actor_is_killed(segment, write_videos, rows_of, tmp_path):
    lake, output = tmp_path / "lake", tmp_path / "out"
    videos = write_videos(lake, 55, broken=5)
    killer = Killer(segment.temporary, output, done=10)
    assert segment(lake, output, "--actors", 2) == f"55 videos segmented, 5 failed, 0 skipped: {output}"
    assert killer.killed
    check_tables(output, rows_of, videos, broken=5, frames=2)
    changed = [output / FRAMES, *(output / FRAMES).rglob("*")]
    before = [path.stat().st_mtime_ns for path in changed]
    videos[0].write_bytes(videos[-1].read_bytes())
    assert segment(lake, output, "--actors", 1, "--resume") == f"1 videos segmented, 0 failed, 59 skipped: {output}"
    check_tables(output, rows_of, videos[1:5] + videos[:1] + videos[5:], broken=4, frames=2)
    written = [path for path, time_before in zip(changed, before) if path.stat().st_mtime_ns != time_before]
    assert all(path.is_dir() for path in written)


def test_what_cannot_be_done_is_told_before_ray_starts(trained, tmp_path, monkeypatch):
    (tmp_path / "lake").mkdir()
    lake, output = Location.at(str(tmp_path / "lake")), Location.at(str(tmp_path / "out"))

    def told(lake=lake, output=output, **options):
        with pytest.raises(LakeError) as error:
            next(predict_lake(trained, [lake], output, **options))
        return str(error.value)

    class Started(Exception):
        pass

    def start(*_):
        raise Started

    monkeypatch.setattr(running, "_start", start)
    none = tmp_path / "none"
    assert told(Location.at(str(none))) == f"{none}: no such folder, expected one of videos"
    assert told(output=Location.at("/proc/out")).startswith("/proc/out/settings.json: cannot be written (")
    for _ in range(2):  # the settings alone are no tables
        with pytest.raises(Started):
            next(predict_lake(trained, [lake], output))
    output.filesystem.create_dir((output / ERRORS).path)
    assert told() == f"{output}: holds the tables of an earlier run; --resume goes on with them"
    with pytest.raises(Started):
        next(predict_lake(trained, [lake], output, fps=1.0, resume=True))
    assert told(fps=2, resume=True) == f"{output}: its tables were made with another fps"
    trained = trained.clone()
    trained.TEST.MASK_THRESHOLD = 0.25
    assert told(fps="source", resume=True) == f"{output}: its tables were made with another config and another fps"
    (tmp_path / "out/settings.json").write_text("[")
    assert told(resume=True).startswith(f"{output}/settings.json: is no JSON of settings (")
    assert not list(tmp_path.glob("out/_under_way*"))


ROW = {"segmented": 2, "failed": 1, "skipped": 0, "unlisted": "", "fatal": ""}


@pytest.mark.parametrize(
    "rows, told",
    [
        ([], "{lake}: holds no video (.3gp, .avi, "),
        ([ROW, {**ROW, "fatal": "out: cannot be written (full)"}], "out: cannot be written (full)"),
        ([ROW, ray.exceptions.RayError("worker\nkilled ")], "Ray has failed: killed; --resume goes on"),
    ],
)
def test_what_ends_a_run_is_told_in_one_line(trained, tmp_path, monkeypatch, rows, told):
    def iter_rows():
        for row in rows:
            if isinstance(row, Exception):
                raise row
            yield row

    (tmp_path / "lake").mkdir()
    lake, output = Location.at(str(tmp_path / "lake")), Location.at(str(tmp_path / "out"))
    monkeypatch.setattr(running, "_start", lambda *_: (1, 0))
    monkeypatch.setattr(running, "_dataset", lambda *_: SimpleNamespace(iter_rows=iter_rows))
    with pytest.raises(LakeError) as error:
        for counts in predict_lake(trained, [lake], output):
            assert (counts.segmented, counts.failed, counts.videos) == (2, 1, 3)
    assert str(error.value).startswith(told.format(lake=lake)) and "\n" not in str(error.value)


def test_what_could_not_be_listed_is_kept_and_is_no_failure(trained, tmp_path, monkeypatch):
    lake, output = Location.at(str(tmp_path)), Location.at(str(tmp_path / "out"))
    rows = [{**ROW, "segmented": 0, "failed": 0, "unlisted": "a: cannot be listed"}, ROW]
    monkeypatch.setattr(running, "_start", lambda *_: (1, 0))
    monkeypatch.setattr(running, "_dataset", lambda *_: SimpleNamespace(iter_rows=lambda: iter(rows)))
    (counts, _) = predict_lake(trained, [lake], output)
    assert counts == running.Counts(segmented=2, failed=1, skipped=0, unlisted=["a: cannot be listed"])
