"""What tools/demo.py takes for a video, and for which of its parts: `tools/benchmark.py --video`.

The parts are told apart by who waits: frames and sound are decoded while the model asks for them, and that time counts
as decoding alone. The decoder and the encoder work on in threads of their own meanwhile, whose time is not counted twice.
"""

import tempfile
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from demo import Outputs, parse_arguments
from measuring import DEVICE, device_name, extra_memory

from transavs import AVSPredictor
from transavs.config import read_config
from transavs.video import SOURCE_RATE, VideoReader

HEIGHT, WIDTH, FPS, SOUND_RATE = 360, 640, 30, 44100
PAN_PIXELS = 3  # from one frame to the next
MASKS_A_SECOND = (1, SOURCE_RATE)
PARTS = ("decoding", "model", "drawing", "encoding", "rest")
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
    """Seconds of the parts of a work: each moment counts for the innermost part that has begun.

    Args:
        clock (callable): gives seconds.

    Attributes:
        seconds (Counter): by the part's name; "rest" is what lies outside all.
    """

    def __init__(self, clock=time.perf_counter):
        self.seconds = Counter()
        self._clock, self._running, self._since = clock, ["rest"], clock()

    @contextmanager
    def part(self, name):
        self._charge()
        self._running.append(name)
        try:
            yield
        finally:
            self._charge()
            self._running.pop()

    def each(self, name, iterable):
        """Yields the iterable's items; what it takes to make them is a part."""
        iterator, end = iter(iterable), object()
        while True:
            with self.part(name):
                item = next(iterator, end)
            if item is end:
                return
            yield item

    def stop(self):
        """Returns: Counter, the seconds until now."""
        self._charge()
        return self.seconds

    def _charge(self):
        now = self._clock()
        self.seconds[self._running[-1]] += now - self._since
        self._since = now


class TimedReader(VideoReader):
    """Its decoding of pictures and of sound is a part of the stopwatch."""

    def __init__(self, path, stopwatch):
        self.stopwatch = stopwatch
        with stopwatch.part("decoding"):
            super().__init__(path)

    def sample(self, fps):
        return self.stopwatch.each("decoding", super().sample(fps))

    def audio_frames(self):
        return self.stopwatch.each("decoding", super().audio_frames())

    def audio_blocks(self):
        return self.stopwatch.each("decoding", super().audio_blocks())


class TimedWriter:
    """A `VideoWriter` whose work, but for the decoding of the sound, is a part of the stopwatch."""

    def __init__(self, writer, stopwatch):
        self.writer, self.stopwatch = writer, stopwatch

    def write(self, *arguments):
        with self.stopwatch.part("encoding"):
            self.writer.write(*arguments)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with self.stopwatch.part("encoding"):
            self.writer.__exit__(*error)


def make_video(path, seconds):
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


def load_predictor(path, opts):
    """The model of the config on this machine's device; random weights, unless MODEL.WEIGHTS is among the overrides."""
    cfg = read_config(path, opts)
    cfg.MODEL.DEVICE = DEVICE.type
    if "MODEL.WEIGHTS" not in opts:
        cfg.MODEL.WEIGHTS = ""
    return AVSPredictor(cfg)


def segment(predictor, video, masks_a_second, folder):
    """Does what tools/demo.py does for one video. Returns: Counter, seconds of each of PARTS."""
    args = parse_arguments(
        ["--config-file", "", "--input", str(video), "--output", str(folder), "--fps", str(masks_a_second)]
    )
    stopwatch = Stopwatch()
    reader = TimedReader(video, stopwatch)
    threshold = predictor.cfg.TEST.MASK_THRESHOLD
    with Outputs(folder, video.stem, reader, args, threshold, str(video)) as outputs:
        outputs.writer = TimedWriter(outputs.writer, stopwatch)
        for result in stopwatch.each("model", predictor.stream(reader, args.fps)):
            with stopwatch.part("drawing"):
                outputs.add(result)
    return stopwatch.stop()


def measure_video(path, opts, seconds, runs):
    """The table's rows of one config, for each of MASKS_A_SECOND: the run of median length, and the highest peak."""
    predictor = load_predictor(path, opts)
    times, peaks = defaultdict(list), defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_video(folder / "first.mp4", 1)
        make_video(folder / "video.mp4", seconds)
        segment(predictor, folder / "first.mp4", 1, folder)  # not counted
        for _ in range(runs):
            for rate in MASKS_A_SECOND:  # in turn
                run = lambda: times[rate].append(segment(predictor, folder / "video.mp4", rate, folder))
                peaks[rate].append(extra_memory(run))
    return [make_row(path, rate, seconds, times[rate], max(peaks[rate])) for rate in MASKS_A_SECOND]


def make_row(path, rate, seconds, times, peak):
    """A row of the table, of the run of median length. Args: times (list[Counter]), the runs' seconds of each part."""
    parts = sorted(times, key=Counter.total)[(len(times) - 1) // 2]
    total = parts.total()
    shares = [f"{100 * parts[part] / total:.1f}" for part in PARTS]
    return [
        Path(path).name,
        f"all {FPS}" if rate == SOURCE_RATE else rate,
        seconds,
        f"{total:.2f}",
        f"{total / seconds:.3f}",
        *shares,
        f"{peak:.0f}",
    ]


def describe(seconds, runs, opts):
    """The table's title."""
    weights = "trained weights" if "MODEL.WEIGHTS" in opts else "random weights, with which next to nothing sounds"
    return (
        f"{seconds} s of video, {WIDTH} x {HEIGHT} at {FPS} frames a second, with stereo sound at {SOUND_RATE} Hz; "
        f"median of {runs}, {weights}, PyTorch {torch.__version__}, {device_name()}."
    )
