#!/usr/bin/env python3
"""All the videos of a folder or a store in, their masks out as tables, on as many machines as one has.

    tools/predict_lake.py --input s3://bucket/videos --output s3://bucket/masks --address auto

--output gets frames/, a table of Parquet files: a row a frame, with the video's path, the time in seconds, what sounds
as a whole, and each object with its number and score, as COCO RLE; and errors/, a row for each video that could not be
segmented. --resume goes on with a run that was stopped. Without --address it starts Ray on this machine.
"""

import logging
import sys

from detectron2.utils.logger import setup_logger
from tqdm import tqdm

from transavs.command_line import DEFAULT_MODEL, CommandParser, frame_rate, run
from transavs.lake.errors import LakeError
from transavs.weights.published import WeightsError


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file(default=DEFAULT_MODEL)
    parser.add_argument("--input", required=True, nargs="+", help="folders of videos, with all below: paths, s3://...")
    parser.add_output_folder()
    parser.add_argument(
        "--fps", type=frame_rate, default=1, help="frames a second to segment; default: 1, as trained; source is all"
    )
    parser.add_argument("--resume", action="store_true", help="leave out what the tables have, unless it has changed")
    parser.add_argument("--retry-errors", action="store_true", help="with --resume: try again what is in errors/")
    parser.add_argument("--address", help="of a Ray cluster; auto is that of this machine")
    parser.add_argument("--actors", type=int, help="processes, with a model each; default: all there is room for")
    parser.add_argument("--gpus-per-actor", type=float, help="may be a part; default: 1 where there are GPUs, else 0")
    parser.add_argument("--cpus-per-actor", type=float, default=1, help="default: %(default)s")
    parser.add_opts()
    return parser


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    setup_logger(name="transavs").setLevel(logging.WARNING)
    parser.check_at_least("--actors", 1 if args.actors is None else args.actors, 1)
    parser.check_at_least("--cpus-per-actor", args.cpus_per_actor, 0.01)
    parser.check_at_least("--gpus-per-actor", args.gpus_per_actor or 0, 0)
    if args.retry_errors and not args.resume:
        parser.error("--retry-errors goes with --resume")
    cfg = parser.read_config(args.config_file, args.opts)
    parser.check_weights(cfg)
    parser.check_packages("a lake of videos", ["ray", "pyarrow", "pandas"], extra="lake")
    from transavs.lake.listing import Location
    from transavs.lake.running import Processes, predict_lake  # which takes seconds to import

    processes = Processes(args.address, args.actors, args.gpus_per_actor, args.cpus_per_actor)
    lakes, output = [Location.at(address) for address in args.input], Location.at(args.output)
    progress = predict_lake(cfg, lakes, output, args.fps, args.resume, args.retry_errors, processes)
    with tqdm(unit=" videos", desc="done") as bar:
        for counts in progress:
            bar.set_postfix(failed=counts.failed, skipped=counts.skipped, refresh=False)
            bar.update(counts.videos - bar.n)
    for unlisted in counts.unlisted:
        print(f"Failed: {unlisted}", file=sys.stderr)
    print(f"{counts.segmented} videos segmented, {counts.failed} failed, {counts.skipped} skipped: {output}")
    return 1 if counts.unlisted else 0


if __name__ == "__main__":
    run(main, LakeError, WeightsError, OSError)
