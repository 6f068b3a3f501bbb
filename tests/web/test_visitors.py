import os

import pytest

from transavs.web.visitors import Visitors


@pytest.fixture
def visitors(tmp_path):
    return Visitors(tmp_path)


@pytest.fixture
def ann(visitors):
    return visitors.folder("ann")


@pytest.fixture
def bob(visitors):
    return visitors.folder("bob")


@pytest.fixture
def upload(tmp_path):
    path = tmp_path / "street.mp4"
    path.write_bytes(b"pictures")
    return path


def test_who_leaves_takes_the_files_along(visitors, ann, upload):
    visitors.hold(ann, str(upload))
    part = visitors.new_part(ann)
    (part / "mask.png").write_bytes(b"white")
    visitors.show(ann, part, "a result")
    assert visitors.shown(ann) == "a result"
    visitors.leave(ann)
    assert not upload.exists() and not ann.exists() and visitors.shown(ann) is None


def test_an_upload_of_two_stays_until_both_have_left(visitors, ann, bob, upload):
    visitors.hold(ann, str(upload))
    visitors.hold(bob, str(upload))
    visitors.leave(ann)
    assert upload.exists()
    visitors.leave(bob)
    assert not upload.exists()


def test_another_upload_replaces_the_first_and_the_same_does_not(visitors, ann, upload):
    visitors.hold(ann, str(upload))
    visitors.hold(ann, str(upload))
    assert upload.exists()
    other = upload.with_name("other.mp4")
    other.write_bytes(b"others")
    visitors.hold(ann, str(other))
    assert other.exists() and not upload.exists()


def test_an_example_stays_though_it_is_uploaded_too(visitors, ann, upload):
    visitors.keep_all()
    visitors.hold(ann, str(upload))
    visitors.leave(ann)
    assert upload.exists()


def test_what_is_no_file_is_not_held(visitors, ann, tmp_path):
    visitors.hold(ann, str(tmp_path))
    visitors.leave(ann)
    assert tmp_path.exists()


def test_what_is_shown_replaces_what_was(visitors, ann):
    first, second = visitors.new_part(ann), visitors.new_part(ann)
    visitors.show(ann, second, "a result")
    assert second.exists() and not first.exists()


def test_what_is_written_after_leaving_is_removed(visitors, ann):
    with visitors.at_work(ann):
        with visitors.at_work(ann):  # a job that was stopped, but has not yet ended
            visitors.leave(ann)
        part = visitors.new_part(ann)
        assert part.exists()
    assert not ann.exists()
    with visitors.at_work(ann):
        part = visitors.new_part(ann)
    assert part.exists()


def test_old_files_are_swept_unless_someone_works_on_them(visitors, ann, bob):
    for folder in (ann, bob):
        visitors.new_part(folder)
        os.utime(folder, (0, 0))
    new = visitors.folder("new")
    visitors.new_part(new)
    with visitors.at_work(bob):
        visitors.sweep(3600)
        assert bob.exists() and new.exists() and not ann.exists()
    assert not bob.exists()


@pytest.mark.parametrize("name", ["../../../..", "/", "", "..", None])
def test_a_name_that_is_a_path_leads_nowhere(visitors, upload, name):
    folder = visitors.folder(name)
    visitors.new_part(folder)
    assert folder.parent == visitors.root / "visitors"
    visitors.leave(folder)
    assert upload.exists()
