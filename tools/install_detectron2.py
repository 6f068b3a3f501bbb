#!/usr/bin/env python3
"""Installs Detectron2 into the running Python, unless it can already be imported.

Detectron2 is not on PyPI under its own name. The wheel used here, `sal-detectron2`, is upstream at commit a59f0563
with one fix for Python 3.11. It is tagged for CPython 3.10 although its Python files run on any version, so it is
downloaded as for 3.10, checked, retagged and installed without its (outdated) version ranges; requirements.txt
holds what it needs. No compiled Detectron2 operator is used by TransAVS.
"""

import argparse
import hashlib
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

WHEEL = "sal-detectron2==0.7.2"
SHA256 = "491af0c7f79bdb2d178e46f6cb16a97c4ac968d45c41ea3f6b6435d59bbee561"


def python(*arguments):
    subprocess.run([sys.executable, *arguments], check=True)


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if importlib.util.find_spec("detectron2") is not None:
        print("Detectron2 is already installed; it is kept.")
        return
    with tempfile.TemporaryDirectory() as folder:
        python(
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--python-version",
            "3.10",
            "--only-binary=:all:",
            "--dest",
            folder,
            WHEEL,
        )
        (wheel,) = Path(folder).glob("*.whl")
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != SHA256:
            sys.exit(f"install_detectron2.py: error: {wheel.name}: sha256 is {found}, expected {SHA256}; not installed")
        # pip goes by the tag in the file's name (`wheel tags` refuses: the tag inside the wheel is malformed).
        retagged = wheel.rename(wheel.with_name(wheel.name.replace("-cp310-", "-py3-")))
        python("-m", "pip", "install", "--quiet", "--no-deps", str(retagged))
    print(f"Installed Detectron2 from {WHEEL}.")


if __name__ == "__main__":
    main()
