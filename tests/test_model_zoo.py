"""Shipped configs and trained models by their names."""

from pathlib import Path

import pytest
import torch
import yaml
from detectron2.config import get_cfg

from transavs import AVSPredictor, add_transavs_config, model_zoo
from transavs.modeling.prediction import prepare_for_prediction
from transavs.weights.published import WeightsError

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
NAMES = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_each_shipped_config_is_found(name):
    assert Path(model_zoo.get_config_file(name)).samefile(CONFIGS / name)


def test_a_config_comes_with_the_files_that_it_builds_upon():
    expected = get_cfg()
    add_transavs_config(expected)
    expected.merge_from_file(str(CONFIGS / "ablations/avs_s4_R101_100_queries.yaml"))
    cfg = model_zoo.get_config("ablations/avs_s4_R101_100_queries.yaml")
    assert cfg == expected
    assert "_BASE_" in yaml.safe_load((CONFIGS / "ablations/avs_s4_R101_100_queries.yaml").read_text())
    assert cfg.MODEL.TRANSAVS.NUM_QUERIES == 100 and cfg.MODEL.META_ARCHITECTURE == "TransAVS"


def test_each_call_gives_a_config_of_its_own():
    model_zoo.get_config("avs_s4_R101.yaml").MODEL.DEVICE = "cpu"
    assert model_zoo.get_config("avs_s4_R101.yaml").MODEL.DEVICE == "cuda"


@pytest.mark.parametrize(
    "name, close",
    [
        ("avs_s4_R110.yaml", "close to it: avs_s4_R101.yaml"),
        ("toy_s4_R18.yaml", "close to it: toy/toy_s4_R18.yaml"),
        ("../configs/avs_s4_R101.yaml", "close to it: avs_s4_R101.yaml"),
        ("", "there are: Base-Small.yaml, "),
    ],
)
def test_an_unknown_name_is_told_those_like_it(name, close):
    with pytest.raises(ValueError) as error:
        model_zoo.get_config_file(name)
    assert f"no config is called {name!r}; {close}" in str(error.value)


def test_a_package_without_its_configs_says_where_they_were_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(model_zoo, "_PACKAGE", tmp_path / "lib" / "site-packages" / "transavs")
    with pytest.raises(FileNotFoundError, match="transavs/configs.*install the package again"):
        model_zoo.get_config_file("avs_s4_R101.yaml")


TRAINED = ["stamps_ms3_lite0", "stamps_s4_lite0", "stamps_ss_lite0"]
LARGEST = 16_000_000  # bytes of a model that comes along


def test_the_trained_models_come_along():
    assert model_zoo.trained_models() == TRAINED


@pytest.mark.parametrize("name", TRAINED)
def test_a_trained_model_is_given_by_its_name(name):
    cfg = model_zoo.get_config(name, trained=True)
    folder = Path(cfg.MODEL.WEIGHTS).parent
    assert Path(model_zoo.get_config_file(name)).samefile(folder / "config.yaml") and folder.name == name
    assert Path(cfg.MODEL.WEIGHTS).stat().st_size <= LARGEST
    assert model_zoo.get_config(name).MODEL.WEIGHTS == ""

    model, predictor = model_zoo.get(name, trained=True, device="cpu"), AVSPredictor.from_pretrained(name, device="cpu")
    assert model.training and model.device.type == "cpu"
    prepare_for_prediction(model)
    expected = predictor.model.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
    card = (folder / "README.md").read_text()
    assert all(f"## {section}" in card for section in ("How it was made", "Scores", "Data and licences", "What it"))


def test_a_model_without_training_has_random_weights():
    first, second = (model_zoo.get("toy/toy_s4_R18.yaml", device="cpu") for _ in range(2))
    assert not torch.equal(first.mask_head.classifier.weight, second.mask_head.classifier.weight)


def test_a_config_without_a_trained_model_is_told_which_there_are():
    with pytest.raises(WeightsError, match="no trained model is called 'avs_s4_R101.yaml'.*there are: "):
        model_zoo.get("avs_s4_R101.yaml", trained=True)
