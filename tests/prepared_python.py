"""Runs scripts in processes of their own that have imported PyTorch and Detectron2 before: a fork each.

A fresh Python needs seconds for these imports, and the tests of the commands start many. A script runs as `python
script` does, with its own arguments, environment, folder and output; nothing of `transavs` is imported before it.

Requests come as lines of JSON; each is answered by a line, the script's return code.
"""

import importlib
import json
import os
import runpy
import signal
import sys
import warnings

HEAVY = (
    "av",
    "cv2",
    "scipy.signal",
    "torch",
    "torch._dynamo",
    "torch.utils.data",
    "torch.utils.tensorboard",
    "torchaudio",
    "torchvision",
    "timm",
    "fvcore.nn",
    "matplotlib.figure",
    "pycocotools.mask",
    "soundfile",
    "detectron2.checkpoint",
    "detectron2.engine",
    "detectron2.evaluation",
    "detectron2.modeling",
)


def become(script, arguments, folder, environment, output, timeout):
    """Makes this process that of the script."""
    written = os.open(output, os.O_WRONLY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, stream in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(descriptor, stream)
    sys.stdin = open(0, closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(script)
    signal.alarm(timeout)
    runpy.run_path(script, run_name="__main__")


def main():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in HEAVY:
            importlib.import_module(name)
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if not child:
            become(**json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
