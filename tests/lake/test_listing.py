import os
from itertools import islice

import pytest

from transavs.lake import listing
from transavs.lake.errors import LakeError
from transavs.lake.listing import Location, find_groups, videos_of


def paths_of(lake):
    return [row["paths"] for row in find_groups(lake, 0)]


def test_videos_come_folder_by_folder_in_the_order_of_their_names(memory, put):
    for name in ("b.mp4", "sub/deep/c.MOV", "a.mkv", "sub/a.webm", "notes.txt", "sub.mp4/inside.avi"):
        put(memory, name)
    found = [path.partition("bucket/")[2] for group in paths_of(memory) for path in group]
    assert found == ["a.mkv", "b.mp4", "sub/a.webm", "sub/deep/c.MOV", "sub.mp4/inside.avi"]


def test_a_video_is_named_with_its_size_and_when_it_was_changed(tmp_path, put):
    lake = Location.at(str(tmp_path))
    os.utime(put(lake, "a.mp4", b"12345"), ns=(0, 1_700_000_000_123_456_789))
    (row,) = find_groups(lake, 1)
    (video,) = videos_of(row, [Location.at("/elsewhere"), lake])
    assert video == (f"{tmp_path}/a.mp4", f"{tmp_path}/a.mp4", 5, 1_700_000_000_123_456_789)


def test_of_a_store_a_video_has_an_address(memory, put):
    put(memory, "a.mp4")
    (row,) = find_groups(memory, 0)
    assert [video.address for video in videos_of(row, [memory])] == [f"memory://{row['paths'][0]}"]


def test_one_video_is_a_lake(tmp_path, put):
    path = put(Location.at(str(tmp_path)), "a.mp4")
    assert paths_of(Location.at(path)) == [[path]]


def test_a_group_is_of_few_videos_and_of_fewer_large_ones(memory, put, monkeypatch):
    monkeypatch.setattr(listing, "MAX_GROUP_VIDEOS", 3)
    monkeypatch.setattr(listing, "MAX_GROUP_BYTES", 10)
    for number, size in enumerate([1, 1, 1, 1, 9, 30, 2]):
        put(memory, f"{number}.mp4", b"x" * size)
    assert [[int(path[-5]) for path in group] for group in paths_of(memory)] == [[0, 1, 2], [3, 4], [5], [6]]


def test_folders_are_listed_as_videos_are_asked_for(memory, put, monkeypatch):
    for folder in range(20):
        for number in range(listing.MAX_GROUP_VIDEOS):
            put(memory, f"{folder:02d}/{number}.mp4")
    handler, listed = memory.filesystem.handler, []
    read = handler.get_file_info_selector
    monkeypatch.setattr(
        handler, "get_file_info_selector", lambda selector: listed.append(selector.base_dir) or read(selector)
    )
    groups = find_groups(memory, 0)
    assert listed == []
    assert len(list(islice(groups, 3))) == 3
    assert len(listed) == 5  # the lake, three folders, and the one whose first video told that a group is full
    assert len(list(groups)) == 17 and len(listed) == 21


def test_links_to_folders_are_not_followed_but_those_to_videos_are(tmp_path, put):
    lake = Location.at(str(tmp_path))
    path = put(lake, "sub/a.mp4")
    (tmp_path / "sub/circle").symlink_to(tmp_path)
    (tmp_path / "b.mp4").symlink_to(path)
    (tmp_path / "c.mp4").symlink_to("nowhere")
    assert paths_of(lake) == [[f"{tmp_path}/b.mp4", path]]


def test_what_cannot_be_listed_is_told_of_and_the_rest_is_found(memory, put, monkeypatch):
    for folder in "abc":
        put(memory, f"{folder}/1.mp4")
    handler = memory.filesystem.handler
    read = handler.get_file_info_selector

    def refuse(selector):
        if selector.base_dir.endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return read(selector)

    monkeypatch.setattr(handler, "get_file_info_selector", refuse)
    rows = list(find_groups(memory, 0))
    assert [(len(row["paths"]), row["unlisted"]) for row in rows] == [
        (0, "memory:///bucket/b: cannot be listed ([Errno 13] Permission denied)"),
        (2, ""),
    ]


def test_a_name_that_is_no_text_is_told_of(tmp_path, put):
    put(Location.at(str(tmp_path)), "a.mp4")
    with open(os.fsencode(tmp_path) + b"/\xff.mp4", "w"):
        pass
    rows = list(find_groups(Location.at(str(tmp_path)), 0))
    told = f"{tmp_path}: a name in it is no UTF-8: {os.fsencode(tmp_path) + bytes([47, 255]) + b'.mp4'!r}"
    assert [row["unlisted"] for row in rows] == [told, ""] and rows[1]["paths"] == [f"{tmp_path}/a.mp4"]


@pytest.mark.parametrize(
    "address, told",
    [
        ("/none", "/none: no such folder, expected one of videos"),
        ("file:///none", "file:///none: no such folder, expected one of videos"),
        ("ftp://here/videos", "ftp://here/videos: cannot be opened ("),
        ("mock:///videos", "mock://videos: no such folder, expected one of videos"),
    ],
)
def test_a_lake_that_is_not_there_is_told_of_in_one_line(address, told):
    with pytest.raises(LakeError) as error:
        Location.at(address).info()
    assert str(error.value).startswith(told) and "\n" not in str(error.value)
