"""A video in windows of T seconds: which of them see a second, and the sound that each of them hears."""

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

from ..data.audio import SAMPLE_RATE
from ..data.layout import NUM_FRAMES

Frame = tuple[Fraction, np.ndarray]  # seconds, where in the video it stands, and uint8 [H, W, 3]

BLENDINGS = ("average", "triangle")
PIXELS_AT_ONCE = 5 * 1920 * 1080  # of the frames that are segmented together: their results are of their own size


class Windows:
    """Which windows see a second, and how much each counts. Windows start every `length - overlap` seconds from 0 on,
    as many as are needed to cover the video.

    Args:
        num_seconds (int): of the video.
        length (int): T, seconds of a window.
        overlap (int): seconds that a window shares with the next.
        blending (str): of BLENDINGS; "triangle" weighs a second by how near it is to the window's middle.
    """

    def __init__(self, num_seconds: int, length: int, overlap: int, blending: str):
        if not 0 <= overlap < length:
            raise ValueError(f"TEST.WINDOW_OVERLAP is {overlap}, expected whole seconds from 0 to {length - 1}")
        if blending not in BLENDINGS:
            raise ValueError(f"TEST.WINDOW_BLENDING is {blending!r}, expected one of {', '.join(BLENDINGS)}")
        self.num_seconds, self.length, self.step, self.blending = num_seconds, length, length - overlap, blending

    def starts_of(self, second: int) -> list[int]:
        """The first seconds of the windows that see this second."""
        # More frames than the file's packets told of: more windows.
        num_seconds = max(self.num_seconds, second + 1)
        first = max(0, -(-(second - self.length + 1) // self.step) * self.step)
        return [
            start
            for start in range(first, second + 1, self.step)
            if start == 0 or start - self.step + self.length < num_seconds  # the window before does not reach the end
        ]

    def seconds_heard(self, start: int) -> int:
        """How many seconds of sound the window has that starts at this second.

        None after the video's end, which a model of longer clips knows from shorter ones; but no fewer than AVSBench's
        shortest clips have: up to there, silence follows.
        """
        return min(self.length, max(NUM_FRAMES, self.num_seconds - start))

    def nearness(self, offset: int) -> int:
        """To the window's middle, of its second `offset`: 1 at both ends, one more each second inwards."""
        return min(offset + 1, self.length - offset)

    def weight(self, offset: int) -> int:
        return self.nearness(offset) if self.blending == "triangle" else 1


class SlidingSound:
    """A sound that is read as far as is asked for, and forgotten up to there.

    Args:
        blocks (iterator[ndarray]): float [n], one after the other.
        rate (int): samples a second.
    """

    def __init__(self, blocks: Iterator[np.ndarray], rate: int | None):
        self._blocks, self._rate = blocks, rate
        self._kept: list[np.ndarray] = []
        self._first = 0  # the number of the first sample kept

    def cut(self, start: int, stop: int) -> tuple[np.ndarray | None, int | None]:
        """From one second to another; what came before `start` is forgotten.

        Returns:
            (float [samples], rate): shorter where the sound ends; (None, rate) where nothing is left of it.
        """
        if self._rate is None:
            return None, None
        begin, end = round(start * self._rate), round(stop * self._rate)
        held = sum(map(len, self._kept))
        while self._first + held < end and (block := next(self._blocks, None)) is not None:
            self._kept.append(block)
            held += len(block)
            while self._first + len(self._kept[0]) <= begin and len(self._kept) > 1:
                dropped = len(self._kept.pop(0))
                self._first, held = self._first + dropped, held - dropped
        if not self._kept:
            return None, self._rate
        samples = np.concatenate(self._kept)[max(0, begin - self._first) : end - self._first]
        # A rest too short to make a sample at the rate that the model hears is silence.
        return (samples if len(samples) * SAMPLE_RATE >= self._rate and len(samples) else None), self._rate


def frames_together(timed_frames: Iterable[Frame], length: int) -> Iterator[list[Frame]]:
    """Yields lists of `length` frames with their times; of fewer where they are large, but of one at least."""
    remaining = iter(timed_frames)
    for first in remaining:
        height, width = first[1].shape[:2]
        at_once = frames_at_once(height, width, length)
        yield [first, *itertools.islice(remaining, at_once - 1)]


def frames_at_once(height: int, width: int, length: int) -> int:
    return min(length, max(1, PIXELS_AT_ONCE // (height * width)))
