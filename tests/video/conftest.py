"""Videos that are made here: 64 x 48 pixels, and less than a second of work."""

from fractions import Fraction

import av
import numpy as np
import pytest


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


@pytest.fixture
def pcm_tone():
    """Makes a sound of 440 Hz, int16 [channels, samples], each channel softer than the one before."""

    def make(seconds, rate=44100, channels=2):
        wave = np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
        return np.stack([(8000 * wave / (number + 1)).astype(np.int16) for number in range(channels)])

    return make
