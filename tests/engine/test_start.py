"""How soon a predictor is there, in a fresh process."""

import json
import subprocess
import sys

import pytest

SECONDS = 5  # of the processor, imports included
NEEDED_LATER = {"onnx", "onnxruntime", "onnxscript", "matplotlib", "ray", "tensorboard", "tensorboardX", "torchaudio"}
START = """
import json, resource, sys
from transavs import AVSPredictor

AVSPredictor.from_pretrained("stamps_ms3_lite0", device="cpu")
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, [name for name in sys.modules if "." not in name]]))
"""


@pytest.mark.slow
def test_a_predictor_is_made_in_seconds_and_imports_nothing_that_it_may_not_need():
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    seconds, modules = json.loads(done.stdout.splitlines()[-1])
    assert NEEDED_LATER & set(modules) == set()
    assert seconds < SECONDS
