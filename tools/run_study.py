#!/usr/bin/env python3
"""Trains models that differ in a few config keys, each with several seeds, and prints what they reach side by side.

    tools/run_study.py --study docs/studies/stamps_s4.yaml --output output/studies/s4
    tools/run_study.py --study docs/studies/stamps_s4.yaml --output output/studies/s4 --rows "learned queries"

Each training is a call of tools/train_net.py with a folder of its own below --output, and is left out where it is
done; so a study that was ended goes on with the same command. The table, study.md, is of all that is done.
"""

import subprocess
import sys
from pathlib import Path

from transavs.benchmarks.studies import StudyError, read_study, run_folder, scores_of, study_table
from transavs.command_line import CommandParser, run

TRAIN = Path(__file__).resolve().parent / "train_net.py"


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_argument("--study", required=True, type=Path, metavar="FILE", help="its YAML: CONFIG, CHANGES, ROWS")
    parser.add_output_folder()
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="some of the study's rows (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1], help="default: 0 1")
    parser.add_opts()
    return parser


def main(arguments=None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    study = read_study(args.study)
    rows = args.rows or list(study.rows)
    for row in rows:
        if row not in study.rows:
            parser.error(f"--rows {row!r}: not in {args.study}, expected some of: {', '.join(study.rows)}")
        parser.read_config(str(study.config), [*study.opts(row), *args.opts])  # what is wrong shows before training
    parser.make_output_folder(args.output)
    output = Path(args.output)
    for seed in args.seeds:  # a whole table early, then more seeds
        for row in rows:
            folder = run_folder(output, row, seed)
            if scores_of(folder) is None:
                opts = [*study.opts(row), *args.opts, "SEED", str(seed), "OUTPUT_DIR", str(folder)]
                command = [str(TRAIN), "--config-file", str(study.config), *opts]
                subprocess.run([sys.executable, "-W", "ignore", *command], check=True)
    table = study_table(f"{args.study.stem}, seeds {', '.join(map(str, args.seeds))}", study, output, args.seeds)
    (output / "study.md").write_text(table + "\n", encoding="utf-8")
    print(f"\n{table}")


if __name__ == "__main__":
    run(main, StudyError, subprocess.CalledProcessError, OSError)
