import pytest

from transavs.data.avsbench import AVSDatasetError
from transavs.data.synthetic import sources


def test_own_folders_are_read_and_named(stamps_root, backgrounds_root):
    found = sources.stamps_sources(stamps_root, backgrounds_root)
    assert (found.stamps.folder, found.backgrounds.folder) == (stamps_root, backgrounds_root)
    assert found.describe().startswith(f"Own folder {stamps_root}\n")


def test_a_package_is_read_where_it_lies_and_its_licence_told(tmp_path, monkeypatch, backgrounds_root):
    notice = tmp_path / "usr/share/doc/tuxpaint-stamps-default/copyright"
    notice.parent.mkdir(parents=True)
    notice.write_text("License: GPL-2\n")
    (tmp_path / "VERSION").write_text("1.0-2\n")
    monkeypatch.setattr(sources, "package_root", lambda package, folder: tmp_path)
    found = sources.stamps_sources(backgrounds_root=backgrounds_root)
    assert found.stamps.folder == tmp_path / "usr/share/tuxpaint/stamps"
    assert found.describe().startswith("Debian package tuxpaint-stamps-default 1.0-2, licences: GPL-2\n")


def test_a_missing_folder_is_named(tmp_path, backgrounds_root):
    with pytest.raises(AVSDatasetError, match="gone is not a folder"):
        sources.stamps_sources(tmp_path / "gone", backgrounds_root)
    with pytest.raises(AVSDatasetError, match="gone is not a folder"):
        sources.fingerprint(tmp_path / "gone")


def test_a_fingerprint_changes_with_a_file(tmp_path):
    assert sources.fingerprint(None) == "debian"
    (tmp_path / "crow.png").write_bytes(b"1")
    first = sources.fingerprint(tmp_path)
    assert sources.fingerprint(tmp_path) == first
    (tmp_path / "crow.png").write_bytes(b"12")
    assert sources.fingerprint(tmp_path) != first
