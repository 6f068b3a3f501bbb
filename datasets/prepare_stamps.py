#!/usr/bin/env python3
"""Make Stamps: cut-out photographs with their own real sounds, moving over photographs, in AVSBench's layout.

The stamps are those of Debian's tuxpaint-stamps-default, the backgrounds those of mate-backgrounds. Both packages are
downloaded when needed (208 MB, kept in a cache, no root needed); --stamps-root and --backgrounds-root take other
folders. Exits with status 3 where the packages cannot be had.
"""

import argparse
import functools
import os
import sys
from pathlib import Path

from transavs.data.avsbench import AVSDatasetError
from transavs.data.synthetic.command_line import add_source_options, exit_without_packages, make_parser, run_maker
from transavs.data.synthetic.debian import PackageError
from transavs.data.synthetic.scenes import MIN_VISIBLE_AREA
from transavs.data.synthetic.sources import fingerprint, stamps_sources
from transavs.data.synthetic.stamps import COUNTS, RANGES, SIZE, StampsMaker


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__.splitlines()[0], "stamps", SIZE)
    parser.add_argument("--scale", choices=COUNTS, default="small", help=f"clips in train, val, test: {COUNTS}")
    parser.add_argument(
        "--area",
        type=float,
        nargs=2,
        default=RANGES.area,
        metavar=("LEAST", "MOST"),
        help=f"share of the frame that an object is given (default: {RANGES.area})",
    )
    add_source_options(parser)
    args = parser.parse_args()
    if not MIN_VISIBLE_AREA <= args.area[0] <= args.area[1] <= 0.5:
        sys.exit(f"--area is {args.area}, expected two shares from {MIN_VISIBLE_AREA} to 0.5, the lesser one first")
    return args


def make_maker(args: argparse.Namespace) -> StampsMaker:
    """Returns: StampsMaker; where its pictures and sounds are from stands in the output's SOURCES.txt."""
    sources = stamps_sources(args.stamps_root, args.backgrounds_root)
    maker = StampsMaker(sources.stamps.folder, sources.backgrounds.folder, args.size, tuple(args.area))
    os.makedirs(args.output, exist_ok=True)
    text = f"The pictures and sounds of this folder are made of:\n\n{sources.describe()}"
    Path(args.output, "SOURCES.txt").write_text(text, encoding="utf-8")
    print(f"{len(maker.sprites)} stamps; backgrounds: { ({s: len(b) for s, b in maker.backgrounds.items()}) }")
    return maker


def main() -> None:
    args = parse_arguments()
    try:
        arguments = {
            "maker": "stamps",
            "size": args.size,
            "stamps": fingerprint(args.stamps_root),
            "backgrounds": fingerprint(args.backgrounds_root),
        }
        if tuple(args.area) != RANGES.area:
            arguments["area"] = list(args.area)
        run_maker(args, functools.cache(functools.partial(make_maker, args)), COUNTS[args.scale], arguments)
    except PackageError as error:
        exit_without_packages(error)
    except AVSDatasetError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
