#!/usr/bin/env python3
"""The whole program in one go, on a CPU in minutes: makes data, trains a small model, scores it, draws what it does.

    tools/make_demo.py --output output/demo

It trains on Stamps, real photographs with real sounds; on Toy where Debian's packages, which Stamps needs, cannot be
had. The model is scored with each test clip's own sound and with sounds that do not belong to it: the gap is what it
hears. What it does is drawn in pictures and in a video.
"""

import json
import subprocess
import sys
from pathlib import Path

from transavs.command_line import CommandParser, run
from transavs.data.avsbench import DATASET_FOLDERS, datasets_root

ROOT = Path(__file__).resolve().parent.parent
NO_PACKAGES_STATUS = 3  # of prepare_stamps.py, which has then said why


def call(script, *arguments, allowed=(0,)):
    """Runs one of the repository's scripts in its own process, shows the command, and returns its exit status."""
    command = [str(ROOT / script), *map(str, arguments)]
    print(f"\n$ python {script} {' '.join(command[1:])}", flush=True)
    status = subprocess.run([sys.executable, "-W", "ignore", *command]).returncode
    if status not in allowed:
        raise subprocess.CalledProcessError(status, script)
    return status


def prepare_data():
    """Makes the data; returns the name that datasets and config begin with."""
    if call("datasets/prepare_stamps.py", "--subset", "s4", allowed=(0, NO_PACKAGES_STATUS)) == 0:
        return "stamps"
    print("Stamps cannot be made here; the demo goes on with Toy.")
    call("datasets/prepare_toy.py", "--subset", "s4")
    return "toy"


def oracle_mj(data):
    """mJ of a model that cannot hear and marks every visible object."""
    return json.loads((Path(datasets_root()) / DATASET_FOLDERS[data] / "oracle.json").read_text())["s4"]["mJ"]


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_output_folder(default="output/demo")
    parser.add_opts()
    return parser


def main(arguments=None):
    args = make_parser().parse_args(arguments)
    output = Path(args.output).resolve()
    model, pictures, video = output / "model_best.pth", output / "pictures", output / "video/demo.mp4"
    data = prepare_data()
    config, dataset = ROOT / "configs" / data / f"{data}_s4_R18.yaml", f"{data}_s4_test"
    of_model = ["--config-file", config]
    trained = ["MODEL.WEIGHTS", model]

    call("tools/train_net.py", *of_model, "OUTPUT_DIR", output, *args.opts)
    call("tools/compare_sounds.py", *of_model, "OUTPUT_DIR", output, *trained)
    oracle = f"Every visible object marked, nothing heard (no model): mJ {100 * oracle_mj(data):.1f}"
    table = (output / "sounds/sounds.md").read_text() + f"\n{oracle}\n"
    (output / "results.md").write_text(table)

    predictions = output / "inference" / dataset / "predictions.json"
    call("tools/visualize_results.py", "--dataset", dataset, "--predictions", predictions, "--output", pictures)
    call("datasets/make_demo_video.py", "--data", data, "--subset", "s4", "--output", video)
    call("tools/demo.py", *of_model, "--input", video, "--output", video.parent, *trained)

    print(
        f"\n{table}\n"
        f"Results:  {output / 'results.md'}\n"
        f"Pictures: {pictures / 'results.png'}, and one of each clip beside it\n"
        f"Model:    {model}\n"
        f"Video:    {video.with_name('demo_sounding.mp4')}, and beside it {video.name}, on which it is drawn\n"
        f"Web page: tools/web_demo.py --config-file {config} --examples {video} MODEL.WEIGHTS {model}"
    )


if __name__ == "__main__":
    run(main, subprocess.CalledProcessError)
