"""Puts the configs, which stand beside the package in the repository, into the wheel; pyproject.toml says all else."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONFIGS = Path(__file__).parent / "configs"


class BuildWithConfigs(build_py):
    """Copies configs/ to transavs/configs/. An editable install needs no copy: model_zoo finds the repository's own."""

    def run(self):
        super().run()
        if not self.editable_mode:
            copied = Path(self.build_lib, "transavs", "configs")
            shutil.rmtree(copied, ignore_errors=True)  # of an earlier build
            shutil.copytree(CONFIGS, copied, ignore=shutil.ignore_patterns("*.md"))

    def get_source_files(self):
        """What a source distribution needs."""
        return super().get_source_files() + [str(path.relative_to(CONFIGS.parent)) for path in CONFIGS.rglob("*.yaml")]


setup(cmdclass={"build_py": BuildWithConfigs})
