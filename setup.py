"""Puts configs and trained models, which stand beside the package, into the wheel; pyproject.toml says all else."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
# What is left out of each folder.
FOLDERS = {"configs": ["*.md"], "checkpoints": []}


class BuildWithFolders(build_py):
    """Copies FOLDERS into transavs/. An editable install needs no copy: the package finds the repository's own."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for name, left_out in FOLDERS.items():
                copied = Path(self.build_lib, "transavs", name)
                shutil.rmtree(copied, ignore_errors=True)  # of an earlier build
                shutil.copytree(ROOT / name, copied, ignore=shutil.ignore_patterns(*left_out))

    def get_source_files(self):
        """What a source distribution needs."""
        files = [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.is_file()]
        return super().get_source_files() + [str(path.relative_to(ROOT)) for path in files]


setup(cmdclass={"build_py": BuildWithFolders})
