#!/usr/bin/env python3
"""A web page that shows what sounds in a video: upload one, watch the result, see when which object sounds.

    tools/web_demo.py --config-file configs/stamps/stamps_s4_R18.yaml --examples output/demo/video/demo.mp4 \
        MODEL.WEIGHTS output/demo/model_best.pth

One model serves all who have the page open, one after the other. Their files lie in a folder of their own, which goes
when they leave, and with the program at the latest. The page is for this machine alone, unless --host says otherwise.
"""
import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import zipfile
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import gradio as gr

from demo import Outputs, UsageError, find_videos, load_predictor
from recording import Recording
from timeline import SCRIPT, STYLE, Timeline
from transavs.config import read_config
from transavs.video import SOURCE_RATE, VideoError, VideoReader

LEAST_THRESHOLD = 0.05  # of the slider; the model's masks are kept from here on
RATES = [("1, as trained", 1), ("5", 5), ("every frame", SOURCE_RATE)]
MAX_WAITING = 20  # requests
SWEEP_SECONDS, MAX_AGE_SECONDS = 600, 3600  # how often uploads that nobody works on are looked for, and their age
NOTHING_NEW = [gr.skip()] * 4  # of the page's outputs
THEME = gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # no font from elsewhere
# Gradio's scissors would fetch a program from elsewhere, to cut the video in the browser.
NO_TRIMMING = '#video button[aria-label^="Trim"], #video button[aria-label^="Reset"] { display: none; }'
INTRODUCTION = """# What sounds in this video?
TransAVS marks, in each frame, the objects that can be heard: upload a video or pick an example."""


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, help="of the model, e.g. configs/avs_s4_R101.yaml")
    parser.add_argument("--examples", nargs="+", default=[], metavar="VIDEO", help="for the page; files, folders")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s); 0.0.0.0 is all")
    parser.add_argument("--port", type=int, default=7860, help="default: %(default)s")
    parser.add_argument("--max-megabytes", type=int, default=200, help="of an upload (default: %(default)s)")
    parser.add_argument("--max-seconds", type=int, default=300, help="of a video (default: %(default)s)")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="override the config")
    return parser.parse_args(arguments)


class Visitors:
    """The files of those who have the page open, by the name that Gradio gives each.

    Args:
        root (Path): a folder; Gradio keeps uploads in it too, two equal ones in the same place.
    """

    def __init__(self, root):
        self.root = root
        self.recordings = {}
        self._uploads = defaultdict(set)  # of paths, who uploaded them
        self._kept = set()
        self._left = set()
        self._lock = threading.Lock()

    def keep_all(self):
        """What lies in the folder now stays, even if someone uploads the same."""
        self._kept = {str(path) for path in self.root.rglob("*")}

    def new_folder(self, visitor, name):
        """A part of the visitor's folder, empty."""
        folder = self.root / "visitors" / visitor / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def hold(self, visitor, upload):
        """Keeps an upload as long as one who uploaded it is there and has not uploaded another."""
        with self._lock:
            self._release(visitor)
            if upload not in self._kept:
                self._uploads[upload].add(visitor)

    @contextmanager
    def at_work(self, visitor):
        """While something is computed: who leaves meanwhile takes what it still writes along."""
        self._left.discard(visitor)
        try:
            yield
        finally:
            if visitor in self._left:
                self.leave(visitor)

    def leave(self, visitor):
        with self._lock:
            self._left.add(visitor)
            self._release(visitor)
        self.recordings.pop(visitor, None)
        shutil.rmtree(self.root / "visitors" / visitor, ignore_errors=True)

    def _release(self, visitor):
        for path, holders in list(self._uploads.items()):
            holders.discard(visitor)
            if not holders:
                del self._uploads[path]
                Path(path).unlink(missing_ok=True)


class Page:
    """What the page's events do.

    Args:
        predictor (AVSPredictor)
        visitors (Visitors)
        max_seconds (int): a longer video is refused.
    """

    def __init__(self, predictor, visitors, max_seconds):
        self.predictor, self.visitors, self.max_seconds = predictor, visitors, max_seconds

    def uploaded(self, video, request: gr.Request):
        self.visitors.hold(request.session_hash, video)

    def left(self, request: gr.Request):
        self.visitors.leave(request.session_hash)

    def segment(self, video, fps, mask_threshold, least_score, request: gr.Request, progress=gr.Progress()):
        """Runs the model; a generator, so that it can be stopped between two clips. Yields: as `redraw` returns."""
        visitor = request.session_hash
        with self.visitors.at_work(visitor), told_on_the_page(video):
            reader = self._open(video)
            recording = Recording(self.visitors.new_folder(visitor, "recording"), reader, fps, LEAST_THRESHOLD)
            for clip, num_clips in self._record(reader, fps, recording):
                progress((clip, num_clips), desc="Listening and looking", unit="clips")
                yield NOTHING_NEW
            self.visitors.recordings[visitor] = recording
            yield self._draw(visitor, recording, mask_threshold, least_score, progress)

    def redraw(self, mask_threshold, least_score, request: gr.Request, progress=gr.Progress()):
        """Returns: the result's video, its archive, the timeline, and a sentence on them."""
        visitor = request.session_hash
        recording = self.visitors.recordings.get(visitor)
        if recording is None:  # a slider was moved before there was a video
            return NOTHING_NEW
        with self.visitors.at_work(visitor), told_on_the_page(recording.reader.path):
            return self._draw(visitor, recording, mask_threshold, least_score, progress)

    def _open(self, video):
        if video is None:
            raise gr.Error("Upload a video first, or pick an example.", print_exception=False)
        reader = VideoReader(video)
        if reader.duration > self.max_seconds:
            raise VideoError(f"{video}: lasts {reader.duration:.0f} s, expected at most {self.max_seconds} s")
        return reader

    def _record(self, reader, fps, recording):
        """Yields (int, int): before each clip its number, and how many there are."""
        seconds = self.predictor.cfg.MODEL.TRANSAVS.NUM_FRAMES
        num_clips = -(-reader.num_seconds(fps) // seconds)
        done = -1
        for result in self.predictor.stream(reader, fps):
            recording.add(result)
            clip = int(result.time) // seconds
            if clip > done:
                yield clip, num_clips
                done = clip

    def _draw(self, visitor, recording, mask_threshold, least_score, progress):
        # Two folders in turn: the last result may still be played.
        recording.num_replays += 1
        folder = self.visitors.new_folder(visitor, f"result_{recording.num_replays % 2}")
        timeline = Timeline(recording.reader.num_seconds(recording.fps))
        wanted = SimpleNamespace(fps=recording.fps, masks=True, json=True, side_by_side=False)
        video = Path(recording.reader.path)
        with Outputs(folder, video.stem, recording.reader, wanted, mask_threshold, video.name) as outputs:
            for result in recording.replay(mask_threshold, least_score):
                outputs.add(result)
                timeline.add(result)
                progress((len(outputs.frames), recording.num_frames), desc="Drawing", unit="frames")
        archive = gr.DownloadButton(value=pack(outputs), interactive=True)
        return outputs.video_path, archive, timeline.html(*recording.reader.read_audio()), summary(timeline, recording)


@contextmanager
def told_on_the_page(video):
    """What is wrong with a video is shown without the folder that it happens to lie in here."""
    try:
        yield
    except (VideoError, OSError) as error:
        message = str(error).replace(os.path.join(os.path.dirname(video or ""), ""), "")
        raise gr.Error(message, duration=None, print_exception=False) from error


def pack(outputs):
    """The masks and their description, in one archive beside the video. Returns: its path."""
    path = outputs.masks_folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:  # stored: PNG is compressed
        archive.write(outputs.json_path, outputs.json_path.name, zipfile.ZIP_DEFLATED)
        for mask in sorted(outputs.masks_folder.iterdir()):
            archive.write(mask, f"{outputs.masks_folder.name}/{mask.name}")
    return path


def summary(timeline, recording):
    sound = "" if recording.reader.has_audio else " The video has no sound: it was taken as silence."
    if not timeline.seconds_that_sound:
        return f"Nothing sounds.{sound}"
    return f"Something sounds in {timeline.seconds_that_sound} of {timeline.num_seconds} seconds.{sound}"


def build(page, examples, threshold):
    """The page's layout. Returns: gr.Blocks"""
    with gr.Blocks(title="TransAVS", analytics_enabled=False, delete_cache=(SWEEP_SECONDS, MAX_AGE_SECONDS)) as blocks:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column(scale=2):
                video = gr.Video(label="Video", sources=["upload"], elem_id="video", height=320)
                if examples:
                    gr.Examples(examples, video, label="Examples")
                fps = gr.Radio(RATES, value=RATES[1][1], label="Masks a second")
                with gr.Row():
                    start = gr.Button("Find what sounds", variant="primary", elem_id="start")
                    stop = gr.Button("Stop", elem_id="stop")
            with gr.Column(scale=3):
                result = gr.Video(label="What sounds", elem_id="result", autoplay=True, interactive=False, height=380)
                sentence = gr.Markdown(elem_id="sentence")
                with gr.Row():
                    mask_threshold = gr.Slider(LEAST_THRESHOLD, 0.95, threshold, step=0.01, elem_id="mask_threshold",
                                               label="Threshold", info="a pixel above it sounds")
                    least_score = gr.Slider(0, 1, 0, step=0.01, elem_id="least_score",
                                            label="Least score", info="less sure objects are left out")
                archive = gr.DownloadButton("Download masks", elem_id="archive", interactive=False)
        timeline = gr.HTML(elem_id="timeline")
        outputs, sliders = [result, archive, timeline, sentence], [mask_threshold, least_score]
        video.upload(page.uploaded, video, queue=False)
        queue = {"concurrency_id": "model", "concurrency_limit": 1, "show_progress_on": result}
        running = start.click(page.segment, [video, fps, *sliders], outputs, **queue)
        gr.on([slider.release for slider in sliders], page.redraw, sliders, outputs, **queue)
        stop.click(None, cancels=running)
        blocks.unload(page.left)
    return blocks.queue(max_size=MAX_WAITING)


def end_orderly(*_):
    """Ends the program so that its folder is removed, even if it is told twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit()


def main(arguments=None):
    args = parse_arguments(arguments)
    examples = find_videos(args.examples)
    predictor = load_predictor(args.config_file, [*args.opts, "TEST.MASK_THRESHOLD", str(LEAST_THRESHOLD)])
    threshold = read_config(args.config_file, args.opts).TEST.MASK_THRESHOLD
    signal.signal(signal.SIGTERM, end_orderly)
    with tempfile.TemporaryDirectory(prefix="transavs_") as root:
        os.environ["GRADIO_TEMP_DIR"] = root
        visitors = Visitors(Path(root))
        blocks = build(Page(predictor, visitors, args.max_seconds), examples, threshold)
        visitors.keep_all()  # the examples
        _, url, _ = blocks.launch(
            server_name=args.host, server_port=args.port, max_file_size=f"{args.max_megabytes}mb", share=False,
            ssr_mode=False, quiet=True, prevent_thread_lock=True, footer_links=[], theme=THEME,
            css=STYLE + NO_TRIMMING, head=f"<script>{SCRIPT}</script>")
        print(f"The page is at {url} (Ctrl+C ends it)", flush=True)
        blocks.block_thread()


if __name__ == "__main__":
    try:
        main()
    except (UsageError, OSError) as error:
        sys.exit(f"web_demo: {error}")
