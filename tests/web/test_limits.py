"""Whose video is refused: its frames and their pixels count, not the file's bytes alone."""

from types import SimpleNamespace

import pytest

from transavs.video import VideoError
from transavs.web.limits import Limits

LIMITS = Limits(seconds=120, frames=7200, gigapixels=8)


def video(seconds, frames, width, height):
    """What a VideoReader knows of a video."""
    return SimpleNamespace(path="a.mp4", duration=seconds, num_frames=frames, width=width, height=height)


@pytest.mark.parametrize(
    "reader", [video(120, 3600, 1920, 1080), video(60, 7200, 1280, 720), video(2, 240, 7680, 4320)]
)
def test_usual_videos_are_taken(reader):
    for fps in (1, 5, "source"):
        LIMITS.check(reader, fps)


@pytest.mark.parametrize(
    "reader, fps, reason",
    [
        (video(121, 121, 64, 48), 1, "lasts 121 s, expected at most 120 s"),
        (video(10, 10000, 16, 16), "source", "has 10000 frames, expected at most 7200"),
        (video(10, 1200, 7680, 4320), 1, "has 1200 frames of 7680x4320 pixels, expected at most 8 gigapixels together"),
        # Two frames, a minute apart: each is segmented five times a second.
        (video(120, 2, 8000, 8000), 5, "has 600 frames of 8000x8000 pixels, expected at most 8 gigapixels together"),
    ],
)
def test_a_video_that_would_keep_the_others_waiting_is_refused(reader, fps, reason):
    with pytest.raises(VideoError, match=f"^a.mp4: {reason}$"):
        LIMITS.check(reader, fps)
