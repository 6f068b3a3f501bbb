#!/usr/bin/env python3
"""What the configs cost, in one run: clips beside the backbone alone, waits, engines, loading, evaluation, videos.

    tools/benchmark.py --config-file configs/avs_ms3_R101.yaml
    tools/benchmark.py --config-file configs/avs_ms3_*.yaml --pixel-decoder FPNPixelDecoder MSDeformAttnPixelDecoder
    tools/benchmark.py --config-file stamps_ms3_lite0 --measure engines --write
    tools/benchmark.py --config-file stamps_ms3_lite0 --measure video --seconds 60 --write

What is compared takes turns, so that a machine's moods meet both; medians are printed. --measure is one of

  clip        weights, FLOPs, memory, and the time of inference and training, of noise and random weights: neither
              changes the cost. Training is forward and backward, of the frames that a training clip has annotated.
  waits       how often a training step waits for its device, counted on the CPU
  engines     how long AVSPredictor takes to start with each of its engines, in fresh processes, and then for a clip
  loading     the training clips a second that a worker of the loader makes, with mixing and without
  evaluation  the first of DATASETS.TEST scored as training does it, beside the model alone
  video       a whole video as tools/demo.py does it, from the file to the file: with a mask a second, and with masks
              for all of its frames; and how much of the time each part takes

Weights are random, unless --config-file is a trained model or MODEL.WEIGHTS is given.
"""

from pathlib import Path

from detectron2.modeling import SEM_SEG_HEADS_REGISTRY

from transavs.benchmarks import cost
from transavs.benchmarks.suite import TABLES, Options
from transavs.benchmarks.tables import around_marks, format_table, write_table
from transavs.command_line import CommandParser, run
from transavs.data.corrupt_clips import UNREADABLE
from transavs.weights.published import WeightsError

PAGE = Path(__file__).resolve().parents[1] / "configs/README.md"


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_config_file(nargs="+")
    parser.add_argument("--measure", choices=TABLES, default="clip", help="what, see above (default: %(default)s)")
    parser.add_argument("--pixel-decoder", nargs="+", metavar="NAME", help="these in place of the config's, in turn")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each, after one that is not counted")
    parser.add_argument("--seconds", type=int, default=60, help="length of the video (default: %(default)s)")
    parser.add_argument(
        "--write",
        type=Path,
        nargs="?",
        const=PAGE,
        metavar="FILE",
        help="put the table into this file, between its two marks (without a file: configs/README.md)",
    )
    parser.add_opts()
    return parser


def check(parser, args):
    unknown = set(args.pixel_decoder or ()) - {name for name, _ in SEM_SEG_HEADS_REGISTRY}
    if unknown:
        parser.error(f"--pixel-decoder: {', '.join(unknown)} not registered")
    if args.pixel_decoder and args.measure != "clip":
        parser.error(f"--measure {args.measure} takes each config as it is, without --pixel-decoder")
    parser.check_at_least("--runs", args.runs, 1)
    parser.check_at_least("--seconds", args.seconds, 1)
    if args.write:
        try:
            around_marks(args.write, TABLES[args.measure].marks)
        except (OSError, ValueError) as error:
            parser.error(f"--write {error}")


def read_configs(parser, args):
    """Each of the configs with each of the pixel decoders: its file's name, and the config."""
    choices = [["MODEL.SEM_SEG_HEAD.NAME", name] for name in args.pixel_decoder or ()] or [[]]
    for path in args.config_file:
        weights = ["MODEL.WEIGHTS", ""] if Path(path).is_file() else []
        for choice in choices:
            yield Path(path).name, cost.prepare(parser.read_config(path, [*weights, *args.opts, *choice]))


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    check(parser, args)
    configs, table = list(read_configs(parser, args)), TABLES[args.measure]
    options = Options(args.runs, args.seconds, trained=all(cfg.MODEL.WEIGHTS for _, cfg in configs))
    rows = [row for name, cfg in configs for row in table.measure(cfg, name, options)]
    text = format_table(table.title(options), rows, table.headers)
    print(text)
    if args.write:
        write_table(args.write, text, table.marks)


if __name__ == "__main__":
    run(main, *UNREADABLE, WeightsError, OSError)
