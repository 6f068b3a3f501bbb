"""The engines of the predictor give what PyTorch as it is gives."""

import shutil

import numpy as np
import pytest
import torch

from transavs import AVSPredictor
from transavs.engine.engines import OnnxRuntimeFuse, use_engine

RATE = 16000


@pytest.fixture(scope="module")
def clip():
    """Seven seconds of frames and sound: a window of five, and one of two that is filled up with silence."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(7)]
    return frames, (0.1 * rng.normal(size=7 * RATE)).astype(np.float32), RATE


@pytest.fixture(scope="module")
def expected(trained, clip):
    found = AVSPredictor(trained)(*clip)
    assert found["sem_seg"].max() > 0.1
    return found


def check(found, expected):
    torch.testing.assert_close(found["sem_seg"], expected["sem_seg"], rtol=0, atol=1e-4)
    for instances, wanted in zip(found["instances"], expected["instances"], strict=True):
        torch.testing.assert_close(instances.scores, wanted.scores, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_onnx_runtime_gives_the_same_and_writes_its_graph_once(trained, clip, expected, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    check(AVSPredictor(trained, engine="onnxruntime")(*clip), expected)
    (graph,) = (tmp_path / "transavs/graphs").iterdir()
    monkeypatch.setattr(OnnxRuntimeFuse, "_write", None)  # it is found there from now on
    again = AVSPredictor(trained, engine="onnxruntime")
    check(again(*clip), expected)
    with torch.no_grad():
        again.model.mask_head.classifier.bias.add_(1)
    assert OnnxRuntimeFuse(again.model, trained)._key not in graph.name  # other weights, another graph


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_it_gives_the_same(trained, clip, expected):
    check(AVSPredictor(trained, engine="compile")(*clip), expected)


def test_an_unknown_engine_is_told(trained):
    with pytest.raises(ValueError, match="engine is 'steam', expected one of: eager, compile, onnxruntime"):
        AVSPredictor(trained, engine="steam")


def test_onnx_runtime_is_for_the_cpu(trained):
    model = AVSPredictor(trained).model.to("meta")
    with pytest.raises(ValueError, match="engine is 'onnxruntime', which is for the CPU, and MODEL.DEVICE is meta"):
        use_engine(model, trained, "onnxruntime")
