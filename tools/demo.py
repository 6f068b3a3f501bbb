#!/usr/bin/env python3
"""Videos in, their sounding objects out: drawn over the pictures, with the sound kept.

    tools/demo.py --config-file configs/avs_s4_R101.yaml --input street.mp4 --output output/videos \
        MODEL.WEIGHTS output/avs_s4_R101/model_best.pth

For each video NAME it writes NAME_sounding.mp4, whose frames are those that were segmented, each object with a colour and
its score. --masks adds NAME_masks/, a PNG a frame (255 sounds), and --json NAME_sounding.json:
each frame's time in seconds, what sounds as a whole, and each object with its number and score, as COCO RLE.
"""

import argparse
import glob
import json
import logging
import math
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from detectron2.utils.logger import setup_logger
from PIL import Image
from tqdm import tqdm

from transavs import AVSPredictor
from transavs.config import read_config
from transavs.evaluation.avs_evaluator import encode_mask
from transavs.video import SOURCE_RATE, VIDEO_SUFFIXES, VideoError, VideoReader, VideoWriter
from transavs.visualization import draw_objects, overlay

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} clips [{elapsed}<{remaining}, {rate_noinv_fmt}]"


class UsageError(ValueError):
    """What was asked for cannot be done; the message is one line that says why."""


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, help="of the model, e.g. configs/avs_s4_R101.yaml")
    parser.add_argument("--input", required=True, nargs="+", help="videos, folders of them, or patterns like '*.mp4'")
    parser.add_argument("--output", required=True, help="folder for what is written")
    parser.add_argument(
        "--fps",
        type=frame_rate,
        default=SOURCE_RATE,
        help="frames a second to segment and write; default: source, all of them; 1 is as trained",
    )
    parser.add_argument("--masks", action="store_true", help="write the masks as PNG too")
    parser.add_argument("--json", action="store_true", help="write masks, scores and times as JSON too")
    parser.add_argument("--side-by-side", action="store_true", help="the original beside the drawn")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="override the config")
    return parser.parse_args(arguments)


def frame_rate(text):
    if text == SOURCE_RATE:
        return text
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a positive number or {SOURCE_RATE!r}")
    return rate


def load_predictor(config_file, opts):
    """The model of the command line, on the GPU where there is one."""
    if not os.path.isfile(config_file):
        raise UsageError(f"--config-file {config_file}: no such file")
    try:
        cfg = read_config(config_file, opts)
    except (KeyError, ValueError, AssertionError) as error:
        raise UsageError(f"the config cannot be read: {error}") from error
    weights = cfg.MODEL.WEIGHTS
    if not weights or "://" not in weights and not os.path.isfile(weights):
        raise UsageError(f"MODEL.WEIGHTS is {weights!r}: expected a trained model's file, as KEY VALUE")
    if cfg.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    return AVSPredictor(cfg)


def find_videos(inputs):
    """Files as they are, folders' videos, and what a pattern matches; each once, in this order."""
    found = []
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            matches = sorted(str(file) for file in path.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES)
        else:
            # A name may itself hold characters of a pattern; what matches nothing is told of when it is opened.
            matches = [given] if path.exists() else sorted(glob.glob(given, recursive=True)) or [given]
        if not matches:
            raise UsageError(f"--input {given}: holds no video ({', '.join(VIDEO_SUFFIXES)})")
        found += matches
    return list(dict.fromkeys(found))


def output_names(videos):
    """A name for each video's outputs: its own, with a number where two are alike."""
    names = []
    for video in videos:
        stem, number, name = Path(video).stem, 2, Path(video).stem
        while name in names:
            name, number = f"{stem}_{number}", number + 1
        names.append(name)
    return names


@contextmanager
def told_with(path):
    """Names the file that cannot be written."""
    try:
        yield
    except OSError as error:
        raise VideoError(f"{path}: cannot be written ({error.strerror})") from error


class Outputs:
    """What is written of one video, frame by frame; nothing stays of a video that fails.

    Args:
        folder (Path): that all goes into.
        name (str): that the files' names begin with.
        reader (VideoReader): the video.
        args (Namespace): `fps`, `masks`, `json`, `side_by_side`, as on the command line.
        threshold (float): a pixel sounds above it.
        source (str): what the JSON calls the video.
    """

    def __init__(self, folder, name, reader, args, threshold, source):
        self.video_path = folder / f"{name}_sounding.mp4"
        self.json_path = folder / f"{name}_sounding.json" if args.json else None
        self.masks_folder = folder / f"{name}_masks" if args.masks else None
        self.side_by_side, self.threshold, self.reader, self.source = args.side_by_side, threshold, reader, source
        self.fps = reader.fps if args.fps == SOURCE_RATE else args.fps
        self.frames = []  # of the JSON
        width = 2 * reader.width if args.side_by_side else reader.width
        self.writer = VideoWriter(self.video_path, reader.height, width, self.fps, audio=reader)

    def __enter__(self):
        self._remove_masks()  # another rate's would stay among the new ones
        return self

    def __exit__(self, kind, error, traceback):
        partial = self.json_path.with_suffix(".json.part") if self.json_path else None
        try:
            with self.writer:  # which drops the video, should the JSON fail
                if error is not None:
                    raise error
                if partial:
                    self._write_json(partial)
            if partial:
                os.replace(partial, self.json_path)
        except BaseException:
            self._remove_masks()
            if partial:
                partial.unlink(missing_ok=True)
            raise

    def add(self, result):
        """Args: result (FrameResult)"""
        mask = (result.sem_seg > self.threshold).any(0)  # H W
        drawn = self._draw(result.frame, mask, result.instances)
        picture = np.concatenate([result.frame, drawn], axis=1) if self.side_by_side else drawn
        self.writer.write(picture, result.time, 1 / self.fps)
        if self.masks_folder:
            self._write_mask(mask, self.masks_folder / f"{len(self.frames):06d}.png")
        self.frames.append(self._description(result, mask) if self.json_path else None)

    def _write_mask(self, mask, path):
        with told_with(path):
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(mask.numpy().astype(np.uint8) * 255).save(path)

    def _draw(self, frame, mask, objects):
        objects = objects[:]
        objects.pred_masks = objects.pred_masks & mask
        # Where windows overlap, a pixel may sound that no object of the nearest one has.
        rest = mask & ~objects.pred_masks.any(0)
        return draw_objects(overlay(frame, rest.numpy()) if rest.any() else frame, objects)

    def _description(self, result, mask):
        objects = result.instances
        return {
            "time": result.time,
            "segmentation": encode_mask(mask),
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

    def _write_json(self, path):
        description = {
            "video": self.source,
            "height": self.reader.height,
            "width": self.reader.width,
            "fps": self.fps,
            "duration": self.reader.duration,
            "frames": self.frames,
        }
        with told_with(self.json_path):
            path.write_text(json.dumps(description), encoding="utf-8")

    def _remove_masks(self):
        if self.masks_folder:
            shutil.rmtree(self.masks_folder, ignore_errors=True)


def segment_video(predictor, video, name, args):
    """Segments one video and writes what was asked for. Returns: (Path, int), the video written, and its frames."""
    reader = VideoReader(video)
    seconds = predictor.cfg.MODEL.TRANSAVS.NUM_FRAMES  # of a clip
    total = math.ceil(reader.num_seconds(args.fps) / seconds)
    results = predictor.stream(reader, args.fps)
    with (
        tqdm(total=total, unit="clip", desc=name, bar_format=BAR) as bar,
        Outputs(Path(args.output), name, reader, args, predictor.cfg.TEST.MASK_THRESHOLD, video) as outputs,
    ):
        for result in results:
            outputs.add(result)
            if int(result.time) // seconds > bar.n:
                bar.update()
        bar.update(total - bar.n)
    return outputs.video_path, len(outputs.frames)


def main(arguments=None):
    args = parse_arguments(arguments)
    setup_logger(name="transavs").setLevel(logging.WARNING)
    videos = find_videos(args.input)
    predictor = load_predictor(args.config_file, args.opts)
    try:
        os.makedirs(args.output, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {args.output}: cannot be made ({error.strerror})") from error
    failed = 0
    for video, name in zip(videos, output_names(videos)):
        try:
            path, count = segment_video(predictor, video, name, args)
            print(f"{video}: {count} frames, {path}")
        except (VideoError, OSError) as error:
            failed += 1
            print(f"Failed: {error}", file=sys.stderr)
    print(f"{len(videos) - failed} of {len(videos)} videos done" + (f", {failed} failed" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UsageError as error:
        sys.exit(f"demo: {error}")
