"""What Detectron2's catalogs know of a dataset of clips."""

import json
import pickle
from functools import partial
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from transavs.data.registration import register_clips, registered_datasets

NAME = "registration_test"


def read_names(path):
    return json.loads(Path(path).read_text())


@pytest.fixture
def register(tmp_path):
    """Registers NAME with the classes that names.json lists, or with none."""

    def make(list_classes=partial(read_names, tmp_path / "names.json")):
        register_clips(NAME, lambda: [{"video_id": "a"}], list_classes, split="test")
        return MetadataCatalog.get(NAME)

    yield make
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def test_without_classes_all_that_sounds_is_one(register):
    metadata = register(None)
    assert DatasetCatalog.get(NAME) == [{"video_id": "a"}]
    assert (metadata.evaluator_type, metadata.split) == ("avs", "test")
    assert metadata.stuff_classes == metadata.thing_classes == ["sounding"]


def test_classes_are_read_when_they_are_asked_for_and_once(register, tmp_path):
    metadata = register()
    (tmp_path / "names.json").write_text('["dog", "drum", "man"]')
    assert (metadata.name, metadata.evaluator_type, metadata.split) == (NAME, "avss", "test")
    assert metadata.stuff_classes == metadata.get("thing_classes") == ["dog", "drum", "man"]
    (tmp_path / "names.json").unlink()
    # The background's black is left out.
    assert metadata.stuff_colors == metadata.thing_colors == [(128, 0, 0), (0, 128, 0), (128, 128, 0)]


def test_where_the_classes_cannot_be_had_there_are_none(register):
    metadata = register()
    assert metadata.get("thing_classes", []) == []
    with pytest.raises(AttributeError, match=f"'stuff_classes' does not exist in the metadata of dataset '{NAME}'"):
        _ = metadata.stuff_classes


def test_classes_that_have_changed_replace_the_others(register, tmp_path):
    (tmp_path / "names.json").write_text('["dog"]')
    metadata = register()
    assert metadata.stuff_classes == ["dog"]
    metadata.set_classes(["cat", "hen"])
    assert metadata.thing_classes == ["cat", "hen"] and len(metadata.thing_colors) == 2


def test_metadata_goes_to_another_process(register, tmp_path):
    (tmp_path / "names.json").write_text('["dog"]')
    metadata = pickle.loads(pickle.dumps(register()))
    assert (metadata.split, metadata.stuff_classes) == ("test", ["dog"])


def test_all_datasets_of_clips_are_told_and_no_others(register):
    register()
    names = registered_datasets()
    assert NAME in names and "stamps_s4_composed" in names and "coco_2017_train" not in names
    assert "coco_2017_train" in DatasetCatalog.list() and names == sorted(names)
