"""tools/benchmark.py --measure video on two seconds of video, and how its time is told apart."""

import threading

import pytest

from transavs.benchmarks import video as video_benchmark
from transavs.video import VideoReader


@pytest.mark.slow
def test_a_videos_parts_are_timed_and_written(run_script, tmp_path):
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- video measured: start -->\nold\n<!-- video measured: end -->\nafter\n")
    done = run_script(
        "tools/benchmark.py",
        "--config-file",
        "configs/toy/toy_s4_R18.yaml",
        "--measure",
        "video",
        "--seconds",
        2,
        "--runs",
        1,
        "--write",
        page,
        "--",
        "MODEL.TRANSAVS.NUM_QUERIES",
        4,
        OMP_NUM_THREADS="1",
    )
    assert done.returncode == 0, done.stdout[-3000:]
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "2 s of video, 640 x 360 at 30 frames a second" in text and "random weights" in text
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]
    assert [row[:3] for row in rows] == [["toy_s4_R18.yaml", "1", "2"], ["toy_s4_R18.yaml", "all 30", "2"]]
    for row in rows:
        total, a_second, *shares, peak = map(float, row[3:])
        assert total > 0 and a_second == pytest.approx(total / 2, abs=0.01) and 0 < peak < 2000
        named = dict(zip([name.removesuffix(" (%)") for name in header[5:-1]], shares, strict=True))
        assert list(named) == ["decoding", "model", "drawing", "encoding"]
        assert all(0 < share < 101 for share in shares)  # each of its own thread


def test_the_video_is_as_described_and_moves(tmp_path):
    video_benchmark.make_video(tmp_path / "video.mp4", 2)
    reader = VideoReader(tmp_path / "video.mp4")
    assert (reader.width, reader.height, reader.fps, reader.audio_rate) == (640, 360, 30, 44100)
    assert reader.duration == pytest.approx(2, abs=0.05)
    sounds = [frame for _, frame in reader.audio_frames()]
    assert sounds[0].layout.name == "stereo" and sum(frame.samples for frame in sounds) == pytest.approx(
        88200, abs=3000
    )
    frames = [frame.astype(int) for _, frame in reader]
    assert len(frames) == 60 and frames[0].std() > 20
    step = video_benchmark.PAN_PIXELS
    assert abs(frames[10] - frames[9]).mean() > 2 * abs(frames[10][:, :-step] - frames[9][:, step:]).mean()


def test_a_moment_counts_for_the_innermost_part_only():
    now = [0]
    stopwatch = video_benchmark.Stopwatch(clock=lambda: now[0])

    def passing(items, seconds):
        for item in items:
            now[0] += seconds
            yield item

    segmented = passing(stopwatch.each("decoding", passing(range(3), 100)), 10)
    for _ in stopwatch.each("model", segmented):
        with stopwatch.part("drawing"):
            now[0] += 7
        now[0] += 1  # outside of all parts
    assert stopwatch.seconds == {"decoding": 300, "model": 30, "drawing": 21}


def test_threads_have_parts_of_their_own():
    now = [0]
    stopwatch = video_benchmark.Stopwatch(clock=lambda: now[0])

    def decode():
        with stopwatch.part("decoding"):
            now[0] += 5

    with stopwatch.part("model"):
        now[0] += 2
        thread = threading.Thread(target=decode)
        thread.start()
        thread.join()
    assert stopwatch.seconds == {"decoding": 5, "model": 7}


def test_of_several_runs_the_median_one_is_shown():
    runs = [{"model": model, "decoding": 2, "total": total} for model, total in ((6, 8), (90, 99), (3, 4))]
    row = video_benchmark.make_row("config.yaml", "source", 4, runs, 12.3)
    assert row == ["config.yaml", "all 30", 4, "8.00", "2.000", "25.0", "75.0", "0.0", "0.0", "12"]
