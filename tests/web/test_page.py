"""What the page's events do where no browser is needed."""

from types import SimpleNamespace

import gradio
import numpy as np
import pytest

from transavs.video import VideoWriter
from transavs.web.limits import Limits
from transavs.web.page import Page
from transavs.web.visitors import Visitors


@pytest.mark.parametrize(
    "limits, told", [(Limits(9, 3, 1), "has 4 frames"), (Limits(9, 9, 1e-5), "has 4 frames of 64x48")]
)
def test_a_small_file_of_too_much_work_is_refused_before_the_model_runs(tmp_path, limits, told):
    path = tmp_path / "small.mp4"
    with VideoWriter(path, 48, 64) as writer:
        for number in range(4):
            writer.write(np.zeros((48, 64, 3), np.uint8), number / 120)
    page = Page(None, Visitors(tmp_path / "root"), limits)
    with pytest.raises(gradio.Error) as raised:
        list(page.segment(str(path), "source", 0.5, 0, False, SimpleNamespace(session_hash="visitor")))
    assert raised.value.message.startswith(f"small.mp4: {told}")
