"""What is written of a video that was segmented: the drawn video, its masks, and their description."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from detectron2.structures import Instances
from PIL import Image

from ..data.palette import encode_labels
from ..evaluation.avs_evaluator import encode_mask
from ..inference import class_map
from ..video import SOURCE_RATE, FrameRate, VideoError, VideoReader, VideoWriter
from ..visualization import ObjectStyle, draw_objects, overlay
from .predictor import FrameResult


class VideoOutputs:
    """What is written of one video, frame by frame; nothing stays of a video that fails.

    Args:
        folder: that all goes into.
        name: that the files' names begin with.
        reader: the video.
        threshold: a pixel sounds above it.
        source: what the JSON calls the video.
        fps: frames a second, as they are segmented.
        masks: write a PNG a frame too, 255 where it sounds; of a model of several classes in AVSBench's colours.
        json: write masks, scores and times too, masks as COCO RLE.
        side_by_side: the original beside the drawn.
        style: what objects are called and how they are coloured.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        reader: VideoReader,
        threshold: float,
        source: str,
        fps: FrameRate = SOURCE_RATE,
        masks: bool = False,
        json: bool = False,
        side_by_side: bool = False,
        style: ObjectStyle = ObjectStyle(),
    ):
        self.video_path = folder / f"{name}_sounding.mp4"
        self.json_path = folder / f"{name}_sounding.json" if json else None
        self.masks_folder = folder / f"{name}_masks" if masks else None
        self.side_by_side, self.threshold, self.reader, self.source = side_by_side, threshold, reader, source
        self.style = style
        self.fps = reader.fps if fps == SOURCE_RATE else float(fps)
        self.frames: list[dict[str, Any] | None] = []  # of the JSON
        width = 2 * reader.width if side_by_side else reader.width
        self.writer = VideoWriter(self.video_path, reader.height, width, self.fps, audio=reader)

    def __enter__(self) -> Self:
        self._remove_masks()  # another rate's would stay among the new ones
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        partial = self.json_path.with_suffix(".json.part") if self.json_path else None
        try:
            with self.writer:  # which drops the video, should the JSON fail
                if error is not None:
                    raise error
                if partial:
                    self._write_json(partial)
            if partial and self.json_path:
                os.replace(partial, self.json_path)
        except BaseException:
            self._remove_masks()
            if partial:
                partial.unlink(missing_ok=True)
            raise

    def add(self, result: FrameResult) -> None:
        """Draws and writes the next frame."""
        labels = class_map(result.sem_seg, self.threshold)  # H W
        mask = labels > 0
        drawn = self._draw(result.frame, mask, result.instances)
        picture = np.concatenate([result.frame, drawn], axis=1) if self.side_by_side else drawn
        self.writer.write(picture, result.time, 1 / self.fps)
        if self.masks_folder:
            several = len(result.sem_seg) > 1
            picture = encode_labels(labels.numpy()) if several else mask.numpy().astype(np.uint8) * 255
            _write_png(picture, self.masks_folder / f"{len(self.frames):06d}.png")
        self.frames.append(describe_frame(result, self.threshold) if self.json_path else None)

    def _draw(self, frame: np.ndarray, mask: torch.Tensor, objects: Instances) -> np.ndarray:
        objects = objects[:]
        objects.pred_masks = objects.pred_masks & mask
        # Where windows overlap, a pixel may sound that no object of the nearest one has.
        rest = mask & ~objects.pred_masks.any(0)
        return draw_objects(overlay(frame, rest.numpy()) if rest.any() else frame, objects, self.style)

    def _write_json(self, path: Path) -> None:
        description = {
            "video": self.source,
            "height": self.reader.height,
            "width": self.reader.width,
            "fps": self.fps,
            "duration": self.reader.duration,
            "categories": [{"id": c, "name": name} for c, name in enumerate(self.style.class_names)],
            "frames": self.frames,
        }
        with _told_with(self.json_path):
            path.write_text(json.dumps(description), encoding="utf-8")

    def _remove_masks(self) -> None:
        if self.masks_folder:
            shutil.rmtree(self.masks_folder, ignore_errors=True)


def describe_frame(result: FrameResult, threshold: float) -> dict[str, Any]:
    """What sounds in a frame, for JSON: its time in seconds, all that sounds, and each object; masks as COCO RLE.

    Args:
        result: of the frame.
        threshold: a pixel sounds above it.
    """
    objects = result.instances
    return {
        "time": result.time,
        "segmentation": encode_mask((result.sem_seg > threshold).any(0)),
        "instances": [
            {"object": number, "score": score, "category_id": category, "segmentation": encode_mask(object_mask)}
            for number, score, category, object_mask in zip(
                objects.object_number.tolist(),
                objects.scores.tolist(),
                objects.pred_classes.tolist(),
                objects.pred_masks,
            )
        ],
    }


def _write_png(picture: np.ndarray, path: Path) -> None:
    with _told_with(path):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(path)


@contextmanager
def _told_with(path: Path | None) -> Iterator[None]:
    """Names the file that cannot be written."""
    try:
        yield
    except OSError as error:
        raise VideoError(f"{path}: cannot be written ({error.strerror})") from error
