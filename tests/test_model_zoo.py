"""Shipped configs by their names."""

from pathlib import Path

import pytest
import yaml
from detectron2.config import get_cfg

from transavs import add_transavs_config, model_zoo

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
