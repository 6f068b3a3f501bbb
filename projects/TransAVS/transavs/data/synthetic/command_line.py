"""What the commands of `datasets/` share: options, their checks, and the making of a dataset."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from typing import NoReturn

from ..avsbench import LAYOUTS, SPLITS, AVSDatasetError
from ..registration import DATASET_FOLDERS, datasets_root
from ..semantic_layout import SEMANTIC_SUBSET
from .clips import ClipMaker
from .debian import PackageError
from .writing import prepare_subset

MIN_SIZE = 32  # pixels of a frame's side
NO_PACKAGES_STATUS = 3


def make_parser(description: str, prefix: str, size: int) -> argparse.ArgumentParser:
    """The options both makers share; `prefix` is the registered prefix, as in `DATASET_FOLDERS`."""
    folder = DATASET_FOLDERS[prefix]
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--output",
        default=os.path.join(datasets_root(), folder),
        help=f"folder to write to (default: $DETECTRON2_DATASETS/{folder}, or datasets/{folder})",
    )
    parser.add_argument("--subset", choices=[*LAYOUTS, "both", SEMANTIC_SUBSET], default="both")
    parser.add_argument(
        "--without", nargs="+", choices=SPLITS[:2], default=(), help="splits to leave out; the others do not change"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same files (default: 0)")
    parser.add_argument("--size", type=int, default=size, help=f"pixels of a frame's side (default: {size})")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    return parser


def add_source_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stamps-root", help="folder of animals/, hobbies/ ... with <name>.png beside <name>.ogg")
    parser.add_argument("--backgrounds-root", help="folder of photographs, .jpg or .png")


def check_size_and_seed(args: argparse.Namespace) -> None:
    if args.size < MIN_SIZE:
        sys.exit(f"--size is {args.size}, expected at least {MIN_SIZE}: smaller objects cannot be told apart")
    if args.seed < 0:
        sys.exit(f"--seed is {args.seed}, expected 0 or more")


def run_maker(
    args: argparse.Namespace,
    get_maker: Callable[[], ClipMaker],
    counts: Mapping[str, tuple[int, int, int]],
    arguments: Mapping[str, object],
) -> None:
    """Make the subsets asked for on the command line.

    Args:
        args: of `make_parser`.
        get_maker, arguments: as in `prepare_subset`.
        counts: {subset: clips in train, val and test}.
    """
    check_size_and_seed(args)
    for subset in LAYOUTS if args.subset == "both" else [args.subset]:
        if min(counts[subset]) < 1:
            sys.exit(f"{counts[subset]} clips in train, val and test: expected at least 1 of each")
        try:
            prepare_subset(
                get_maker, arguments, args.output, subset, counts[subset], args.seed, args.workers, args.without
            )
        except AVSDatasetError as error:
            sys.exit(str(error))


def exit_without_packages(error: PackageError) -> NoReturn:
    """End the command where the packages cannot be had, with a status that `make demo` knows."""
    print(f"{error}; --stamps-root and --backgrounds-root take folders of your own", file=sys.stderr)
    sys.exit(NO_PACKAGES_STATUS)
