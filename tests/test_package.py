"""The wheel, installed where the repository is not."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import transavs

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "configs", "checkpoints", "projects")

PREDICTION = """
import sys
from importlib import metadata, resources
from pathlib import Path

import numpy as np
import transavs
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from transavs import AVSPredictor, model_zoo

installed, here = Path(sys.prefix), Path.cwd()
assert installed in Path(transavs.__file__).parents, transavs.__file__
assert installed in Path(model_zoo.get_config_file("avs_s4_R101.yaml")).parents
assert model_zoo.trained_models() == ["stamps_ms3_lite0", "stamps_s4_lite0", "stamps_ss_lite0"]
for name in model_zoo.trained_models():
    assert installed in Path(AVSPredictor.from_pretrained(name, device="cpu").cfg.MODEL.WEIGHTS).parents
assert (resources.files("transavs") / "py.typed").is_file()
assert metadata.version("transavs") == transavs.__version__

cfg = model_zoo.get_config("toy/toy_s4_R18.yaml")
cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", str(here / "model.pth")])
DetectionCheckpointer(build_model(cfg), str(here)).save("model")

frames = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
waveform = np.sin(np.arange(32000) / 10).astype(np.float32)
result = AVSPredictor(cfg)(frames, waveform, 16000)
print(sorted(result), tuple(result["sem_seg"].shape), len(result["instances"]), transavs.__version__)
"""


def run(*command, **options):
    finished = subprocess.run(
        [str(part) for part in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The Python of a new environment that has this wheel, and all else from the running one."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"  # a copy: building leaves files beside what it builds
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", folder, source)
    (wheel,) = folder.glob("transavs-*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # Packages only: the other environment's own .pth files, among them that of an editable install, are not read.
    Path(site, "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return python


@pytest.mark.slow
def test_the_wheel_builds_a_model_and_predicts_outside_the_repository(installed, tmp_path):
    output = run(installed, "-c", PREDICTION, cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"})
    assert output.splitlines()[-1] == f"['instances', 'sem_seg', 'times'] (2, 1, 48, 64) 2 {transavs.__version__}"
