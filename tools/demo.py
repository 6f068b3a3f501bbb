#!/usr/bin/env python3
"""Videos in, their sounding objects out: drawn over the pictures, with the sound kept.

    tools/demo.py --config-file configs/avs_s4_R101.yaml --input street.mp4 --output output/videos \\
        MODEL.WEIGHTS output/avs_s4_R101/model_best.pth

For each video NAME it writes NAME_sounding.mp4, whose frames are those that were segmented, each object with a colour
and its score. --masks adds NAME_masks/, a PNG a frame (255 sounds), and --json NAME_sounding.json: each frame's time in
seconds, what sounds as a whole, and each object with its number, score and category_id, as COCO RLE. With a model of
several classes objects are called by them ("violin 93%"), --colors class gives a class one colour, that of AVSBench's
palette, and the PNGs have these colours.
"""

import logging
import math
import sys
from pathlib import Path

from detectron2.utils.logger import setup_logger
from tqdm import tqdm

from transavs import AVSPredictor
from transavs.command_line import DEFAULT_MODEL, CommandParser, frame_rate, run
from transavs.engine.devices import fall_back_to_cpu
from transavs.engine.engines import ENGINES
from transavs.engine.video_outputs import VideoOutputs
from transavs.video import SOURCE_RATE, VideoError, VideoReader
from transavs.video.files import output_names
from transavs.visualization import ObjectStyle
from transavs.weights.published import WeightsError

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} clips [{elapsed}<{remaining}, {rate_noinv_fmt}]"


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file(default=DEFAULT_MODEL)
    parser.add_argument("--input", required=True, nargs="+", help="videos, folders of them, or patterns like '*.mp4'")
    parser.add_output_folder(default="output/videos")
    parser.add_argument(
        "--fps",
        type=frame_rate,
        default=SOURCE_RATE,
        help="frames a second to segment and write; default: source, all of them; 1 is as trained",
    )
    parser.add_argument("--masks", action="store_true", help="write the masks as PNG too")
    parser.add_argument("--json", action="store_true", help="write masks, scores and times as JSON too")
    told = "onnxruntime is faster on some CPUs, once its graph of the model is written (default: %(default)s)"
    parser.add_argument("--engine", choices=ENGINES, default="eager", help=told)
    parser.add_argument("--colors", choices=("object", "class"), default="object", help="one a class, or an object")
    parser.add_argument("--side-by-side", action="store_true", help="the original beside the drawn")
    parser.add_opts()
    return parser


def segment_video(predictor, video, name, args):
    """Segments one video and writes what was asked for. Returns: (Path, int), the video written, and its frames."""
    reader = VideoReader(video)
    seconds = predictor.cfg.MODEL.TRANSAVS.NUM_FRAMES  # of a clip
    total = math.ceil(reader.num_seconds(args.fps) / seconds)
    wanted = {key: getattr(args, key) for key in ("fps", "masks", "json", "side_by_side")}
    style = ObjectStyle(predictor.class_names, by_class=args.colors == "class")
    threshold = predictor.cfg.TEST.MASK_THRESHOLD
    with (
        tqdm(total=total, unit="clip", desc=name, bar_format=BAR) as bar,
        VideoOutputs(Path(args.output), name, reader, threshold, video, style=style, **wanted) as outputs,
    ):
        for result in predictor.stream(reader, args.fps):
            outputs.add(result)
            if int(result.time) // seconds > bar.n:
                bar.update()
        bar.update(total - bar.n)
    return outputs.video_path, len(outputs.frames)


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    setup_logger(name="transavs").setLevel(logging.WARNING)
    cfg = parser.read_config(args.config_file, args.opts)
    videos = parser.find_videos("--input", args.input)
    parser.check_weights(cfg)
    parser.make_output_folder(args.output)
    fall_back_to_cpu(cfg)
    predictor = AVSPredictor(cfg, args.engine)
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
    run(main, WeightsError, OSError, ValueError)
