"""What tools/demo.py takes for a video, and for which of its parts: `tools/benchmark.py --measure video`.

Decoding, model, and drawing with encoding work in a thread each, and each part's time is its own thread's; the sound is
decoded in the model's. The decoder and the encoder have more threads inside, whose time is not counted.
"""

import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Self, TypeVar

import av
import cv2
import numpy as np
import torch
from detectron2.config import CfgNode

from ..engine.predictor import AVSPredictor
from ..engine.video_outputs import VideoOutputs
from ..video import SOURCE_RATE, FrameRate, VideoReader, VideoWriter
from .measuring import device_name, extra_memory

HEIGHT, WIDTH, FPS, SOUND_RATE = 360, 640, 30, 44100
PAN_PIXELS = 3  # from one frame to the next
MASKS_A_SECOND: tuple[FrameRate, ...] = (1, SOURCE_RATE)
PARTS = ("decoding", "model", "drawing", "encoding")
TOTAL = "total"  # from the start to the end
Item = TypeVar("Item")
Seconds = dict[str, float]  # by the part's name
HEADERS = [
    "config",
    "masks a second",
    "video (s)",
    "total (s)",
    "a second of video (s)",
    *(f"{part} (%)" for part in PARTS),
    "peak (MiB)",
]


class Stopwatch:
    """Seconds of the parts of a work: each moment of a thread counts for the innermost part that it has begun.

    Args:
        clock: gives seconds.

    Attributes:
        seconds: by the part's name, of all threads.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.seconds: Seconds = defaultdict(float)
        self._clock, self._of_thread = clock, threading.local()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._charge()
        self._running.append(name)
        try:
            yield
        finally:
            self._charge()
            self._running.pop()

    def each(self, name: str, iterable: Iterable[Item]) -> Iterator[Item]:
        """Yields the iterable's items; what it takes to make them is a part."""
        iterator = iter(iterable)
        while True:
            with self.part(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    @property
    def _running(self) -> list[str]:
        """The parts that this thread has begun, the innermost last."""
        names: list[str] = self._of_thread.__dict__.setdefault("running", [])
        return names

    def _charge(self) -> None:
        now = self._clock()
        if self._running:
            self.seconds[self._running[-1]] += now - self._of_thread.since
        self._of_thread.since = now


class TimedReader(VideoReader):
    """Its decoding of pictures and of sound is a part of the stopwatch."""

    def __init__(self, path: str | Path, stopwatch: Stopwatch):
        self.stopwatch = stopwatch
        with stopwatch.part("decoding"):
            super().__init__(path)

    def sample(self, fps: FrameRate) -> Iterator[Any]:
        return self.stopwatch.each("decoding", super().sample(fps))

    def audio_frames(self) -> Iterator[Any]:
        return self.stopwatch.each("decoding", super().audio_frames())

    def audio_blocks(self) -> Iterator[Any]:
        return self.stopwatch.each("decoding", super().audio_blocks())


class TimedWriter:
    """A `VideoWriter` whose work, but for the decoding of the sound, is a part of the stopwatch."""

    def __init__(self, writer: VideoWriter, stopwatch: Stopwatch):
        self.writer, self.stopwatch = writer, stopwatch

    def write(self, *arguments: Any) -> None:
        with self.stopwatch.part("encoding"):
            self.writer.write(*arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        with self.stopwatch.part("encoding"):
            self.writer.__exit__(*error)


class TimedPredictor(AVSPredictor):
    """A predictor whose model is a part of the stopwatch, the decoding of the sound left out."""

    def __init__(self, predictor: AVSPredictor, stopwatch: Stopwatch):
        self.__dict__.update(predictor.__dict__)
        self.stopwatch = stopwatch

    def _segment(self, *arguments: Any) -> Iterator[Any]:
        return self.stopwatch.each("model", super()._segment(*arguments))


def make_video(path: Path, seconds: int) -> None:
    """A picture of soft spots and finer ones, 360p, that moves sideways, and a tone a side in stereo."""
    rng = np.random.default_rng(0)
    coarse, fine = (rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((9, 32), (90, 320)))
    coarse, fine = (cv2.resize(noise, (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) for noise in (coarse, fine))
    picture = cv2.addWeighted(coarse, 0.8, fine, 0.2, 0)
    sound = 0.2 * np.sin(2 * np.pi * np.arange(SOUND_RATE) / SOUND_RATE * np.array([[440], [660]]))  # of one second
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=FPS, options={"preset": "superfast"})
        pictures.width, pictures.height, pictures.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sounds = container.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        for number in range(seconds * FPS):
            frame = np.ascontiguousarray(np.roll(picture, -PAN_PIXELS * number, axis=1)[:, :WIDTH])
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            if number % FPS == 0:
                piece = av.AudioFrame.from_ndarray(sound.astype(np.float32), format="fltp", layout="stereo")
                piece.sample_rate, piece.pts = SOUND_RATE, number // FPS * SOUND_RATE
                container.mux(sounds.encode(piece))
        for stream in (pictures, sounds):
            container.mux(stream.encode(None))


def segment(predictor: AVSPredictor, video: Path, masks_a_second: FrameRate, folder: Path) -> Seconds:
    """Does what tools/demo.py does for one video. Returns: seconds of each of PARTS, and TOTAL."""
    stopwatch, start = Stopwatch(), time.perf_counter()
    timed = TimedPredictor(predictor, stopwatch)
    reader = TimedReader(video, stopwatch)
    threshold = predictor.cfg.TEST.MASK_THRESHOLD
    with VideoOutputs(folder, video.stem, reader, threshold, str(video), masks_a_second) as outputs:
        outputs.writer = TimedWriter(outputs.writer, stopwatch)  # type: ignore[assignment]
        for result in timed.stream(reader, masks_a_second):
            with stopwatch.part("drawing"):
                outputs.add(result)
    return {**stopwatch.seconds, TOTAL: time.perf_counter() - start}


def measure_video(cfg: CfgNode, name: str, seconds: int, runs: int) -> list[list[Any]]:
    """The table's rows of one config, for each of MASKS_A_SECOND: the run of median length, and the highest peak.

    Args:
        cfg: with random weights where MODEL.WEIGHTS is "".
        name: the config's, for the table.
        seconds: of the video.
        runs: of each rate, after one that is not counted.
    """
    predictor = AVSPredictor(cfg)
    times: dict[FrameRate, list[Seconds]] = defaultdict(list)
    peaks: dict[FrameRate, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_video(folder / "first.mp4", 1)
        make_video(folder / "video.mp4", seconds)
        segment(predictor, folder / "first.mp4", 1, folder)  # not counted

        def run(rate: FrameRate) -> None:
            times[rate].append(segment(predictor, folder / "video.mp4", rate, folder))

        for _ in range(runs):
            for rate in MASKS_A_SECOND:  # in turn
                peaks[rate].append(extra_memory(partial(run, rate)))
    return [make_row(name, rate, seconds, times[rate], max(peaks[rate])) for rate in MASKS_A_SECOND]


def make_row(name: str, rate: FrameRate, seconds: int, times: Sequence[Seconds], peak: float) -> list[Any]:
    """A row of the table, of the run of median length; `times` are the runs' seconds of each part."""
    parts = sorted(times, key=itemgetter(TOTAL))[(len(times) - 1) // 2]
    total = parts[TOTAL]
    shares = [f"{100 * parts.get(part, 0) / total:.1f}" for part in PARTS]
    return [
        name,
        f"all {FPS}" if rate == SOURCE_RATE else rate,
        seconds,
        f"{total:.2f}",
        f"{total / seconds:.3f}",
        *shares,
        f"{peak:.0f}",
    ]


def describe(seconds: int, runs: int, trained: bool) -> str:
    """The table's title."""
    weights = "trained weights" if trained else "random weights, with which next to nothing sounds"
    return (
        f"{seconds} s of video, {WIDTH} x {HEIGHT} at {FPS} frames a second, with stereo sound at {SOUND_RATE} Hz; "
        f"median of {runs}, {weights}, PyTorch {torch.__version__}, {device_name()}."
    )
