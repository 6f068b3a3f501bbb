"""Trained models by name, folder and address; nothing is fetched from elsewhere."""

import functools
import http.server
import shutil
import threading

import numpy as np
import pytest
import safetensors.torch
import torch
from iopath.common import file_io

from transavs import AVSPredictor
from transavs.config import ConfigError
from transavs.weights import pretrained
from transavs.weights.packaging import trained_weights
from transavs.weights.pretrained import trained_config, trained_models
from transavs.weights.published import WeightsError

LARGEST_DIFFERENCE = 0.01  # of a probability, with weights of 11 bits


@pytest.fixture
def folder(packaged, tmp_path):
    """A copy of a trained model's folder, to be changed."""
    return shutil.copytree(packaged, tmp_path / "bell")


@pytest.fixture
def address(folder, tmp_path, monkeypatch):
    """Serves the copy on this machine, with a cache of downloads of its own; gives the address of its weights."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/bell/model.safetensors"
        server.shutdown()


def digest_of(folder):
    return (folder / "SHA256SUMS").read_text().split()[0]


def segment(predictor):
    frames = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
    waveform = np.sin(np.arange(32000) / 10).astype(np.float32)
    return predictor(frames, waveform, 16000)["sem_seg"]


def test_a_folder_predicts_as_the_model_that_it_was_made_of(trained, packaged, saved):
    expected, found = segment(AVSPredictor(trained)), segment(AVSPredictor.from_pretrained(packaged, device="cpu"))
    assert expected.max() > 0.1 and (found - expected).abs().max() < LARGEST_DIFFERENCE
    rounded = trained.clone()  # beside the rounding to half precision, nothing differs
    weights = trained_weights(trained)
    rounded.MODEL.WEIGHTS = saved(
        {name: value.half().float() if value.is_floating_point() else value for name, value in weights.items()}
    )
    assert torch.equal(segment(AVSPredictor(rounded)), found)


def test_device_and_threshold_can_be_chosen(packaged, monkeypatch):
    predictor = AVSPredictor.from_pretrained(str(packaged), threshold=0.3)
    assert predictor.cfg.TEST.MASK_THRESHOLD == 0.3
    assert predictor.model.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert AVSPredictor.from_pretrained(packaged, device="cpu").cfg.TEST.MASK_THRESHOLD == 0.5


def test_a_name_is_found_in_the_package_and_before_that_in_no_other_place(packaged, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "_PACKAGE", tmp_path / "transavs")
    assert trained_models() == []
    shutil.copytree(packaged, tmp_path / "transavs/checkpoints/bell")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bell").mkdir()
    assert trained_models() == ["bell"]
    assert trained_config("bell").MODEL.WEIGHTS == str(tmp_path / "transavs/checkpoints/bell/model.safetensors")
    with pytest.raises(WeightsError, match=r"bell: has no config.yaml and no model.safetensors, expected a trained"):
        trained_config("./bell")


def test_an_unknown_name_is_told_the_known_ones():
    names = ", ".join(trained_models()) or "none in this installation"
    with pytest.raises(WeightsError) as error:
        AVSPredictor.from_pretrained("stamps_s4_lite")
    told = f"no trained model is called 'stamps_s4_lite', nor is there such a folder; there are: {names}"
    assert str(error.value) == told


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors"])
def test_a_folder_without_one_of_its_files_names_it(folder, name):
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=f"bell: has no {name}, expected a trained model's folder"):
        trained_config(folder)


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors"])
def test_a_file_with_another_digest_is_refused(folder, name):
    with open(folder / name, "ab") as file:
        file.write(b"\n")
    with pytest.raises(WeightsError, match=rf"{name}: has the SHA-256 [0-9a-f]{{64}}, expected [0-9a-f]{{64}}"):
        trained_config(folder)
    assert (folder / name).exists()


def test_a_folder_without_digests_can_be_used(folder):
    (folder / "SHA256SUMS").unlink()
    assert trained_config(folder, ["TEST.MASK_THRESHOLD", 0.4]).TEST.MASK_THRESHOLD == 0.4


@pytest.mark.parametrize(
    "text, error",
    [
        ("_BASE_: ../Base.yaml\n", "builds on another file"),
        ("OUTPUT_DIR: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
    ],
)
def test_a_config_that_asks_for_more_than_values_is_refused(folder, text, error):
    (folder / "SHA256SUMS").unlink()
    (folder / "config.yaml").write_text(text)
    with pytest.raises((WeightsError, ConfigError), match=error):
        trained_config(folder)


def test_an_address_gives_the_model_and_its_config(address, folder):
    cfg = trained_config(f"{address}#sha256={digest_of(folder)}")
    assert cfg.MODEL.TRANSAVS.NUM_QUERIES == 6
    found = safetensors.torch.load_file(cfg.MODEL.WEIGHTS)
    assert found.keys() == safetensors.torch.load_file(folder / "model.safetensors").keys()
    assert file_io.get_cache_dir() in cfg.MODEL.WEIGHTS


def test_an_address_with_another_digest_is_refused(address):
    with pytest.raises(WeightsError, match=r"model.safetensors: has the SHA-256 .* expected 00000000; .* was removed"):
        trained_config(f"{address}#sha256=00000000")


def test_what_an_address_must_be_is_told(address):
    with pytest.raises(WeightsError, match="expected the address of a model.safetensors, with its config.yaml beside"):
        trained_config(address.rpartition("/")[0])
    with pytest.raises(WeightsError, match="none/config.yaml: could not be had .*404"):
        trained_config(address.replace("bell", "none"))
