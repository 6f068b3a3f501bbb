"""A model of several classes, scored and drawn by the commands, on Toy in AVSBench-semantic's layout."""

import json

import pytest
import torch
from detectron2.modeling import build_model

from transavs.visualization.confusion import read_confusion

CONFIG = "configs/toy/toy_s4_R18.yaml"
CLASSES = ["circle", "square", "triangle", "star", "cross"]
KEYS = ("MODEL.SEM_SEG_HEAD.NUM_CLASSES", "5", "MODEL.TRANSAVS.NUM_FRAMES", "10", "INPUT.TARGETS", "classes")


@pytest.fixture(scope="module")
def workplace(run_script, small_cfg, tmp_path_factory):
    """A folder with Toy and the weights of a model that has learnt nothing, and takes much for a triangle or a star."""
    folder = tmp_path_factory.mktemp("classes")
    made = run_script("datasets/prepare_toy.py", "--subset", "ss", "--output", folder / "toy", "--clips", 1, 1, 3)
    assert made.returncode == 0, made.stdout
    torch.manual_seed(0)
    model = build_model(small_cfg(*KEYS))
    model.mask_head.classifier.bias.data = torch.tensor([0.0, 0.0, 9.0, 8.5, 0.0, 0.0])
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    return folder


@pytest.fixture
def score(run_script, workplace, small_overrides):
    """Scores the model into a folder of the workplace; gives what was printed, and the folder of results."""

    def run(output, *keys, command="tools/train_net.py"):
        model = ("MODEL.WEIGHTS", workplace / "model.pth", "TEST.MASK_THRESHOLD", 0.3, *KEYS, *small_overrides)
        data = ("DATASETS.TEST", ("toy_ss_test",), "OUTPUT_DIR", workplace / output)
        only = ["--eval-only"] if command == "tools/train_net.py" else []
        arguments = ("--config-file", CONFIG, *only, *model, *data, *keys)
        done = run_script(command, *arguments, DETECTRON2_DATASETS=str(workplace))
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout, workplace / output / "inference/toy_ss_test"

    return run


@pytest.mark.slow
def test_sounds_are_compared_by_what_is_recognised_too(score, workplace):
    score("sounds", command="tools/compare_sounds.py")
    header, _, original, *_ = (workplace / "sounds/sounds/sounds.md").read_text().splitlines()
    assert [cell.strip() for cell in header.split("|")][2:4] == ["mIoU", "mJ"]
    results = json.loads((workplace / "sounds/sounds/original/inference/toy_ss_test/results.json").read_text())
    assert original.split("|")[2].strip() == f"{100 * results['semantic']['mIoU']:.1f}"


@pytest.mark.slow
def test_both_kinds_of_maps_are_scored_and_the_confusion_is_drawn(score, run_script, workplace):
    found = {}
    for kind in ("argmax", "sum"):
        printed, folder = score(kind, "TEST.SEMANTIC_MAP", kind)
        assert "mIoU_classes" in printed and "| background" in printed
        found[kind] = json.loads((folder / "results.json").read_text())["semantic"]
    assert found["argmax"] != found["sum"]

    table = read_confusion(folder / "confusion.csv")
    assert table.names == ["background", *CLASSES]
    assert table.pixels.sum() == (5 + 5 + 10) * 64 * 64
    picture = workplace / "confusion.png"
    drawn = run_script("tools/plot_confusion.py", "--input", folder / "confusion.csv", "--output", picture)
    assert drawn.returncode == 0 and picture.stat().st_size > 10_000, drawn.stdout

    pictures = workplace / "pictures"
    arguments = ("--dataset", "toy_ss_test", "--predictions", folder / "predictions.json", "--output", pictures)
    drawn = run_script("tools/visualize_results.py", *arguments, DETECTRON2_DATASETS=str(workplace))
    assert drawn.returncode == 0 and (pictures / "results.png").stat().st_size > 10_000, drawn.stdout
