"""Writing of video files."""

import os
import resource

import av
import numpy as np
import pytest

from transavs.video import VideoError, VideoReader, VideoWriter


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_what_is_written_is_read_again(tmp_path, size, pcm_tone):
    height, width = size
    frames = [np.full((height, width, 3), 20 * number, np.uint8) for number in range(10)]
    times = [0, 0.1, 0.2, 0.35, 0.4, 0.7, 1, 1.1, 1.2, 1.5]
    with VideoWriter(tmp_path / "out.mp4", height, width, fps=10, audio=(pcm_tone(2)[0] / 32768, 44100)) as writer:
        for frame, time in zip(frames, times):
            writer.write(frame, time, duration=0.5)
    assert os.listdir(tmp_path) == ["out.mp4"]
    reader = VideoReader(tmp_path / "out.mp4")
    assert (reader.height, reader.width) == (48, 64)  # even
    found_times, found = zip(*reader)
    np.testing.assert_allclose(found_times, times, atol=1e-3)
    assert reader.duration == pytest.approx(2.0, abs=0.01)
    for frame, expected in zip(found, frames):
        assert abs(frame.mean() - expected.mean()) < 3
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    waveform, rate = reader.read_audio()
    assert len(waveform) / rate == pytest.approx(2.0, abs=0.1)
    np.testing.assert_allclose(waveform[rate // 2 : rate], pcm_tone(2)[0][rate // 2 : rate] / 32768, atol=0.02)


@pytest.mark.parametrize("channels, rate, kept_rate", [(2, 44100, 44100), (1, 16000, 16000), (1, 96000, 48000)])
def test_a_videos_sound_is_kept(tmp_path, make_video, frames, channels, rate, kept_rate, pcm_tone):
    source = VideoReader(make_video(frames, sound=pcm_tone(0.8, rate, channels), rate=rate))
    with VideoWriter(tmp_path / "out.mp4", 48, 64, audio=source) as writer:
        for time, frame in source:
            writer.write(frame, time)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(container.streams.audio[0].layout.channels) == channels
    found, found_rate = VideoReader(tmp_path / "out.mp4").read_audio()
    expected, _ = source.read_audio()
    assert found_rate == kept_rate and len(found) / found_rate == pytest.approx(0.8, abs=0.1)
    assert np.square(found).mean() == pytest.approx(np.square(expected).mean(), rel=0.1)


def test_a_failure_leaves_nothing_behind(tmp_path, frames):
    with pytest.raises(KeyError), VideoWriter(tmp_path / "out.mp4", 48, 64) as writer:
        writer.write(frames[0], 0)
        raise KeyError
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "frame, time, message",
    [
        (np.zeros((8, 8, 3), np.uint8), 1, "expected a frame uint8"),
        (np.zeros((48, 64, 3), np.uint8), 0, "does not follow"),
    ],
)
def test_frames_must_fit_and_follow(tmp_path, frames, frame, time, message):
    with pytest.raises(ValueError, match=message), VideoWriter(tmp_path / "out.mp4", 48, 64) as writer:
        writer.write(frames[0], 0)
        writer.write(frame, time)


def test_a_sound_that_fails_at_once_leaves_nothing_behind(tmp_path, make_video, frames, pcm_tone):
    source = make_video(frames, sound=pcm_tone(0.8))
    reader = VideoReader(source)
    source.write_text("no video any more")
    with pytest.raises(VideoError, match="clip.mkv: not a readable video"):
        VideoWriter(tmp_path / "out.mp4", 48, 64, audio=reader)
    assert os.listdir(tmp_path) == ["clip.mkv"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(VideoError, match=r"nowhere/out.mp4: cannot be written \(No such file or directory\)"):
        VideoWriter(tmp_path / "nowhere/out.mp4", 48, 64)


@pytest.fixture
def small_disk():
    """Files end at 20,000 bytes, as if the disk were full there."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_is_told_and_the_part_removed(tmp_path, small_disk, capfd):
    rng = np.random.default_rng(0)
    with pytest.raises(VideoError, match=r"out.mp4: could not be written to its end \(File too large\)"):
        with VideoWriter(tmp_path / "out.mp4", 48, 64) as writer:
            for number in range(30):
                writer.write(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), number / 25)
    assert os.listdir(tmp_path) == [] and capfd.readouterr().err == ""


def test_a_writer_that_is_left_while_the_disk_is_full_says_nothing_of_its_own(tmp_path, small_disk, capfd):
    rng = np.random.default_rng(0)
    with pytest.raises(KeyError), VideoWriter(tmp_path / "out.mp4", 240, 320) as writer:
        for number in range(2):  # of noise: more than fits, once the encoder lets it go
            writer.write(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8), number / 25)
        raise KeyError
    assert os.listdir(tmp_path) == [] and capfd.readouterr().err == ""


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path, frames):
    (tmp_path / "out.mp4").write_text("older")
    with pytest.raises(KeyError), VideoWriter(tmp_path / "out.mp4", 48, 64) as writer:
        writer.write(frames[0], 0)
        raise KeyError
    assert (tmp_path / "out.mp4").read_text() == "older"
