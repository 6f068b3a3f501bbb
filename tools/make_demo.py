#!/usr/bin/env python3
"""The whole program in one go, on a CPU in minutes: makes clips, scores a model on them, draws what it does.

    tools/make_demo.py --output output/demo
    tools/make_demo.py --output output/train-demo --train

The clips are of Stamps, real photographs with real sounds, and the model is the one that comes along; --train trains
one first. Where Debian's packages, which Stamps needs, cannot be had, the clips are Toy's, and a model is trained. It
is scored with each test clip's own sound and with others: the gap is what it hears. What it does is drawn.
"""

import json
import shlex
import subprocess
import sys
from pathlib import Path

from transavs.command_line import CommandParser, run
from transavs.data.registration import DATASET_FOLDERS, datasets_root

ROOT = Path(__file__).resolve().parent.parent
NO_PACKAGES_STATUS = 3  # of prepare_stamps.py, which has then said why
SHIPPED = "stamps_s4_lite0"
RECIPES = {"stamps": "configs/plus/stamps_s4_lite0_short.yaml", "toy": "configs/toy/toy_s4_R18.yaml"}


def call(script, *arguments, allowed=(0,)):
    """Runs one of the repository's scripts in its own process, shows the command, and returns its exit status."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ python {shlex.join([script, *words])}", flush=True)
    status = subprocess.run([sys.executable, "-W", "ignore", str(ROOT / script), *words]).returncode
    if status not in allowed:
        raise subprocess.CalledProcessError(status, script)
    return status


def prepare_data(train):
    """Makes the clips, but none to train on, which composes its own; returns the name that datasets begin with."""
    stamps = ["--subset", "s4", "--without", "train", *([] if train else ["val"])]
    if call("datasets/prepare_stamps.py", *stamps, allowed=(0, NO_PACKAGES_STATUS)) == 0:
        return "stamps"
    print("Stamps cannot be made here; the demo goes on with Toy.")
    call("datasets/prepare_toy.py", "--subset", "s4")
    return "toy"


def train_model(data, output, opts):
    """Returns: what names the trained model on a command line, the config's option first, KEY VALUE last."""
    config = ["--config-file", ROOT / RECIPES[data]]
    if data == "stamps":
        key, ears = "MODEL.AUDIO_BACKBONE.WEIGHTS", output / "ears"
        call("tools/pretrain_audio.py", *config, "--output", ears, "--iterations", 600, key, "")
        opts = [key, ears / "audio_backbone.safetensors", *opts]
    call("tools/train_net.py", *config, "OUTPUT_DIR", output, *opts)
    return config, ["MODEL.WEIGHTS", output / "model_best.pth"]


def oracle_mj(data):
    """mJ of a model that cannot hear and marks every visible object."""
    return json.loads((Path(datasets_root()) / DATASET_FOLDERS[data] / "oracle.json").read_text())["s4"]["mJ"]


def make_parser():
    parser = CommandParser(__doc__)
    parser.add_output_folder(default="output/demo")
    parser.add_argument("--train", action="store_true", help="train a model, in place of the one that comes along")
    parser.add_opts()
    return parser


def main(arguments=None):
    args = make_parser().parse_args(arguments)
    output = Path(args.output).resolve()
    pictures, video = output / "pictures", output / "video/demo.mp4"
    data = prepare_data(args.train)
    config, weights = ["--config-file", SHIPPED], []
    if args.train or data == "toy":
        config, weights = train_model(data, output, args.opts)
    call("tools/compare_sounds.py", *config, "OUTPUT_DIR", output, *weights)
    oracle = f"\nEvery visible object marked, nothing heard (no model): mJ {100 * oracle_mj(data):.1f}\n"
    table = (output / "sounds/sounds.md").read_text() + oracle
    (output / "results.md").write_text(table)
    dataset = f"{data}_s4_test"
    predictions = output / "sounds/original/inference" / dataset / "predictions.json"
    call("tools/visualize_results.py", "--dataset", dataset, "--predictions", predictions, "--output", pictures)
    call("datasets/make_demo_video.py", "--data", data, "--subset", "s4", "--output", video)
    call("tools/demo.py", *config, "--input", video, "--output", video.parent, *weights)
    page = " ".join(map(str, ["tools/web_demo.py", *config, "--examples", video, *weights]))
    print(
        f"\n{table}\n"
        f"Results:  {output / 'results.md'}\n"
        f"Pictures: {pictures / 'results.png'}, and one of each clip beside it\n"
        f"Model:    {weights[1] if weights else SHIPPED}\n"
        f"Video:    {video.with_name('demo_sounding.mp4')}, and beside it {video.name}, on which it is drawn\n"
        f"Web page: {page}"
    )


if __name__ == "__main__":
    run(main, subprocess.CalledProcessError)
