#!/usr/bin/env python3
"""Make Toy: drawn shapes, each with a sound of its own, in AVSBench's layout.

An object's size, place and depth say nothing about whether it sounds; only its kind and the sound together do.
"""

import functools

from transavs.data.layout import LAYOUTS
from transavs.data.semantic_layout import SEMANTIC_SUBSET
from transavs.data.synthetic.command_line import make_parser, run_maker
from transavs.data.synthetic.toy import COUNTS, SIZE, ToyMaker


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], "toy", SIZE)
    parser.add_argument(
        "--clips", type=int, nargs=3, default=COUNTS, metavar=("TRAIN", "VAL", "TEST"), help=f"default: {COUNTS}"
    )
    args = parser.parse_args()
    counts = dict.fromkeys((*LAYOUTS, SEMANTIC_SUBSET), tuple(args.clips))
    run_maker(args, functools.partial(ToyMaker, args.size), counts, {"maker": "toy", "size": args.size})


if __name__ == "__main__":
    main()
