"""One process of a lake's run: its model, and what becomes of each video."""

import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from pyarrow.fs import LocalFileSystem, copy_files

from ..data.audio import SAMPLE_RATE
from ..data.errors import one_line, reason_of
from ..engine.predictor import AVSPredictor
from ..engine.video_outputs import describe_frame
from ..video import FrameRate, VideoError
from .errors import LakeError
from .listing import MAX_GROUP_VIDEOS, Location, Row, Video, videos_of
from .tables import ERRORS, Tables

MAX_DEATHS = 3  # of processes, over one video
WAITS = (1, 5, 15)  # seconds until tables that failed are tried again
# What a video of its own brings about; anything else may be the model's or the device's, and end the process.
FAILURES = (VideoError, OSError, MemoryError, torch.OutOfMemoryError)
Describe = Callable[[str], Iterator[dict[str, Any]]]  # a video's file to the descriptions of its frames


@dataclass(frozen=True)
class Model:
    """A trained model as it travels to other machines, where its files are not.

    Args:
        cfg: its config; MODEL.WEIGHTS names its file of weights, which is not read again.
        weights: the content of that file.
        fps: frames a second to be segmented.
    """

    cfg: CfgNode
    weights: bytes
    fps: FrameRate

    def load(self) -> Describe:
        """Makes the model, and runs it once: a device that does not work is told of before any video is.

        Raises:
            LakeError: it cannot be made or run on this machine.
        """
        cfg, name = self.cfg.clone(), self.cfg.MODEL.WEIGHTS
        with tempfile.NamedTemporaryFile(suffix=PurePosixPath(name).suffix) as file:
            file.write(self.weights)
            file.flush()
            cfg.MODEL.WEIGHTS = file.name
            try:
                predictor = AVSPredictor(cfg)
                predictor([np.zeros((64, 64, 3), np.uint8)], np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE)
            except Exception as error:
                reason = reason_of(error).replace(file.name, name)
                raise LakeError(f"{socket.gethostname()}: the model does not work there ({reason})") from error
        logging.getLogger("transavs").setLevel(logging.ERROR)  # that a video is silent, for each of millions

        def describe(path: str) -> Iterator[dict[str, Any]]:
            for result in predictor.stream(path, self.fps):
                yield describe_frame(result, cfg.TEST.MASK_THRESHOLD)

        return describe


class Worker:
    """Puts videos into the tables; Ray Data makes one in each of its processes.

    What ends the whole run is told in a row, as all else: an exception would come with pages of Ray's.

    Args:
        load: gives the model, or raises a LakeError.
        lakes: that the videos are in.
        tables: of the output.
        retry_errors: videos that an earlier run failed at are tried again.
    """

    def __init__(
        self, load: Callable[[], Describe], lakes: Sequence[Location], tables: Tables, retry_errors: bool = False
    ):
        self.lakes, self.tables, self.retry_errors, self.desks = lakes, tables, retry_errors, Desks(tables.run)
        self.fatal = ""
        try:
            self.describe = load()
        except LakeError as error:
            self.fatal = str(error)

    def __call__(self, row: Row) -> Row:
        """A row of `find_groups` to one that counts what became of its videos.

        Returns:
            dict: how many are `segmented`, `failed` and `skipped`; the row's `unlisted`; and `fatal`, why the run is to
            end, or "".
        """
        told = {"segmented": 0, "failed": 0, "skipped": 0, "unlisted": str(row["unlisted"]), "fatal": self.fatal}
        if self.fatal:
            return told
        for wait in (0, *WAITS):
            time.sleep(wait)
            try:
                return told | self._segment_group(row)
            except LakeError as error:
                fatal = str(error)
        return told | {"fatal": fatal}

    def _segment_group(self, row: Row) -> dict[str, int]:
        """Raises: LakeError: the tables cannot be read or written. What is done already counts the next time."""
        videos = videos_of(row, self.lakes)
        with ThreadPoolExecutor(MAX_GROUP_VIDEOS) as pool:  # a store takes its time for each answer
            entries = list(pool.map(self.tables.find, videos))
        counts = {"segmented": 0, "failed": 0, "skipped": 0}
        for video, entry in zip(videos, entries):
            if entry is None or (self.retry_errors and entry.table == ERRORS and not entry.is_new):
                became = self._segment(video, self.lakes[int(row["lake"])])
            elif entry.is_new:  # by a process that died before it could tell, or by this one before the tables failed
                became = "failed" if entry.table == ERRORS else "segmented"
            else:
                became = "skipped"
            counts[became] += 1
        return counts

    def _segment(self, video: Video, lake: Location) -> str:
        last_words = self.desks.last_words(video)
        if len(last_words) >= MAX_DEATHS:
            reason = next(filter(None, last_words), "killed, out of memory, or a crash in a library")
            self.tables.write_error(video, f"{video.address}: ended the process {len(last_words)} times: {reason}")
            return "failed"
        with self.desks.at_work(video) as desk:
            file = video.path if lake.is_local else str(desk / f"video{PurePosixPath(video.path).suffix}")
            try:
                if not lake.is_local:
                    copy_files(video.path, file, lake.filesystem, LocalFileSystem())
                self.tables.write_frames(video, self.describe(file))
                return "segmented"
            except FAILURES as error:
                self.tables.write_error(video, _reason(error).replace(file, video.address))
                return "failed"
            except LakeError:
                raise
            except Exception as error:
                # A model or a device that failed once may fail from now on. A new process tries the video again.
                self.desks.leave(desk, video, reason_of(error))
                os._exit(1)


def _reason(error: BaseException) -> str:
    return one_line(error) or type(error).__name__  # a MemoryError says nothing


class Desks:
    """The folders of the processes of this machine, for the video that each works on. What a process leaves there when
    it dies tells over which video it did, so that a video that ends every process is given up in the end.

    Args:
        run: names the run.
    """

    def __init__(self, run: str):
        self.folder, self.prefix = Path(tempfile.gettempdir()), f"transavs_lake_{run}_"

    @contextmanager
    def at_work(self, video: Video) -> Iterator[Path]:
        """A folder that goes with all that is in it, unless the process dies."""
        with tempfile.TemporaryDirectory(prefix=f"{self.prefix}{os.getpid()}_", dir=self.folder) as folder:
            Path(folder, video.digest).touch()
            yield Path(folder)

    def leave(self, desk: Path, video: Video, words: str) -> None:
        (desk / video.digest).write_text(words, encoding="utf-8")

    def last_words(self, video: Video) -> list[str]:
        """Of each process that died over the video, "" where it could say nothing; the copies of it go."""
        words = []
        for note in sorted(self.folder.glob(f"{self.prefix}*/{video.digest}")):
            for file in note.parent.iterdir():
                if file != note:
                    file.unlink()
            words.append(note.read_text(encoding="utf-8"))
        return words

    def clear(self) -> None:
        for desk in self.folder.glob(f"{self.prefix}*"):
            shutil.rmtree(desk, ignore_errors=True)
