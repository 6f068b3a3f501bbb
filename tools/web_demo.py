#!/usr/bin/env python3
"""A web page that shows what sounds in a video: upload one, watch the result, see when which object sounds.

    tools/web_demo.py --config-file configs/stamps/stamps_s4_R18.yaml --examples output/demo/video/demo.mp4 \
        MODEL.WEIGHTS output/demo/model_best.pth

One model serves all who have the page open, one after the other. Their files lie in a folder of their own, which goes
when they leave, and with the program at the latest. The page is for this machine alone, unless --host says otherwise.
"""

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
from demo import Outputs, UsageError, find_videos, load_predictor
from gradio_client.utils import is_http_url_like
from recording import Recording
from timeline import SCRIPT, STYLE, Timeline
from visitors import Visitors

from transavs.config import read_config
from transavs.video import SOURCE_RATE, VideoError, VideoReader

LEAST_THRESHOLD, MOST_THRESHOLD = 0.05, 0.95  # of the slider; the model's masks are kept from the least on
RATES = [("1, as trained", 1), ("5", 5), ("every frame", SOURCE_RATE)]
MAX_WAITING = 20  # requests
SWEEP_SECONDS, MAX_AGE_SECONDS = 600, 6 * 3600  # how often old files are looked for, and how old they may get
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
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: %(default)s); 0.0.0.0 is all"
    )
    parser.add_argument("--port", type=int, default=7860, help="default: %(default)s")
    parser.add_argument("--max-megabytes", type=int, default=200, help="of an upload (default: %(default)s)")
    parser.add_argument("--max-seconds", type=int, default=120, help="of a video (default: %(default)s)")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="override the config")
    return parser.parse_args(arguments)


@dataclass
class Run:
    """A video that was segmented. Args: folder (Path), recording (Recording), num_drawings (int)."""

    folder: Path
    recording: Recording
    num_drawings: int = 0


class Page:
    """What the page's events do. One job's step is done at a time, whatever the queue lets through.

    Args:
        predictor (AVSPredictor)
        visitors (Visitors)
        max_seconds (int): a longer video is refused.
    """

    def __init__(self, predictor, visitors, max_seconds):
        self.predictor, self.visitors, self.max_seconds = predictor, visitors, max_seconds
        self._lock, self._ended = threading.Lock(), False

    def uploaded(self, video, request: gr.Request):
        if video:
            self.visitors.hold(self.visitors.folder(request.session_hash), video)

    def left(self, request: gr.Request):
        self.visitors.leave(self.visitors.folder(request.session_hash))

    def segment(self, video, fps, mask_threshold, least_score, request: gr.Request, progress=gr.Progress()):
        """Runs the model; a generator, so that it can be stopped between two clips. Yields: as `redraw` returns."""
        visitor = self.visitors.folder(request.session_hash)
        with self.visitors.at_work(visitor), told_on_the_page():
            folder = self.visitors.new_part(visitor)
            reader = self._open(video, folder)
            run = Run(folder, Recording(folder / "maps", reader, fps, LEAST_THRESHOLD))
            for clip, num_clips in self._in_turn(self._record(reader, fps, run.recording)):
                progress((clip, num_clips), desc="Listening and looking", unit="clips")
                yield NOTHING_NEW
            drawn = self._draw(run, mask_threshold, least_score, progress)
            self.visitors.show(visitor, folder, run)
            yield drawn

    def redraw(self, mask_threshold, least_score, request: gr.Request, progress=gr.Progress()):
        """Returns: the result's video, its archive, the timeline, and a sentence on them."""
        visitor = self.visitors.folder(request.session_hash)
        run = self.visitors.shown(visitor)
        if run is None:  # a slider was moved before there was a video
            return NOTHING_NEW
        with self.visitors.at_work(visitor), told_on_the_page():
            return self._draw(run, mask_threshold, least_score, progress)

    def end(self):
        """Waits for the step under way; there will be no other."""
        self._ended = True
        with self._lock:
            pass

    def _open(self, video, folder):
        """The video, linked into the folder: there it outlasts the upload, which the visitor may replace."""
        if video is None:
            raise gr.Error("Upload a video first, or pick an example.", print_exception=False)
        link = folder / "source" / os.path.basename(video)
        link.parent.mkdir()
        os.link(video, link)
        reader = VideoReader(link)
        if reader.duration > self.max_seconds:
            raise VideoError(f"{link}: lasts {reader.duration:.0f} s, expected at most {self.max_seconds} s")
        return reader

    def _in_turn(self, steps):
        """Yields what the iterator does; no other job goes on while it makes an item."""
        while True:
            with self._lock:
                self._check_end()
                item = next(steps, None)
            if item is None:
                return
            yield item

    def _check_end(self):
        if self._ended:
            raise gr.Error("The program was ended.", print_exception=False)

    def _record(self, reader, fps, recording):
        """Yields (int, int): at the start of each clip its number, and how many there are."""
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

    def _draw(self, run, mask_threshold, least_score, progress):
        recording, reader = run.recording, run.recording.reader
        timeline = Timeline(reader.num_seconds(recording.fps))
        wanted = SimpleNamespace(fps=recording.fps, masks=True, json=True, side_by_side=False)
        name = Path(reader.path).name
        with self._lock:
            # Two folders in turn: the last result may still be played.
            run.num_drawings += 1
            folder = run.folder / f"drawn_{run.num_drawings % 2}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            with Outputs(folder, Path(name).stem, reader, wanted, mask_threshold, name) as outputs:
                for result in recording.replay(mask_threshold, least_score):
                    self._check_end()
                    outputs.add(result)
                    timeline.add(result)
                    progress((len(outputs.frames), recording.num_frames), desc="Drawing", unit="frames")
            archive = gr.DownloadButton(value=pack(outputs), interactive=True)
            return outputs.video_path, archive, timeline.html(*reader.read_audio()), summary(timeline, reader)


@contextmanager
def told_on_the_page():
    """What is wrong is shown on the page, without the folder that a file happens to lie in here."""
    try:
        yield
    except (VideoError, OSError) as error:
        message = re.sub(r"/\S+/", "", str(error))
        raise gr.Error(message, duration=None, print_exception=False) from error


def pack(outputs):
    """The masks and their description, in one archive beside the video. Returns: its path."""
    path = outputs.masks_folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:  # stored: PNG is compressed
        archive.write(outputs.json_path, outputs.json_path.name, zipfile.ZIP_DEFLATED)
        for mask in sorted(outputs.masks_folder.iterdir()):
            archive.write(mask, f"{outputs.masks_folder.name}/{mask.name}")
    return path


def summary(timeline, reader):
    sound = "" if reader.has_audio else " The video has no sound: it was taken as silence."
    if not timeline.seconds_that_sound:
        return f"Nothing sounds.{sound}"
    return f"Something sounds in {timeline.seconds_that_sound} of {timeline.num_seconds} seconds.{sound}"


def refuse_addresses(component):
    """Gradio would fetch a file whose address is sent in place of an upload, from anywhere and however large."""
    move = component.async_move_resource_to_block_cache

    async def move_unless_address(path):
        if is_http_url_like(str(path)):
            raise gr.Error("An address is not fetched: upload the video itself.", print_exception=False)
        return await move(path)

    component.async_move_resource_to_block_cache = move_unless_address


def build(page, examples, threshold):
    """The page's layout. Returns: gr.Blocks"""
    with gr.Blocks(title="TransAVS", analytics_enabled=False, delete_cache=(SWEEP_SECONDS, MAX_AGE_SECONDS)) as blocks:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column(scale=2):
                video = gr.Video(label="Video", sources=["upload"], elem_id="video", height=320)
                refuse_addresses(video)
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
                    mask_threshold = gr.Slider(
                        LEAST_THRESHOLD,
                        MOST_THRESHOLD,
                        threshold,
                        step=0.01,
                        elem_id="mask_threshold",
                        label="Threshold",
                        info="a pixel above it sounds",
                    )
                    least_score = gr.Slider(
                        0,
                        1,
                        0,
                        step=0.01,
                        elem_id="least_score",
                        label="Least score",
                        info="less sure objects are left out",
                    )
                archive = gr.DownloadButton("Download masks", elem_id="archive", interactive=False)
        timeline = gr.HTML(elem_id="timeline")
        outputs, sliders = [result, archive, timeline, sentence], [mask_threshold, least_score]
        video.upload(page.uploaded, video, queue=False, api_visibility="private")
        queue = {
            "concurrency_id": "model",
            "concurrency_limit": 1,
            "show_progress_on": result,
            "api_visibility": "private",
        }
        running = start.click(page.segment, [video, fps, *sliders], outputs, **queue)
        gr.on([slider.release for slider in sliders], page.redraw, sliders, outputs, **queue)
        stop.click(None, cancels=running)
        blocks.unload(page.left)
    return blocks.queue(max_size=MAX_WAITING)


def sweep_now_and_then(visitors):
    while True:
        time.sleep(SWEEP_SECONDS)
        visitors.sweep(MAX_AGE_SECONDS)


def end_orderly(*_):
    """Ends the program so that its folder is removed, even if it is told twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit()


def main(arguments=None):
    args = parse_arguments(arguments)
    examples = find_videos(args.examples)
    predictor = load_predictor(args.config_file, [*args.opts, "TEST.MASK_THRESHOLD", str(LEAST_THRESHOLD)])
    threshold = round(read_config(args.config_file, args.opts).TEST.MASK_THRESHOLD, 2)
    threshold = min(max(threshold, LEAST_THRESHOLD), MOST_THRESHOLD)
    signal.signal(signal.SIGTERM, end_orderly)
    with tempfile.TemporaryDirectory(prefix="transavs_", ignore_cleanup_errors=True) as root:
        os.environ["GRADIO_TEMP_DIR"] = root
        visitors = Visitors(Path(root))
        page = Page(predictor, visitors, args.max_seconds)
        blocks = build(page, examples, threshold)
        visitors.keep_all()  # the examples
        threading.Thread(target=sweep_now_and_then, args=[visitors], daemon=True).start()
        _, url, _ = blocks.launch(
            server_name=args.host,
            server_port=args.port,
            max_file_size=f"{args.max_megabytes}mb",
            share=False,
            ssr_mode=False,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
            theme=THEME,
            css=STYLE + NO_TRIMMING,
            head=f"<script>{SCRIPT}</script>",
        )
        print(f"The page is at {url} (Ctrl+C ends it)", flush=True)
        try:
            blocks.block_thread()
        finally:
            page.end()
            blocks.close(verbose=False)


if __name__ == "__main__":
    try:
        main()
    except (UsageError, OSError) as error:
        sys.exit(f"web_demo: {error}")
