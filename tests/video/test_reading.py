"""Reading of video files."""

import os

import av
import numpy as np
import pytest

from transavs.video import VideoError, VideoReader


def test_frames_and_what_is_known_of_them(make_video, frames, pcm_tone):
    reader = VideoReader(make_video(frames, sound=pcm_tone(0.8)))
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
    assert [round(1000 * time) for time, _ in reader] == milliseconds and reader.num_frames == 8
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


def test_stereo_is_averaged_sample_by_sample(make_video, frames, pcm_tone):
    sound = pcm_tone(0.8)
    waveform, rate = VideoReader(make_video(frames, sound=sound)).read_audio()
    assert rate == 44100 and waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, sound.mean(axis=0) / 32768, atol=1e-7)


def test_sound_that_starts_after_the_pictures_is_led_by_silence(make_video, frames, pcm_tone):
    sound = pcm_tone(0.4, channels=1)
    waveform, rate = VideoReader(make_video(frames, sound=sound, sound_from=0.3)).read_audio()
    np.testing.assert_allclose(waveform, np.concatenate([np.zeros(13230), sound[0] / 32768]), atol=1e-7)


def test_pictures_that_start_after_the_sound_keep_their_distance(make_video, frames, pcm_tone):
    path = make_video(frames, range(500, 1300, 100), sound=pcm_tone(1.3, channels=1))
    reader = VideoReader(path)
    assert next(iter(reader))[0] == 0.5 and len(reader.read_audio()[0]) == round(1.3 * 44100)


def test_a_video_without_sound_has_none(make_video, frames):
    reader = VideoReader(make_video(frames))
    assert not reader.has_audio and reader.read_audio() == (None, None)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_a_rate_must_be_positive(make_video, frames, fps):
    with pytest.raises(ValueError, match="must be positive"):
        list(VideoReader(make_video(frames)).sample(fps))


def bad_file(kind, tmp_path, make_video, frames, pcm_tone):
    path = tmp_path / f"{kind}.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not a video at all\n" * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "audio_only":
        make_video(sound=pcm_tone(0.5), name="audio.mkv").rename(path)
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
def test_a_bad_file_is_named_in_one_line(tmp_path, make_video, frames, pcm_tone, kind, message):
    path = bad_file(kind, tmp_path, make_video, frames, pcm_tone)
    with pytest.raises(VideoError, match=message) as raised:
        VideoReader(path)
    assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)


def test_a_file_that_may_not_be_read_says_so(make_video, frames, monkeypatch):
    path = make_video(frames)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read all files
    with pytest.raises(VideoError, match="may not be read"):
        VideoReader(path)


def test_pictures_at_one_time_are_one(make_video, frames):
    times = [time for time, _ in VideoReader(make_video(frames[:3], [0, 100, 100]))]
    assert times == [0, 0.1]


def test_a_sound_of_an_unknown_codec_is_left_out_with_a_warning(make_video, frames, pcm_tone, caplog):
    path = make_video(frames, sound=pcm_tone(0.8))
    data = path.read_bytes()
    assert b"A_PCM/INT/LIT" in data
    path.write_bytes(data.replace(b"A_PCM/INT/LIT", b"A_XYZ/INT/LIT"))
    reader = VideoReader(path)
    assert not reader.has_audio and reader.read_audio() == (None, None)
    assert all(map(np.array_equal, (frame for _, frame in reader), frames))
    assert f"{path}: FFmpeg does not know the codec of its sound" in caplog.text


def test_a_sound_that_begins_again_long_after_the_pictures_is_not_filled_up(make_video, frames, pcm_tone):
    """Its timestamps are wrong: the silence up to there would fill the memory."""
    reader = VideoReader(make_video(frames, sound=pcm_tone(0.5, channels=1), sound_from=900000))
    assert reader.has_audio and sum(map(len, reader.audio_blocks())) == 0


@pytest.mark.parametrize("name", ["huge.mkv", "huge.mov"])
def test_frames_of_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, name):
    path = tmp_path / name
    side = 8208  # just above the limit; 64 MiB of grey
    with av.open(str(path), "w") as container:
        video = container.add_stream("mjpeg" if name.endswith("mkv") else "png", rate=1)
        video.height, video.width, video.pix_fmt = side, side, "yuvj420p" if name.endswith("mkv") else "gray"
        for packet in [*video.encode(av.VideoFrame(side, side, video.pix_fmt)), *video.encode(None)]:
            container.mux(packet)
    with pytest.raises(VideoError, match="expected one of at most 67108864 pixels"):
        VideoReader(path)


def test_timestamps_gone_wrong_are_told_of(make_video, frames):
    with pytest.raises(VideoError, match=r"lasts 2000000 s by its timestamps, expected at most 1000000 s"):
        VideoReader(make_video(frames[:2], [0, 2 * 10**9]))
