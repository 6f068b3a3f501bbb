"""Video files, by PyAV: frames with their times, and their sound in pieces.

Time 0 of a video is where its pictures or its sound begin, whichever is first, so that the two stay together. Files are
decoded as they are read: memory does not grow with their length.
"""

import itertools
import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import Any, Final, Literal

import av
import numpy as np
from av.container import InputContainer

from .limits import MAX_PIXELS, VideoError, check_file, check_limits

logger = logging.getLogger(__name__)

FrameRate = float | Fraction | Literal["source"]  # frames a second
SOURCE_RATE: Final = "source"  # in place of a frame rate: every frame of the video, at its own time
VIDEO_SUFFIXES = (".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ogv", ".ts", ".webm", ".wmv")
# Read as FFmpeg names them; a playlist is not among them, since it could name any other file of the machine. Pictures
# and sounds are, for a better message.
FORMATS = (
    "mov,matroska,avi,flv,mpeg,mpegts,asf,ogg,gif,mxf,nut,ivf,dv,rm,mpegvideo,h264,hevc,mjpeg,yuv4mpegpipe,"
    "wav,mp3,flac,aac,tty,image2,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe"
)
MIN_SHARE_FOUND = 0.9  # of the pictures' length that the file declares; with less of it there, the file was cut off
MAX_DRIFT_SECONDS = 0.1  # between the sound's timestamps and its samples: more is a gap, and filled with silence
BLOCK_SAMPLES = 1 << 14  # of a waveform at once, to the encoder and of silence


class VideoReader:
    """A video file, probed when made; it may be iterated any number of times, and its sound be read meanwhile.

    Attributes:
        path: as it was given.
        height, width: of the frames as they are shown, that is, rotated.
        fps: frames a second on average, as the file has it.
        duration: seconds from time 0 to the end of the last frame.
        last_frame_time (Fraction): seconds; where the last frame begins.
        rotation: degrees, counterclockwise, by which stored frames are turned to be shown: 0, 90, 180 or 270.
        num_frames: how many there are, as the file's packets have it.
        has_audio: whether there is a sound that can be decoded; where its codec is unknown, a warning says so.
        audio_rate: samples a second; None without sound.

    Raises:
        VideoError: the file is missing, empty, unreadable, cut off, not a video, without a frame, or its frames are too
            small or too large.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        check_file(self.path)
        with self._opened() as container:
            self._probe(container)
        check_limits(self.path, self.width, self.height, self.duration, self.audio_rate)

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yields (float, ndarray): each frame's time in seconds and its pixels, uint8 [H, W, 3], RGB, rotated."""
        for time, frame in self.sample(SOURCE_RATE):
            yield float(time), frame

    def sample(self, fps: FrameRate) -> Iterator[tuple[Fraction, np.ndarray]]:
        """Frames at a rate: for the i-th interval of 1 / fps seconds the frame that is on screen in its middle.

        One that stays longer comes again; others are decoded but never converted. The last interval counts where
        the video fills more than half of it. There is at least one frame.

        Args:
            fps: frames a second; "source": each frame once, at its own time.

        Yields:
            (Fraction, ndarray): seconds, i / fps, and uint8 [H, W, 3], RGB, rotated.

        Raises:
            ValueError: for a rate that is not positive.
            VideoError: the file cannot be decoded.
        """
        if fps == SOURCE_RATE:
            return ((time, self._pixels(frame)) for time, frame in self._decoded())
        return self._sample_intervals(exact_rate(fps))

    def num_seconds(self, fps: FrameRate) -> int:
        """How many seconds, counted from time 0 and rounded up, the frames of `sample(fps)` lie in."""
        if fps == SOURCE_RATE:
            return int(self.last_frame_time) + 1
        fps = exact_rate(fps)
        last_interval = max(int(self._first_frame_time * fps), math.ceil(self._end * fps - Fraction(1, 2)) - 1)
        return int(last_interval / fps) + 1

    def audio_blocks(self) -> Iterator[np.ndarray]:
        """The sound as it is decoded, from time 0 on: channels averaged, gaps between timestamps filled with silence.

        Yields:
            float32 [n] in [-1, 1], at `audio_rate`; nothing at all without sound.
        """
        if self.audio_rate is None:
            return
        written = 0  # samples
        for time, frame in self.audio_frames():
            samples = self._mono(frame)
            ahead = round(time * self.audio_rate) - written
            if not written or abs(ahead) > MAX_DRIFT_SECONDS * self.audio_rate:
                if time > self._end:  # beyond the pictures, however far
                    return
                for start in range(0, ahead, BLOCK_SAMPLES):
                    yield np.zeros(min(BLOCK_SAMPLES, ahead - start), np.float32)
                samples = samples[max(0, -ahead) :]
                written += max(0, ahead)
            written += len(samples)
            yield samples

    def read_audio(self) -> tuple[np.ndarray, int] | tuple[None, None]:
        """The whole sound: (float32 [samples] in [-1, 1], mono, rate in hertz); (None, None) without one."""
        blocks = list(self.audio_blocks())
        return (np.concatenate(blocks), self.audio_rate) if blocks and self.audio_rate else (None, None)

    def audio_frames(self) -> Iterator[tuple[Fraction, av.AudioFrame]]:
        """Yields (Fraction, av.AudioFrame): the sound as decoded, each piece with its time in seconds."""
        if not self.has_audio:
            return
        with self._opened() as container:
            time = Fraction(0)
            for frame in _decode(container, self._audio_stream(container), self.path):
                if frame.pts is not None:
                    time = max(Fraction(0), _seconds(frame.pts, frame) - self._origin)
                yield time, frame
                time += Fraction(frame.samples, frame.sample_rate)

    @contextmanager
    def _opened(self) -> Iterator[InputContainer]:
        """The file's container; what PyAV raises while it is open becomes a VideoError."""
        # Nothing is fetched from elsewhere, and a colon in the name is not taken for a protocol.
        options = {"protocol_whitelist": "file", "format_whitelist": FORMATS, "max_pixels": str(MAX_PIXELS)}
        try:
            with av.open("file:" + self.path, options=options, metadata_errors="ignore") as container:
                yield container
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{self.path}: not a readable video ({error.strerror})") from error

    def _video_stream(self, container: InputContainer) -> av.VideoStream:
        streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        name = container.format.name
        if name == "tty" or name == "image2" or name.endswith("_pipe"):
            raise VideoError(f"{self.path}: is a picture or a text ({name}), expected a video")
        if not streams:
            found = "only sound" if container.streams.audio else "no pictures"
            raise VideoError(f"{self.path}: holds {found}, expected a video")
        if not streams[0].codec_context:
            raise VideoError(f"{self.path}: FFmpeg does not know the codec of its pictures")
        if not streams[0].width:  # more pixels than `max_pixels`, or a broken header
            raise VideoError(f"{self.path}: frames are of no known size, expected one of at most {MAX_PIXELS} pixels")
        streams[0].codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        return streams[0]

    def _audio_stream(self, container: InputContainer) -> av.AudioStream | None:
        """The first one that can be decoded."""
        return next((stream for stream in container.streams.audio if stream.codec_context), None)

    def _probe(self, container: InputContainer) -> None:
        """Reads the file once: all packets' times, which the header may lack or have wrong, and the first frame."""
        video = self._video_stream(container)
        first: av.VideoFrame | None = None
        span: tuple[Fraction, Fraction, Fraction] | None = None  # begin of the first and of the last, end, in seconds
        rate = Fraction(video.average_rate or video.guessed_rate or 25)
        self.fps, self._frame_seconds = float(rate), 1 / rate
        num_frames = 0
        for packet in container.demux(video):
            if first is None:
                with suppress(av.InvalidDataError):
                    first = next(iter(packet.decode()), None)
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is None or packet.is_discard:
                continue
            num_frames += 1
            time = _seconds(stamp, video)
            end = time + (_seconds(packet.duration or 0, video) or self._frame_seconds)
            span = (min(span[0], time), max(span[1], time), max(span[2], end)) if span else (time, time, end)
        if first is None or span is None:
            raise VideoError(f"{self.path}: holds no frame that can be decoded")
        begin, last, end = span
        self._check_complete(video, end - begin)
        audio = self._audio_stream(container)
        if audio is None and container.streams.audio:
            logger.warning("%s: FFmpeg does not know the codec of its sound, which is left out.", self.path)
        self._origin = begin
        if audio is not None and audio.start_time is not None:
            self._origin = min(begin, _seconds(audio.start_time, audio))
        self._first_frame_time, self._end = begin - self._origin, end - self._origin
        self.duration, self.last_frame_time = float(self._end), last - self._origin
        self.rotation = round(first.rotation / 90) * 90 % 360
        self._stored_size = first.width, first.height
        self.height, self.width = (first.width, first.height) if self.rotation % 180 else (first.height, first.width)
        self.has_audio = audio is not None
        self.audio_rate = audio.codec_context.sample_rate if audio else None
        self.num_frames = num_frames

    def _check_complete(self, video: av.VideoStream, found: Fraction) -> None:
        declared = _seconds(video.duration or 0, video)
        if found + self._frame_seconds < MIN_SHARE_FOUND * declared:
            seconds = f"{float(found):.2f} s, expected {float(declared):.2f} s"
            raise VideoError(f"{self.path}: is cut off: pictures of {seconds}")

    def _decoded(self) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        """Yields (Fraction, av.VideoFrame): those shown at all, each later than the one before."""
        with self._opened() as container:
            video = self._video_stream(container)
            video.thread_type = "AUTO"
            previous = -self._frame_seconds
            for frame in _decode(container, video, self.path):
                stamp = frame.pts if frame.pts is not None else frame.dts
                if stamp is None:
                    time = previous + self._frame_seconds
                else:
                    time = max(Fraction(0), _seconds(stamp, video) - self._origin)
                if time > previous:
                    yield time, frame
                    previous = time

    def _sample_intervals(self, fps: Fraction) -> Iterator[tuple[Fraction, np.ndarray]]:
        half = Fraction(1, 2)
        shown, pixels, interval, first_interval = None, None, 0, 0
        for time, frame in itertools.chain(self._decoded(), [(self._end, None)]):
            if shown is None:
                interval = first_interval = int(time * fps)
            # All intervals whose middle has passed before this frame comes; in the end, one at least.
            while shown and ((interval + half) / fps < time or frame is None and interval == first_interval):
                pixels = self._pixels(shown) if pixels is None else pixels
                yield interval / fps, pixels
                interval += 1
            shown, pixels = frame, None

    def _pixels(self, frame: av.VideoFrame) -> np.ndarray:
        width, height = self._stored_size  # a size that changes midway is brought to the first frame's
        pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
        return np.ascontiguousarray(np.rot90(pixels, self.rotation // 90))

    def _mono(self, frame: av.AudioFrame) -> np.ndarray:
        """Returns: float32 [samples], the mean of a decoded piece's channels."""
        if frame.sample_rate != self.audio_rate:
            rates = f"from {self.audio_rate} to {frame.sample_rate} Hz"
            raise VideoError(f"{self.path}: the sound's rate changes {rates} midway")
        samples = frame.to_ndarray()  # C n, or 1 n*C where the channels alternate
        if not frame.format.is_planar:
            samples = samples.reshape(-1, frame.layout.nb_channels).T
        if samples.dtype.kind in "iu":
            full_scale = 1 << (8 * samples.dtype.itemsize - 1)
            samples = (samples.astype(np.float64) - (full_scale if samples.dtype.kind == "u" else 0)) / full_scale
        mono = samples.mean(axis=0).astype(np.float32)
        if not np.isfinite(mono).all():
            raise VideoError(f"{self.path}: the sound holds NaN or infinite samples")
        return mono


def exact_rate(fps: float | Fraction) -> Fraction:
    """A frame rate as a fraction (29.97 is 2997 / 100; 30000 / 1001 stays so). Raises: ValueError, if not positive."""
    if not 0 < fps < math.inf:
        raise ValueError(f"a frame rate must be positive, got {fps}")
    return Fraction(fps).limit_denominator(1001)


def _seconds(stamp: int, of: Any) -> Fraction:
    """A time or a length, in seconds, that a stream, packet or frame counts in its own unit."""
    return stamp * of.time_base


def _decode(container: InputContainer, stream: Any, path: str) -> Iterator[Any]:
    """Yields a stream's frames; a packet that cannot be decoded is left out, as players do."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.InvalidDataError as error:
            logger.debug("%s: a packet was left out: %s", path, error)
