"""The scripts of docs/USING.md, each run as a user's own, from a folder of the user's."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model

from transavs import add_transavs_config

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/USING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(# (\w+\.py)\n.*?)^```$", re.DOTALL | re.MULTILINE)  # its first line names the script
SCRIPTS = {name: text for text, name in BLOCK.findall(PAGE)}


@pytest.fixture(scope="module")
def workplace(run_script, tmp_path_factory):
    """The folder that docs/USING.md describes."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "TransAVS").symlink_to(ROOT)
    clips = ("--clips", 4, 1, 2, "--output", "toy")
    video = ("--data", "toy", "--num-clips", 2, "--fps", 5, "--size", 96, "--output", "street.mp4")
    toy = [("prepare_toy", ("--subset", subset, *clips)) for subset in ("s4", "ms3", "ss")]
    for script, arguments in (*toy, ("make_demo_video", video)):
        made = run_script(folder / f"TransAVS/datasets/{script}.py", *arguments, folder=folder)
        assert made.returncode == 0, made.stdout
    data = folder / "toy/Single-source/s4_data"
    (folder / "clip").mkdir()
    sound = next(data.glob("audio_wav/test/*/*.wav"))
    shutil.copy(sound, folder / "clip/sound.wav")
    for k in range(1, 6):
        frame = data / "visual_frames/test" / sound.parent.name / sound.stem / f"{sound.stem}_{k}.png"
        shutil.copy(frame, folder / f"clip/{k}.png")
    save_weights(folder / "weights.pth")
    return folder


def save_weights(path):
    """A model that finds something, though it has not been trained."""
    cfg = get_cfg()
    add_transavs_config(cfg)
    cfg.merge_from_file(str(ROOT / "configs/toy/toy_s4_R18.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    torch.manual_seed(0)
    model = build_model(cfg)
    model.mask_head.classifier.bias.data = torch.tensor([3.0, 0.0])
    torch.save({"model": model.state_dict()}, path)


def test_every_python_block_of_the_page_is_a_script():
    assert len(SCRIPTS) == PAGE.count("```python") == 10


@pytest.mark.slow
@pytest.mark.xdist_group("downstream")  # one folder of data for all of them
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_of_the_page_runs(run_script, workplace, name):
    (workplace / name).write_text(SCRIPTS[name], encoding="utf-8")
    # The data is found by what the script says alone.
    done = run_script(workplace / name, folder=workplace, timeout=300, DETECTRON2_DATASETS=None)
    assert done.returncode == 0, done.stdout[-3000:]
