"""What the events of the page do: a video is segmented, kept, and drawn with the thresholds that the visitor chose."""

import os
import re
import shutil
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ..engine.predictor import AVSPredictor
from ..engine.video_outputs import VideoOutputs
from ..video import FrameRate, VideoError, VideoReader
from ..visualization import ObjectStyle
from .limits import Limits
from .recording import Recording
from .timeline import Timeline
from .visitors import Visitors

LEAST_THRESHOLD = 0.05  # that can be chosen; the model's masks are kept from it on
Outputs = Sequence[Any]  # of the page: the result's video, its archive, the timeline, and a sentence on them
Step = tuple[int, int]  # a clip's number, and how many there are
NOTHING_NEW: Outputs = [gr.skip()] * 4


@dataclass
class Run:
    """A video that was segmented, in a folder of its own."""

    folder: Path
    recording: Recording
    num_drawings: int = 0


class Page:
    """What the page's events do. One job's step is done at a time, whatever the queue lets through.

    Args:
        predictor: its TEST.MASK_THRESHOLD is LEAST_THRESHOLD.
        visitors: whose files are kept.
        limits: what is beyond them is refused.
    """

    def __init__(self, predictor: AVSPredictor, visitors: Visitors, limits: Limits):
        self.predictor, self.visitors, self.limits = predictor, visitors, limits
        self._lock, self._ended = threading.Lock(), False

    def uploaded(self, video: str | None, request: gr.Request) -> None:
        if video:
            self.visitors.hold(self.visitors.folder(request.session_hash), video)

    def left(self, request: gr.Request) -> None:
        self.visitors.leave(self.visitors.folder(request.session_hash))

    def segment(
        self,
        video: str | None,
        fps: FrameRate,
        mask_threshold: float,
        least_score: float,
        by_class: bool,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),
    ) -> Iterator[Outputs]:
        """Runs the model; a generator, so that it can be stopped between two clips. Yields: as `redraw` returns."""
        visitor = self.visitors.folder(request.session_hash)
        with self.visitors.at_work(visitor), told_on_the_page():
            folder = self.visitors.new_part(visitor)
            reader = self._open(video, folder)
            self.limits.check(reader, fps)
            run = Run(folder, Recording(folder / "maps", reader, fps, LEAST_THRESHOLD))
            for clip, num_clips in self._in_turn(self._record(reader, fps, run.recording)):
                progress((clip, num_clips), desc="Listening and looking", unit="clips")
                yield NOTHING_NEW
            drawn = self._draw(run, mask_threshold, least_score, by_class, progress)
            self.visitors.show(visitor, folder, run)
            yield drawn

    def redraw(
        self,
        mask_threshold: float,
        least_score: float,
        by_class: bool,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),
    ) -> Outputs:
        """Returns: the result's video, its archive, the timeline, and a sentence on them."""
        visitor = self.visitors.folder(request.session_hash)
        run = self.visitors.shown(visitor)
        if run is None:  # a slider was moved before there was a video
            return NOTHING_NEW
        with self.visitors.at_work(visitor), told_on_the_page():
            return self._draw(run, mask_threshold, least_score, by_class, progress)

    def end(self) -> None:
        """Waits for the step under way; there will be no other."""
        self._ended = True
        with self._lock:
            pass

    def _open(self, video: str | None, folder: Path) -> VideoReader:
        """The video, linked into the folder: there it outlasts the upload, which the visitor may replace."""
        if video is None:
            raise gr.Error("Upload a video first, or pick an example.", print_exception=False)
        link = folder / "source" / os.path.basename(video)
        link.parent.mkdir()
        os.link(video, link)
        return VideoReader(link)

    def _in_turn(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Yields what the iterator does; no other job goes on while it makes an item."""
        while True:
            with self._lock:
                self._check_end()
                item = next(steps, None)
            if item is None:
                return
            yield item

    def _check_end(self) -> None:
        if self._ended:
            raise gr.Error("The program was ended.", print_exception=False)

    def _record(self, reader: VideoReader, fps: FrameRate, recording: Recording) -> Iterator[Step]:
        """Runs the model. Yields: at the start of each clip its number, and how many there are."""
        seconds = self.predictor.cfg.MODEL.TRANSAVS.NUM_FRAMES
        num_clips = -(-reader.num_seconds(fps) // seconds)
        done = -1
        for result in self.predictor.stream(reader, fps):
            self._check_end()
            recording.add(result)
            clip = int(result.time) // seconds
            if clip > done:
                yield clip, num_clips
                done = clip

    def _draw(
        self, run: Run, mask_threshold: float, least_score: float, by_class: bool, progress: gr.Progress
    ) -> Outputs:
        recording, reader = run.recording, run.recording.reader
        style = ObjectStyle(self.predictor.class_names, by_class)
        timeline = Timeline(reader.num_seconds(recording.fps), style)
        name = Path(reader.path).name
        with self._lock:
            # Two folders in turn: the last result may still be played.
            run.num_drawings += 1
            folder = run.folder / f"drawn_{run.num_drawings % 2}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            with VideoOutputs(
                folder, Path(name).stem, reader, mask_threshold, name, recording.fps, masks=True, json=True, style=style
            ) as outputs:
                for result in recording.replay(mask_threshold, least_score):
                    self._check_end()
                    outputs.add(result)
                    timeline.add(result)
                    progress((len(outputs.frames), recording.num_frames), desc="Drawing", unit="frames")
            archive = gr.DownloadButton(value=pack(outputs), interactive=True)
            return outputs.video_path, archive, timeline.html(*reader.read_audio()), summary(timeline, reader)


@contextmanager
def told_on_the_page() -> Iterator[None]:
    """What is wrong is shown on the page, without the folder that a file happens to lie in here."""
    try:
        yield
    except (VideoError, OSError) as error:
        message = re.sub(r"/\S+/", "", str(error))
        raise gr.Error(message, duration=None, print_exception=False) from error


def pack(outputs: VideoOutputs) -> Path:
    """The masks and their description, in one archive beside the video."""
    assert outputs.masks_folder and outputs.json_path
    path = outputs.masks_folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:  # stored: PNG is compressed
        archive.write(outputs.json_path, outputs.json_path.name, zipfile.ZIP_DEFLATED)
        for mask in sorted(outputs.masks_folder.iterdir()):
            archive.write(mask, f"{outputs.masks_folder.name}/{mask.name}")
    return path


def summary(timeline: Timeline, reader: VideoReader) -> str:
    sound = "" if reader.has_audio else " The video has no sound: it was taken as silence."
    if not timeline.seconds_that_sound:
        return f"Nothing sounds.{sound}"
    names = f" ({', '.join(timeline.names)})" if timeline.names else ""
    return f"Something sounds in {timeline.seconds_that_sound} of {timeline.num_seconds} seconds{names}.{sound}"
