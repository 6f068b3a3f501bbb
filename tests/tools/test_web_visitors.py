import pytest

pytest.importorskip("gradio")
from web_demo import Visitors  # noqa: E402


@pytest.fixture
def upload(tmp_path):
    path = tmp_path / "street.mp4"
    path.write_bytes(b"pictures")
    return path


def test_who_leaves_takes_the_files_along(tmp_path, upload):
    visitors = Visitors(tmp_path)
    visitors.hold("ann", str(upload))
    folder = visitors.new_folder("ann", "result")
    (folder / "mask.png").write_bytes(b"white")
    visitors.leave("ann")
    assert not upload.exists() and not folder.parent.exists()


def test_an_upload_of_two_stays_until_both_have_left(tmp_path, upload):
    visitors = Visitors(tmp_path)
    visitors.hold("ann", str(upload))
    visitors.hold("bob", str(upload))
    visitors.leave("ann")
    assert upload.exists()
    visitors.leave("bob")
    assert not upload.exists()


def test_another_upload_replaces_the_first(tmp_path, upload):
    visitors = Visitors(tmp_path)
    visitors.hold("ann", str(upload))
    visitors.hold("ann", str(tmp_path / "second.mp4"))
    assert not upload.exists()


def test_what_is_written_after_leaving_is_removed(tmp_path):
    visitors = Visitors(tmp_path)
    with visitors.at_work("ann"):
        visitors.leave("ann")
        folder = visitors.new_folder("ann", "result")
    assert not folder.exists()
    with visitors.at_work("ann"):  # the connection was only interrupted
        folder = visitors.new_folder("ann", "result")
    assert folder.exists()


def test_an_example_stays_though_it_is_uploaded_too(tmp_path, upload):
    visitors = Visitors(tmp_path)
    visitors.keep_all()
    visitors.hold("ann", str(upload))
    visitors.leave("ann")
    assert upload.exists()
