#!/usr/bin/env python3
"""The whole program in one go, on a CPU in minutes: makes data, trains a small model, scores it, draws what it does, in
pictures and in a video.

    tools/make_demo.py --output output/demo

It trains on Stamps, real photographs with real sounds; on Toy where Debian's packages, which Stamps needs, cannot be
had. The model is scored with each test clip's own sound and with sounds that do not belong to it: the gap is what it
hears.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from transavs.data.avsbench import DATASET_FOLDERS, datasets_root

ROOT = Path(__file__).resolve().parent.parent
NO_PACKAGES_STATUS = 3  # of prepare_stamps.py, which has then said why


def run(script, *arguments, allowed=(0,)):
    """Runs one of the repository's scripts in its own process, shows the command, and returns its exit status."""
    command = [str(ROOT / script), *map(str, arguments)]
    print(f"\n$ python {script} {' '.join(command[1:])}", flush=True)
    status = subprocess.run([sys.executable, "-W", "ignore", *command]).returncode
    if status not in allowed:
        sys.exit(f"{script} failed with status {status}")
    return status


def prepare_data():
    """Makes the data; returns the name that datasets and config begin with."""
    if run("datasets/prepare_stamps.py", "--subset", "s4", allowed=(0, NO_PACKAGES_STATUS)) == 0:
        return "stamps"
    print("Stamps cannot be made here; the demo goes on with Toy.")
    run("datasets/prepare_toy.py", "--subset", "s4")
    return "toy"


def oracle_mj(data):
    """mJ of a model that cannot hear and marks every visible object."""
    return json.loads((Path(datasets_root()) / DATASET_FOLDERS[data] / "oracle.json").read_text())["s4"]["mJ"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("output/demo"))
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="overrides of the training config: KEY VALUE ...")
    args = parser.parse_args()
    output = args.output.resolve()

    data = prepare_data()
    config, dataset = ROOT / "configs" / data / f"{data}_s4_R18.yaml", f"{data}_s4_test"
    run("tools/train_net.py", "--config-file", config, "OUTPUT_DIR", output, *args.opts)
    run(
        "tools/compare_sounds.py",
        "--config-file",
        config,
        "OUTPUT_DIR",
        output,
        "MODEL.WEIGHTS",
        output / "model_best.pth",
    )
    oracle = f"Every visible object marked, nothing heard (no model): mJ {100 * oracle_mj(data):.1f}"
    table = (output / "sounds/sounds.md").read_text() + f"\n{oracle}\n"
    (output / "results.md").write_text(table)
    run(
        "tools/visualize_results.py",
        "--dataset",
        dataset,
        "--output",
        output / "pictures",
        "--predictions",
        output / "inference" / dataset / "predictions.json",
    )

    video = output / "video/demo.mp4"
    run("datasets/make_demo_video.py", "--data", data, "--subset", "s4", "--output", video)
    run(
        "tools/demo.py",
        "--config-file",
        config,
        "--input",
        video,
        "--output",
        video.parent,
        "MODEL.WEIGHTS",
        output / "model_best.pth",
    )

    print(
        f"\n{table}\nResults:  {output / 'results.md'}\nPictures: {output / 'pictures' / 'results.png'}, and one of each "
        f"clip beside it\nModel:    {output / 'model_best.pth'}\n"
        f"Video:    {video.with_name('demo_sounding.mp4')}, and beside it {video.name}, on which it is drawn\n"
        f"Web page: tools/web_demo.py --config-file {config} --examples {video} MODEL.WEIGHTS {output / 'model_best.pth'}"
    )


if __name__ == "__main__":
    main()
