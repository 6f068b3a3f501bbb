"""Reading and writing of video files; every file is made here, 64 x 48 pixels and smaller than a second's work."""

import os
import resource
from fractions import Fraction

import av
import numpy as np
import pytest

from transavs.video import VideoError, VideoReader, VideoWriter


@pytest.fixture
def make_video(tmp_path):
    """Writes a lossless video: frames, their milliseconds, and a sound int16 [channels, samples] from a time on."""

    def make(frames=(), milliseconds=None, sound=None, rate=44100, sound_from=0, name="clip.mkv", rotation=None):
        path = tmp_path / name
        milliseconds = range(0, 100 * len(frames), 100) if milliseconds is None else milliseconds
        with av.open(str(path), "w") as container:
            streams = []
            if len(frames):
                codec, pixels = ("ffv1", "bgr0") if name.endswith("mkv") else ("png", "rgb24")
                video = container.add_stream(codec, rate=10)
                video.height, video.width, video.pix_fmt = *frames[0].shape[:2], pixels
                video.codec_context.time_base = Fraction(1, 1000)
                if rotation is not None:
                    video.set_display_rotation(rotation)
                streams.append(video)
            if sound is not None:
                layout = "stereo" if len(sound) == 2 else "mono"
                streams.append(container.add_stream("pcm_s16le", rate=rate, layout=layout))
                packed = np.ascontiguousarray(sound.T.reshape(1, -1))
                piece = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
                piece.sample_rate, piece.pts, piece.time_base = rate, round(sound_from * rate), Fraction(1, rate)
                container.mux(streams[-1].encode(piece))
            for frame, time in zip(frames, milliseconds):
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
                picture.pts, picture.time_base = time, Fraction(1, 1000)
                container.mux(video.encode(picture))
            for stream in streams:
                container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(8)]


def tone(seconds, rate=44100, channels=2):
    wave = np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    return np.stack([(8000 * wave / (number + 1)).astype(np.int16) for number in range(channels)])


def test_frames_and_what_is_known_of_them(make_video, frames):
    reader = VideoReader(make_video(frames, sound=tone(0.8)))
    assert (reader.height, reader.width, reader.fps, reader.rotation) == (48, 64, 10, 0)
    assert reader.duration == pytest.approx(0.8, abs=0.01) and reader.has_audio and reader.audio_rate == 44100
    for _ in range(2):  # it may be read again
        times, found = zip(*reader)
        np.testing.assert_allclose(times, np.arange(8) / 10)
        assert all(map(np.array_equal, found, frames))


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_phones_rotation_is_honoured(make_video, frames, rotation):
    reader = VideoReader(make_video(frames, name="phone.mov", rotation=rotation))
    assert reader.rotation == rotation % 360
    expected = np.rot90(frames[0], rotation // 90)
    assert (reader.height, reader.width) == expected.shape[:2]
    assert np.array_equal(next(iter(reader))[1], expected)


def test_frames_of_a_variable_rate_keep_their_times(make_video, frames):
    milliseconds = [0, 100, 150, 900, 1300, 2900, 3000, 3100]
    reader = VideoReader(make_video(frames, milliseconds))
    assert [round(1000 * time) for time, _ in reader] == milliseconds
    # On screen at 0.5, 1.5 and 2.5 s.
    chosen = list(reader.sample(1))
    assert [time for time, _ in chosen] == [0, 1, 2] and reader.num_seconds(1) == 3
    for (_, found), number in zip(chosen, (2, 4, 4)):
        assert np.array_equal(found, frames[number])
    assert reader.num_seconds("source") == 4


def test_a_rate_above_the_videos_repeats_frames(make_video, frames):
    reader = VideoReader(make_video(frames[:2], [0, 100]))
    times, found = zip(*reader.sample(20))
    assert [float(time) for time in times] == [0, 0.05, 0.1, 0.15]
    assert [np.array_equal(frame, frames[0]) for frame in found] == [True, True, False, False]


@pytest.mark.parametrize("count, seconds", [(1, 1), (8, 1)])
def test_a_short_video_has_one_frame_at_least(make_video, frames, count, seconds):
    assert len(list(VideoReader(make_video(frames[:count])).sample(1))) == seconds


def test_stereo_is_averaged_sample_by_sample(make_video, frames):
    sound = tone(0.8)
    waveform, rate = VideoReader(make_video(frames, sound=sound)).read_audio()
    assert rate == 44100 and waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, sound.mean(axis=0) / 32768, atol=1e-7)


def test_sound_that_starts_after_the_pictures_is_led_by_silence(make_video, frames):
    sound = tone(0.4, channels=1)
    waveform, rate = VideoReader(make_video(frames, sound=sound, sound_from=0.3)).read_audio()
    np.testing.assert_allclose(waveform, np.concatenate([np.zeros(13230), sound[0] / 32768]), atol=1e-7)


def test_pictures_that_start_after_the_sound_keep_their_distance(make_video, frames):
    path = make_video(frames, range(500, 1300, 100), sound=tone(1.3, channels=1))
    reader = VideoReader(path)
    assert next(iter(reader))[0] == 0.5 and len(reader.read_audio()[0]) == round(1.3 * 44100)


def test_a_video_without_sound_has_none(make_video, frames):
    reader = VideoReader(make_video(frames))
    assert not reader.has_audio and reader.read_audio() == (None, None)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_a_rate_must_be_positive(make_video, frames, fps):
    with pytest.raises(ValueError, match="must be positive"):
        list(VideoReader(make_video(frames)).sample(fps))


def bad_file(kind, tmp_path, make_video, frames):
    path = tmp_path / f"{kind}.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not a video at all\n" * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "audio_only":
        make_video(sound=tone(0.5), name="audio.mkv").rename(path)
    elif kind == "picture":
        av.VideoFrame.from_ndarray(frames[0], format="rgb24").to_image().save(path, "png")
    elif kind == "one_pixel":
        make_video([np.zeros((1, 1, 3), np.uint8)]).rename(path)
    elif kind == "truncated":
        whole = make_video(frames, name="whole.mp4").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "playlist":
        other = tmp_path / "private.ts"
        with av.open(str(other), "w") as container:
            video = container.add_stream("mpeg2video", rate=25)
            video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
            for frame in [*frames, None]:
                picture = frame if frame is None else av.VideoFrame.from_ndarray(frame, format="rgb24")
                container.mux(video.encode(picture))
        assert VideoReader(other).height == 48
        path = path.with_suffix(".m3u8")
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{other}\n#EXT-X-ENDLIST\n")
    elif kind == "cut_off":  # the index stands first, but most of what it lists is gone
        with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
            video = container.add_stream("png", rate=1)
            video.height, video.width, video.pix_fmt = 48, 64, "rgb24"
            for frame in frames:
                container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(video.encode(None))
        path.write_bytes(path.read_bytes()[:30000])
    return path


@pytest.mark.parametrize(
    "kind, message",
    [
        ("missing", "no such file"),
        ("empty", r"the file is empty \(0 bytes\)"),
        ("text", "not a readable video"),
        ("folder", "is a folder"),
        ("audio_only", "holds only sound, expected a video"),
        ("picture", "is a picture or a text"),
        ("one_pixel", r"frames are 1x1 pixels \(width x height\), expected at least 16x16"),
        ("truncated", "not a readable video"),
        ("playlist", "not a readable video"),
        ("cut_off", r"is cut off: pictures of \d\.\d\d s, expected 8\.00 s"),
    ],
)
def test_a_bad_file_is_named_in_one_line(tmp_path, make_video, frames, kind, message):
    path = bad_file(kind, tmp_path, make_video, frames)
    with pytest.raises(VideoError, match=message) as raised:
        VideoReader(path)
    assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)


def test_a_file_that_may_not_be_read_says_so(make_video, frames, monkeypatch):
    path = make_video(frames)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read all files
    with pytest.raises(VideoError, match="may not be read"):
        VideoReader(path)


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_what_is_written_is_read_again(tmp_path, size):
    height, width = size
    frames = [np.full((height, width, 3), 20 * number, np.uint8) for number in range(10)]
    times = [0, 0.1, 0.2, 0.35, 0.4, 0.7, 1, 1.1, 1.2, 1.5]
    with VideoWriter(tmp_path / "out.mp4", height, width, fps=10, audio=(tone(2)[0] / 32768, 44100)) as writer:
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
    np.testing.assert_allclose(waveform[rate // 2 : rate], tone(2)[0][rate // 2 : rate] / 32768, atol=0.02)


@pytest.mark.parametrize("channels, rate, kept_rate", [(2, 44100, 44100), (1, 16000, 16000), (1, 96000, 48000)])
def test_a_videos_sound_is_kept(tmp_path, make_video, frames, channels, rate, kept_rate):
    source = VideoReader(make_video(frames, sound=tone(0.8, rate, channels), rate=rate))
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


def test_a_sound_that_fails_at_once_leaves_nothing_behind(tmp_path, make_video, frames):
    source = make_video(frames, sound=tone(0.8))
    reader = VideoReader(source)
    source.write_text("no video any more")
    with pytest.raises(VideoError, match="clip.mkv: not a readable video"):
        VideoWriter(tmp_path / "out.mp4", 48, 64, audio=reader)
    assert os.listdir(tmp_path) == ["clip.mkv"]


def test_pictures_at_one_time_are_one(make_video, frames):
    times = [time for time, _ in VideoReader(make_video(frames[:3], [0, 100, 100]))]
    assert times == [0, 0.1]


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
