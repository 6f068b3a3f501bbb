"""Serves the page until the process is told to end."""

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from detectron2.config import CfgNode

from ..engine.predictor import AVSPredictor
from .layout import MAX_AGE_SECONDS, MOST_THRESHOLD, NO_TRIMMING, SWEEP_SECONDS, THEME, build
from .limits import Limits
from .page import LEAST_THRESHOLD, Page
from .timeline import SCRIPT, STYLE
from .visitors import Visitors


def serve(cfg: CfgNode, examples: Sequence[str], host: str, port: int, max_megabytes: int, limits: Limits) -> None:
    """Loads the model and serves the page until the process is ended, by Ctrl+C or SIGTERM; then no file of it stays.

    Args:
        cfg: of a trained model. The slider stands at its TEST.MASK_THRESHOLD first.
        examples: videos that visitors can pick.
        host: address to listen at.
        port: to listen at.
        max_megabytes: of an upload.
        limits: of a video.
    """
    threshold = min(max(round(cfg.TEST.MASK_THRESHOLD, 2), LEAST_THRESHOLD), MOST_THRESHOLD)
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TEST.MASK_THRESHOLD = LEAST_THRESHOLD
    predictor = AVSPredictor(cfg)
    signal.signal(signal.SIGTERM, _end_orderly)
    with tempfile.TemporaryDirectory(prefix="transavs_", ignore_cleanup_errors=True) as root:
        os.environ["GRADIO_TEMP_DIR"] = root
        visitors = Visitors(Path(root))
        page = Page(predictor, visitors, limits)
        blocks = build(page, examples, threshold)
        visitors.keep_all()  # the examples
        threading.Thread(target=_sweep_now_and_then, args=[visitors], daemon=True).start()
        _, url, _ = blocks.launch(
            server_name=host,
            server_port=port,
            max_file_size=f"{max_megabytes}mb",
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


def _sweep_now_and_then(visitors: Visitors) -> None:
    while True:
        time.sleep(SWEEP_SECONDS)
        visitors.sweep(MAX_AGE_SECONDS)


def _end_orderly(*_: object) -> None:
    """Ends the program so that its folder is removed, even if it is told twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit()
