"""datasets/make_demo_video.py on Toy, and on small folders of stamps and backgrounds made here: no network."""

import re
import sys

import make_demo_video
import numpy as np
import pytest
import soundfile
from PIL import Image

from transavs.data.synthetic import StampsMaker, ToyMaker, clip_generator
from transavs.data.synthetic import sources as stamps_sources
from transavs.data.synthetic.scenes import frame_progresses
from transavs.video import VideoReader

RATE = 16000


def _run(*arguments):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "argv", ["make_demo_video.py", *map(str, arguments)])
        make_demo_video.main()


def _blotches(rng, rows, columns, pixels):
    """A smooth picture of random colours. Returns: RGB, `pixels` times as many a side as it has rows and columns."""
    colours = Image.fromarray(rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8))
    return colours.resize((columns * pixels, rows * pixels), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The options that name folders of stamps and backgrounds, both of much more detail than a clip's frames."""
    stamps, backgrounds = tmp_path_factory.mktemp("stamps"), tmp_path_factory.mktemp("backgrounds")
    rng = np.random.default_rng(0)
    (stamps / "animals").mkdir()
    for number, name in enumerate(("crow", "dog", "horn", "train")):
        picture = _blotches(rng, 4, 6, 80)
        disc = np.hypot(*np.meshgrid(np.linspace(-1, 1, 480), np.linspace(-1, 1, 320))) < 1
        picture.putalpha(Image.fromarray(disc.astype(np.uint8) * 255))
        picture.save(stamps / f"animals/{name}.png")
        tone = 0.5 * np.sin(2 * np.pi * 300 * 2**number * np.arange(2 * RATE) / RATE)
        soundfile.write(stamps / f"animals/{name}.ogg", tone, RATE, format="OGG", subtype="VORBIS")
    for number in range(6):
        _blotches(rng, 6, 9, 160).save(backgrounds / f"{number}.png")
    return ["--stamps-root", stamps, "--backgrounds-root", backgrounds]


@pytest.fixture(scope="module")
def clips(sources):
    """The test clips of Stamps S4 that a video of two shows, as the dataset has them."""
    maker = StampsMaker(sources[1], sources[3], 128)
    return [maker.make_clip(clip_generator(0, "s4", "test", index), "s4", "test") for index in (0, 40)]


@pytest.fixture(scope="module")
def video(sources, tmp_path_factory):
    """Of two clips, at 4 frames a second. Returns: VideoReader."""
    path = tmp_path_factory.mktemp("video") / "made/here/demo.mp4"
    _run("--num-clips", 2, "--fps", 4, "--size", 256, "--output", path, *sources)
    return VideoReader(path)


def test_a_clips_scene_draws_its_frames_again_and_larger(clips):
    for clip in clips:
        for progress, frame in zip(frame_progresses(), clip.frames):
            assert np.array_equal(clip.scene.draw(progress), frame)
            larger = Image.fromarray(clip.scene.draw(progress, 384)).reduce(3)
            assert np.abs(np.asarray(larger, int) - frame).mean() < 3


def test_the_video_shows_each_clips_frame_in_the_middle_of_its_second(video, clips):
    times, frames = zip(*video)
    assert times == pytest.approx(np.arange(40) / 4) and frames[0].shape == (256, 256, 3)
    for second, expected in enumerate(frame for clip in clips for frame in clip.frames):
        found = Image.fromarray(frames[4 * second + 2]).reduce(2)
        assert np.abs(np.asarray(found, int) - expected).mean() < 5


def test_the_video_moves_in_every_frame_and_jumps_only_between_clips(video):
    frames = np.stack([frame for _, frame in video]).astype(int)
    changes = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    within = np.delete(changes, 19)
    assert within.min() > 0.2 and within.max() < changes[19] / 3


def test_the_video_has_the_clips_sounds_one_after_the_other(video, clips):
    sound, rate = video.read_audio()
    expected = np.concatenate([clip.waveform for clip in clips])
    assert rate == RATE and len(sound) == pytest.approx(len(expected), abs=0.1 * RATE)
    length = min(len(sound), len(expected))
    assert np.corrcoef(sound[:length], expected[:length])[0, 1] > 0.95


def test_one_line_tells_what_the_video_holds(tmp_path, capsys):
    path = tmp_path / "demo.mp4"
    _run("--data", "toy", "--subset", "ms3", "--num-clips", 2, "--fps", 2, "--size", 48, "--output", path)
    line = capsys.readouterr().out
    clip = ToyMaker(64).make_clip(clip_generator(0, "ms3", "test", 0), "ms3", "test")
    assert line.startswith(f"{path}: 2 clips, 10 seconds: {', '.join(clip.objects)}; ") and line.count("\n") == 1
    reader = VideoReader(path)
    assert len(list(reader)) == 20 and (reader.height, reader.width) == (48, 48)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--fps", 0], "--fps is 0, expected at least 1"),
        (["--num-clips", 0], "--num-clips is 0, expected 1 to 80: the test clips of stamps s4"),
        (["--data", "toy", "--num-clips", 41], "--num-clips is 41, expected 1 to 40: the test clips of toy s4"),
        (["--size", 31], "--size is 31, expected at least 32"),
        (["--seed", -1], "--seed is -1, expected 0 or more"),
        (["--stamps-root", "gone", "--backgrounds-root", "gone"], "gone is not a folder"),
    ],
)
def test_a_bad_option_is_named(tmp_path, options, message):
    with pytest.raises(SystemExit, match=re.escape(message)):
        _run("--output", tmp_path / "demo.mp4", *options)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="--output is .*, a folder, expected a file"):
        _run("--data", "toy", "--output", tmp_path)
    with pytest.raises(SystemExit, match="--output is .*demo.mp4, whose folder cannot be made"):
        _run("--data", "toy", "--output", tmp_path / "file/demo.mp4")
    with pytest.raises(SystemExit, match="--output is .*aaa.mp4: cannot be written"):
        _run("--data", "toy", "--num-clips", 1, "--output", tmp_path / f"{'a' * 250}.mp4")  # too long while unfinished


def test_without_debians_packages_one_line_and_status_3(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(stamps_sources, "STAMPS_FOLDER", "usr/share/no/such/folder")
    with pytest.raises(SystemExit) as caught:
        _run("--output", tmp_path / "demo.mp4")
    error = capsys.readouterr().err
    assert caught.value.code == 3
    assert error.startswith("Debian's package tuxpaint-stamps-default cannot be had") and error.count("\n") == 1
