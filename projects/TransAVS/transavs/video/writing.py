"""Video files written, by PyAV, pictures and sound as they come."""

import math
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from types import TracebackType
from typing import Self

import av
import numpy as np

from .limits import VideoError
from .reading import BLOCK_SAMPLES, VideoReader, exact_rate

Sound = VideoReader | tuple[np.ndarray, int]  # the video whose sound it is, or samples and their rate in hertz

WRITING_TICK = Fraction(1, 90000)  # seconds, as in MPEG: a multiple of all usual frame rates' periods
H264_OPTIONS = {"crf": "18", "preset": "veryfast"}
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # hertz


class VideoWriter:
    """Writes an mp4: H.264 in yuv420p, which every player shows, and AAC. It appears whole, or not at all.

    A context manager: leaving it finishes the file, an exception removes it. Frames of odd sides get their last row or
    column twice, since the pixel format knows even ones only.

    Args:
        path: of the file; its folder must exist.
        height, width: of the frames.
        fps: about how many frames come a second; their own times decide when they are shown.
        audio: the video whose sound is kept, or (float32 [samples] mono, rate in hertz); None
            for no sound.

    Raises:
        VideoError: the file cannot be written, or not to its end (a full disk, say).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        height: int,
        width: int,
        fps: float = 25,
        audio: Sound | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self._partial_path = f"{self.path}.{os.getpid()}.part"
        self._size = height, width
        self._durations: dict[int, int] = {}  # ticks, by the packet's time
        self._last_tick = -1
        try:
            self._file = _PartialFile(self._partial_path)
        except OSError as error:
            raise VideoError(f"{self.path}: cannot be written ({error.strerror})") from error
        # Writing through a Python file tells of a full disk; what PyAV itself closes loses the last error.
        self._container = av.open(self._file, "w", format="mp4")
        self._sound = _sound_of(audio)
        try:
            self._video = self._add_video(height, width, fps)
            self._next_sound = next(self._sound, None)
            self._audio = self._add_audio(self._next_sound[1]) if self._next_sound else None
        except BaseException:
            self._discard()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._finish() if kind is None else self._discard()

    def write(self, frame: np.ndarray, time: float | Fraction, duration: float | Fraction | None = None) -> None:
        """
        Args:
            frame: uint8 [height, width, 3], RGB.
            time: seconds, from when on it is shown; later than the frame before.
            duration: seconds; where it matters, for the last frame.

        Raises:
            ValueError: for a frame of another size, or one not later than the one before.
        """
        tick = round(Fraction(time) / WRITING_TICK)
        if frame.shape != (*self._size, 3) or frame.dtype != np.uint8:
            raise ValueError(f"expected a frame uint8 {[*self._size, 3]}, got {frame.dtype} {list(frame.shape)}")
        if tick <= self._last_tick:
            raise ValueError(f"a frame at {float(time):.4f} s does not follow the one before it")
        self._last_tick = tick
        if duration is not None:
            self._durations[tick] = round(Fraction(duration) / WRITING_TICK)
        height, width = self._size
        padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(padded, format="rgb24")
        picture.pts, picture.time_base = tick, WRITING_TICK
        with self._writing():
            self._write_sound_until(time)
            self._mux_pictures(picture)

    def _add_video(self, height: int, width: int, fps: float) -> av.VideoStream:
        stream = self._container.add_stream("libx264", rate=exact_rate(fps), options=H264_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        stream.codec_context.time_base = WRITING_TICK
        return stream

    def _add_audio(self, frame: av.AudioFrame) -> av.AudioStream:
        """The sound's stream, as its first piece is."""
        rate = frame.sample_rate if frame.sample_rate in AAC_RATES else 48000
        channels = "mono" if frame.layout.nb_channels == 1 else "stereo"
        return self._container.add_stream("aac", rate=rate, layout=channels)

    def _mux_pictures(self, picture: av.VideoFrame | None) -> None:
        for packet in self._video.encode(picture):
            packet.duration = self._durations.pop(packet.pts, packet.duration)
            self._container.mux(packet)

    def _write_sound_until(self, time: float | Fraction) -> None:
        """Sound goes along with the pictures, so that none of either waits in memory."""
        while self._audio and self._next_sound and self._next_sound[0] <= time:
            start, frame = self._next_sound
            frame.pts, frame.time_base = round(start * frame.sample_rate), Fraction(1, frame.sample_rate)
            self._container.mux(self._audio.encode(frame))
            self._next_sound = next(self._sound, None)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{self.path}: could not be written to its end ({error.strerror})") from error

    def _finish(self) -> None:
        try:
            with self._writing():
                self._write_sound_until(math.inf)
                self._mux_pictures(None)
                if self._audio:
                    self._container.mux(self._audio.encode(None))
                self._container.close()
                self._file.close()
                os.replace(self._partial_path, self.path)
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        self._sound.close()
        self._file.dropped = True
        for close in (self._container.close, self._file.close):
            with suppress(av.FFmpegError, OSError, ValueError):
                close()
        with suppress(FileNotFoundError):
            os.remove(self._partial_path)


class _PartialFile:
    """The file under way. Once it is dropped, nothing more is written: PyAV prints a trace if closing fails as well."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "wb")
        self.seek, self.tell, self.close = self._file.seek, self._file.tell, self._file.close
        self.dropped = False

    def write(self, data: bytes) -> int:
        return len(data) if self.dropped else self._file.write(data)


def _sound_of(audio: Sound | None) -> Generator[tuple[Fraction, av.AudioFrame], None, None]:
    """Yields (Fraction, av.AudioFrame): seconds, and a piece of the sound that VideoWriter was given."""
    if isinstance(audio, VideoReader):
        yield from audio.audio_frames()
    elif audio is not None:
        waveform, rate = audio
        for start in range(0, len(waveform), BLOCK_SAMPLES):
            block = np.ascontiguousarray(waveform[None, start : start + BLOCK_SAMPLES], dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout="mono")
            frame.sample_rate = rate
            yield Fraction(start, rate), frame
