"""The page's parts and where they stand."""

from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from gradio_client.utils import is_http_url_like

from ..video import SOURCE_RATE, FrameRate
from .page import LEAST_THRESHOLD, Page

MOST_THRESHOLD = 0.95  # of the slider
RATES: list[tuple[str, FrameRate]] = [("1, as trained", 1), ("5", 5), ("every frame", SOURCE_RATE)]
MAX_WAITING = 20  # requests
SWEEP_SECONDS, MAX_AGE_SECONDS = 600, 6 * 3600  # how often old files are looked for, and how old they may get
THEME = gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # no font from elsewhere
# Gradio's scissors would fetch a program from elsewhere, to cut the video in the browser.
NO_TRIMMING = '#video button[aria-label^="Trim"], #video button[aria-label^="Reset"] { display: none; }'
INTRODUCTION = """# What sounds in this video?
TransAVS marks, in each frame, the objects that can be heard: upload a video or pick an example."""


def refuse_addresses(component: gr.Video) -> None:
    """Gradio would fetch a file whose address is sent in place of an upload, from anywhere and however large."""
    move = component.async_move_resource_to_block_cache

    async def move_unless_address(path: Path | str | None) -> Path | str | None:
        if is_http_url_like(str(path)):
            raise gr.Error("An address is not fetched: upload the video itself.", print_exception=False)
        return await move(path)

    component.async_move_resource_to_block_cache = move_unless_address


def build(page: Page, examples: Sequence[str], threshold: float) -> gr.Blocks:
    """The whole page; `threshold` is the one that the slider stands at first."""
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
                by_class = gr.Checkbox(
                    label="One colour a class", elem_id="by_class", visible=len(page.predictor.class_names) > 1
                )
                archive = gr.DownloadButton("Download masks", elem_id="archive", interactive=False)
        timeline = gr.HTML(elem_id="timeline")
        outputs, choices = [result, archive, timeline, sentence], [mask_threshold, least_score, by_class]
        video.upload(page.uploaded, video, queue=False, api_visibility="private")
        queue = {
            "concurrency_id": "model",
            "concurrency_limit": 1,
            "show_progress_on": result,
            "api_visibility": "private",
        }
        running = start.click(page.segment, [video, fps, *choices], outputs, **queue)
        changed = [mask_threshold.release, least_score.release, by_class.input]
        gr.on(changed, page.redraw, choices, outputs, **queue)
        stop.click(None, cancels=running)
        blocks.unload(page.left)
    return blocks.queue(max_size=MAX_WAITING)
