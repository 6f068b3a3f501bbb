import subprocess
from pathlib import Path

from transavs.data.synthetic import debian


def test_package_lists_are_fetched_when_the_systems_are_empty(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    commands = []

    def run(*command, cwd):
        commands.append(command)
        if command[:2] == ("apt-get", "download"):
            raise subprocess.CalledProcessError(100, command, stderr="E: Unable to locate package")
        if command[-2:] == ("download", "some-package"):
            Path(cwd, "some-package_1.0_all.deb").touch()
        if command[0] == "dpkg":
            Path(cwd, "files/usr/share/some").mkdir(parents=True)
        return "1.0-2"

    monkeypatch.setattr(debian, "_run", run)
    root = debian.package_root("some-package", "usr/share/some")
    assert [command[-1] for command in commands[:3]] == ["some-package", "update", "some-package"]
    assert f"Dir::State::Lists={tmp_path}/transavs/debian/apt/lists" in commands[1]
    assert root == tmp_path / "transavs/debian/some-package" and (root / "usr/share/some").is_dir()
    assert "some-package 1.0-2" in debian.describe_package("some-package", root)
