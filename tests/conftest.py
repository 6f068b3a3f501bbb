import json
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import timm
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model
from PIL import Image, ImageDraw

from transavs import add_transavs_config
from transavs.data.registration import register_clips
from transavs.weights.packaging import write_trained_model

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Where workers share the tests, the longest go first: none is left for the end, when the other cores are idle."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: -minutes_of(item))


def minutes_of(item):
    marks = [*item.iter_markers("slow"), *item.iter_markers("long")]
    return max((mark.kwargs.get("minutes", 1) for mark in marks), default=0)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def loggers_as_before():
    """Takes back what a command that is run in this process sets: its log would no longer reach pytest's `caplog`."""
    loggers = [logging.getLogger(name) for name in ("transavs", "detectron2", "fvcore")]
    before = [(logger.propagate, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, (propagate, level, handlers) in zip(loggers, before):
        logger.propagate, logger.handlers = propagate, handlers
        logger.setLevel(level)


@pytest.fixture(scope="session")
def small_overrides():
    """What makes a config's model small, as KEY, VALUE, ... of a command line."""
    return [
        "MODEL.DEVICE",
        "cpu",
        "MODEL.TRANSAVS.NUM_QUERIES",
        "6",
        "MODEL.TRANSAVS.HIDDEN_DIM",
        "32",
        "MODEL.SEM_SEG_HEAD.CONVS_DIM",
        "32",
        "MODEL.AUDIO_BACKBONE.TIMM_MODEL",
        "test_resnet",
    ]


@pytest.fixture(scope="session")
def small_cfg(small_overrides):
    """Makes the config of a model that runs in a fraction of a second; takes overrides as KEY, VALUE, ..."""

    def make(*overrides, file="toy/toy_s4_R18.yaml"):
        cfg = get_cfg()
        add_transavs_config(cfg)
        cfg.merge_from_file(str(ROOT / "configs" / file))
        cfg.merge_from_list([*small_overrides, *overrides])
        return cfg

    return make


@pytest.fixture(scope="session")
def trained(small_cfg, tmp_path_factory):
    """The config of a small model, its MODEL.WEIGHTS being the checkpoint of one that finds something everywhere."""
    torch.manual_seed(0)
    cfg = small_cfg()
    model = build_model(cfg)
    model.mask_head.classifier.bias.data = torch.tensor([9.0, 0.0])
    cfg.MODEL.WEIGHTS = str(tmp_path_factory.mktemp("trained") / "model_best.pth")
    torch.save({"model": model.state_dict()}, cfg.MODEL.WEIGHTS)
    return cfg


@pytest.fixture(scope="session")
def packaged(trained, tmp_path_factory):
    """The folder of that model, as tools/package_model.py makes it; not to be changed."""
    folder = tmp_path_factory.mktemp("packaged") / "bell"
    write_trained_model(trained, folder, "card")
    return folder


@pytest.fixture(scope="session")
def prepared_python():
    """A Python that has imported the large libraries, and forks a process for each script; see its file."""
    command = [sys.executable, str(ROOT / "tests/prepared_python.py")]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process


@pytest.fixture(scope="session")
def run_script(prepared_python, tmp_path_factory):
    """Runs a script of the repository, or another, as a user does; gives the finished process, its output as text.

    A variable of the environment that is given as None is left out.
    """

    def run(script, *arguments, folder=ROOT, timeout=600, **environment):
        variables = {**os.environ, **environment}
        output = tmp_path_factory.mktemp("run") / "output.txt"
        output.touch()
        request = {
            "script": str(ROOT / script),
            "arguments": [str(argument) for argument in arguments],
            "folder": str(folder),
            "environment": {name: value for name, value in variables.items() if value is not None},
            "output": str(output),
            "timeout": timeout,
        }
        prepared_python.stdin.write(json.dumps(request) + "\n")
        prepared_python.stdin.flush()
        returncode = int(prepared_python.stdout.readline())
        if returncode == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(request["arguments"], timeout, output.read_text()[-3000:])
        return subprocess.CompletedProcess(request["arguments"], returncode, output.read_text())

    return run


@pytest.fixture
def small_model(small_cfg):
    """Makes a small model in evaluation mode, on a ResNet-18 of Detectron2 or a timm model; takes config overrides."""

    def make(*overrides, timm=None):
        backbone = ["MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", timm] if timm else []
        return build_model(small_cfg(*backbone, *overrides)).eval()

    return make


@pytest.fixture
def make_timm():
    """Makes timm's own model, whole, with biases and norms that are not those of a fresh model."""

    def make(name, **options):
        model = timm.create_model(name, **options).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        return model

    return make


@pytest.fixture
def saved(tmp_path):
    """Saves a state dict as torch does, or as .safetensors, and gives its path."""

    def save(state_dict, name="weights.pth"):
        write = safetensors.torch.save_file if name.endswith(".safetensors") else torch.save
        write(state_dict, tmp_path / name)
        return str(tmp_path / name)

    return save


@pytest.fixture
def noise_clips(tmp_path):
    """The name of a registered dataset, and its dicts: three clips of five seconds, of noise at 16 kHz, 64 x 64."""
    clips, side, rate = [], 64, 16000
    for number in range(3):
        rng = np.random.default_rng(number)
        frames, masks = ([str(tmp_path / f"{number}_{k}_{kind}.png") for k in range(5)] for kind in ("frame", "mask"))
        for frame, mask in zip(frames, masks):
            Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(frame)
            Image.fromarray(255 * (rng.random((side, side)) > 0.5).astype(np.uint8)).save(mask)
        sound = str(tmp_path / f"{number}.wav")
        soundfile.write(sound, 0.1 * rng.standard_normal(5 * rate), rate)
        clip = {"video_id": str(number), "file_names": frames, "sem_seg_file_names": masks, "audio_file_name": sound}
        clips.append({**clip, "height": side, "width": side})
    register_clips("noise_clips", lambda: clips, subset="ms3")
    yield "noise_clips", clips
    DatasetCatalog.remove("noise_clips")
    MetadataCatalog.remove("noise_clips")


@pytest.fixture(scope="session")
def tone():
    """Makes a pure tone, float64 [samples] at 22050 Hz."""

    def make(frequency, seconds, level=0.5):
        return level * np.sin(2 * np.pi * frequency * np.arange(round(22050 * seconds)) / 22050)

    return make


@pytest.fixture(scope="session")
def write_stamp():
    """Writes a stamp of one colour: <name>.png beside <name>.ogg; takes the sound at 22050 Hz."""

    def write(folder, name, sound, picture_alpha=255):
        folder.mkdir(parents=True, exist_ok=True)
        picture = Image.new("RGBA", (80, 60))
        ImageDraw.Draw(picture).ellipse((5, 5, 70, 50), fill=(200, 30, 30, picture_alpha))
        picture.save(folder / f"{name}.png")
        soundfile.write(folder / f"{name}.ogg", sound, 22050, format="OGG", subtype="VORBIS")

    return write


@pytest.fixture(scope="session")
def stamps_root(tmp_path_factory, write_stamp, tone):
    """A folder of four stamps: crow, dog, horn and train."""
    root = tmp_path_factory.mktemp("stamps")
    write_stamp(root / "animals/birds", "crow", tone(300, 1.0))
    write_stamp(root / "animals", "dog", tone(700, 1.3))
    write_stamp(root / "hobbies", "horn", tone(1500, 1.6))
    write_stamp(root / "vehicles", "train", tone(3000, 6.0))
    return root


@pytest.fixture(scope="session")
def backgrounds_root(tmp_path_factory):
    """A folder of six grey pictures, each of another grey: 0, 40, ... 200."""
    root = tmp_path_factory.mktemp("backgrounds")
    for i in range(6):
        grey = 40 * i
        Image.new("RGB", (200, 150), (grey, grey, grey)).save(root / f"picture_{i}.png")
    return root


@pytest.fixture
def texts_of():
    """Gives the texts of a PDF."""

    def read(pdf):
        """What a PDF writes as text, a string for each piece."""
        streams = re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", pdf, re.S)
        page = next(stream for stream in map(zlib.decompress, streams) if b"\nBT\n" in stream)
        pieces = [b"".join(re.findall(rb"\((.*?)\)", shown)) for shown in re.findall(rb"\nBT\n(.*?)\nET\n", page, re.S)]
        return [piece.decode("utf-16-be") for piece in pieces]

    return read


@pytest.fixture
def no_more_memory():
    """Gives a context in which this process may take some megabytes more than it has."""

    @contextmanager
    def limit(megabytes=100):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (taken + (megabytes << 20), before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)

    return limit
