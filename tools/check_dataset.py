#!/usr/bin/env python3
"""Reads a whole dataset and tells what is wrong with it: before days of training, or after a download or a copy.

    tools/check_dataset.py
    tools/check_dataset.py --root /data/mine --subset ms3 --json report.json
    tools/check_dataset.py --subset ss

Every frame, mask and sound that the lists name is read: is it there, does it fit, is a clip in two splits? AVSBench
must have as many clips and annotated frames as were published. It ends with status 1 where something is wrong.
"""

import dataclasses
import json
import os
from pathlib import Path

from tqdm import tqdm

from transavs.command_line import CommandParser, run
from transavs.data import checking
from transavs.data.registration import DATASET_FOLDERS, datasets_root


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_argument(
        "--data", choices=DATASET_FOLDERS, default="avsbench", help="under $DETECTRON2_DATASETS (default: %(default)s)"
    )
    parser.add_argument("--root", metavar="FOLDER", help="another folder of the same layout in its place")
    parser.add_argument(
        "--subset",
        choices=checking.SUBSETS,
        nargs="+",
        help="some of them (default: s4 and ms3, and ss where its folder is there)",
    )
    parser.add_argument("--json", metavar="FILE", help="write all that was found, too")
    return parser


def progress(rows, subset):
    return tqdm(rows, desc=subset, unit="clip", disable=None)  # where nobody watches there is no bar


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    root = args.root or os.path.join(datasets_root(), DATASET_FOLDERS[args.data])
    report = checking.check_dataset(
        root, args.subset, published=args.data == "avsbench" and not args.root, watch=progress
    )
    if args.json:
        Path(args.json).write_text(json.dumps(dataclasses.asdict(report), indent=1) + "\n", encoding="utf-8")
    print(report.text())
    return 1 if report.problems else 0


if __name__ == "__main__":
    run(main, OSError)
