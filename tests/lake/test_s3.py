"""Videos in a store of S3, and tables there."""

import pytest

from transavs.lake.errors import LakeError
from transavs.lake.listing import Location, find_groups
from transavs.lake.tables import ERRORS, FRAMES, Tables
from transavs.lake.working import Worker


def test_what_is_in_s3_is_segmented_into_s3_once_and_again_where_it_has_changed(s3, put, describe, rows_of):
    lake, output = s3 / "videos", s3 / "masks"

    def work(run):
        worker = Worker(lambda: describe, [lake], Tables(output, run))
        counts = [worker(row) for row in find_groups(lake, 0)]
        return [sum(count[became] for count in counts) for became in ("segmented", "failed", "skipped")]

    for name, content in (("a.mp4", b"2"), ("part/b.mp4", b"broken"), ("part/c d.mp4", b"1"), ("notes.txt", b"3")):
        put(lake, name, content)
    assert work("1") == [2, 1, 0]
    assert work("2") == [0, 0, 3]
    put(lake, "part/b.mp4", b"3")
    assert work("3") == [1, 0, 2]
    found = [(row["path"], row["frame"]) for row in rows_of(output, FRAMES)]
    counted = {"a.mp4": 2, "part/b.mp4": 3, "part/c d.mp4": 1}
    assert found == [(f"s3://bucket/videos/{name}", frame) for name in counted for frame in range(counted[name])]
    assert rows_of(output, ERRORS) == []


def test_a_bucket_that_is_not_there_is_told(s3):
    with pytest.raises(LakeError, match="^s3://none/videos: no such folder, expected one of videos$"):
        Location.at("s3://none/videos").info()
    with pytest.raises(LakeError, match=r"^s3://none/out/settings.json: cannot be written \(.*none.*\)$"):
        Tables(Location.at("s3://none/out"), "1").write_file("settings.json", b"{}")


@pytest.mark.slow
def test_the_command_reads_and_writes_s3(s3, run_script, packaged, write_videos, put, rows_of, tmp_path):
    videos = write_videos(tmp_path / "lake", 3, broken=1)
    for video in videos:
        put(s3 / "videos", video.name, video.read_bytes())
    arguments = ["--config-file", packaged, "--input", "s3://bucket/videos", "--output", "s3://bucket/masks"]
    done = run_script("tools/predict_lake.py", *arguments, "--actors", 1, RAY_ADDRESS=None)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "3 videos segmented, 1 failed, 0 skipped: s3://bucket/masks"
    found = [(row["path"], row["time"]) for row in rows_of(s3 / "masks", FRAMES)]
    assert found == [(f"s3://bucket/videos/{video.name}", time) for video in videos[1:] for time in (0, 1)]
    (error,) = rows_of(s3 / "masks", ERRORS)
    assert error["path"] == "s3://bucket/videos/00.mp4" and error["error"].startswith("s3://bucket/videos/00.mp4: ")
