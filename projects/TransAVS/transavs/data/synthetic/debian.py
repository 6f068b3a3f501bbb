"""Files of Debian's packages, downloaded and unpacked into a cache; root's rights are not needed."""

import os
import re
import subprocess
import tempfile
from pathlib import Path


class PackageError(RuntimeError):
    """A Debian package could not be downloaded or unpacked."""


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transavs" / "debian"


def package_root(package: str, content: str) -> Path:
    """The root under which the package's files lie: `/` where it is installed, else the cache, filled when empty.

    Args:
        package: the name that apt knows.
        content: a folder or file that only this package has, as a path below `/`; where it is there, the package is
            installed.

    Raises:
        PackageError: if the package can be neither found nor downloaded.
    """
    if (Path("/") / content).exists():
        return Path("/")
    root = cache_folder() / package
    if not root.is_dir():
        try:
            _download(package, root)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
            raise PackageError(f"Debian's package {package} cannot be had ({reason})") from error
    return root


def _download(package: str, root: Path) -> None:
    print(f"downloading Debian's package {package} to {root}")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        try:
            _run("apt-get", "download", package, cwd=folder)
        except subprocess.CalledProcessError:
            # The system's package lists may be empty, and only root may fill them: fetch lists of our own.
            options = _private_apt_options(root.parent / "apt")
            _run("apt-get", *options, "update", cwd=folder)
            _run("apt-get", *options, "download", package, cwd=folder)
        archive = next(Path(folder).glob(f"{package}_*.deb"))
        _run("dpkg", "-x", str(archive), "files", cwd=folder)
        version = _run("dpkg-deb", "-f", str(archive), "Version", cwd=folder)
        (Path(folder) / "files" / "VERSION").write_text(version)
        os.replace(Path(folder) / "files", root)


def _private_apt_options(folder: Path) -> list[str]:
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Acquire::Retries": 0,
        "Acquire::http::Timeout": 20,  # seconds, so that a machine without network hears of it soon
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _run(*command: str, cwd: str) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def describe_package(package: str, root: Path) -> str:
    """A package's name, version, licences and copyright file, for the made data's SOURCES.txt."""
    version_file = root / "VERSION"
    version = version_file.read_text().strip() if version_file.is_file() else _installed_version(package)
    notice_file = root / "usr/share/doc" / package / "copyright"
    notice = notice_file.read_text(encoding="utf-8") if notice_file.is_file() else f"{notice_file} is missing"
    licences = sorted(set(re.findall(r"^License: *(\S+)", notice, re.MULTILINE)))
    return f"Debian package {package} {version}, licences: {', '.join(licences)}\n\n{notice}\n"


def _installed_version(package: str) -> str:
    return _run("dpkg-query", "--show", "--showformat=${Version}", package, cwd="/")
