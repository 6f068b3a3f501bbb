"""What a predictor imports; how soon it is there, in seconds, is told by tools/benchmark.py --measure engines."""

import json
import subprocess
import sys

import pytest

NEEDED_LATER = {"onnx", "onnxruntime", "onnxscript", "matplotlib", "ray", "tensorboard", "tensorboardX", "torchaudio"}
START = """
import json, sys
from transavs import AVSPredictor

AVSPredictor.from_pretrained("stamps_ms3_lite0", device="cpu")
print(json.dumps([name for name in sys.modules if "." not in name]))
"""


@pytest.mark.slow
def test_a_predictor_is_made_without_importing_what_it_may_not_need():
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout.splitlines()[-1])
    assert "transavs" in modules
    assert NEEDED_LATER & set(modules) == set()
