import pytest
from pyarrow.fs import FSSpecHandler, LocalFileSystem, SubTreeFileSystem

from transavs.lake.errors import LakeError
from transavs.lake.listing import Location, Video
from transavs.lake.tables import ERRORS, FRAMES, ROWS_AT_ONCE, Entry, Tables

VIDEO = Video("s3://lake/a b/../ü.mp4", "lake/a b/../ü.mp4", 1234, 1_700_000_000_123_456_789)
MASK = {"size": [2, 3], "counts": "132"}
OBJECT = {"object": 1, "score": 0.75, "category_id": 0, "segmentation": MASK}


@pytest.fixture(params=["local", "below", "memory", "s3"])
def output(request, tmp_path):
    """A folder for tables, in four kinds of filesystem."""
    if request.param == "local":
        return Location.at(str(tmp_path / "out"))
    if request.param == "below":
        return Location(SubTreeFileSystem(str(tmp_path), LocalFileSystem()), "out", "below://")
    return request.getfixturevalue(request.param)


def frames(count, fail=None):
    for number in range(count):
        yield {"time": number / 2, "segmentation": MASK, "instances": [OBJECT] * number}
    if fail:
        raise fail


def test_frames_are_read_as_they_were_written(output, rows_of):
    tables = Tables(output, "1")
    assert tables.find(VIDEO) is None
    assert tables.write_frames(VIDEO, frames(3)) == 3
    rows = rows_of(output, FRAMES)
    assert [(row["path"], row["size"], row["frame"], row["time"]) for row in rows] == [
        (VIDEO.address, 1234, number, number / 2) for number in range(3)
    ]
    assert all(row["segmentation"] == MASK and row["modified"].value == VIDEO.modified for row in rows)
    assert [row["instances"] for row in rows] == [[], [OBJECT], [OBJECT, OBJECT]]
    assert tables.find(VIDEO) == Entry(FRAMES, is_new=True) and Tables(output, "2").find(VIDEO) == (FRAMES, False)


def test_a_long_video_is_written_piece_by_piece(output, rows_of):
    left = []  # of the frames, when each is made

    def many():
        for number, frame in enumerate(frames(2 * ROWS_AT_ONCE + 1)):
            left.append(number)
            yield {**frame, "instances": []}

    assert Tables(output, "1").write_frames(VIDEO, many()) == len(left) == 2 * ROWS_AT_ONCE + 1
    assert [row["frame"] for row in rows_of(output, FRAMES)] == left


def test_a_video_that_is_written_again_is_there_once(output, rows_of):
    for run in "12":
        Tables(output, run).write_frames(VIDEO, frames(2))
    assert [row["frame"] for row in rows_of(output, FRAMES)] == [0, 1]


@pytest.mark.parametrize("change", [{"size": 1235}, {"modified": VIDEO.modified + 1}])
def test_a_video_that_has_changed_takes_the_place_of_what_it_was(output, rows_of, change):
    tables, changed = Tables(output, "1"), VIDEO._replace(**change)
    tables.write_frames(VIDEO, frames(2))
    assert tables.find(changed) is None
    tables.write_frames(changed, frames(1))
    assert [(row["frame"], row["size"]) for row in rows_of(output, FRAMES)] == [(0, changed.size)]
    assert tables.find(VIDEO) is None and tables.find(changed)


def test_a_video_is_in_one_table_alone(output, rows_of):
    tables = Tables(output, "1")
    tables.write_error(VIDEO, "broken")
    assert [row["error"] for row in rows_of(output, ERRORS)] == ["broken"]
    assert tables.find(VIDEO) == (ERRORS, True)
    tables.write_frames(VIDEO, frames(2))
    assert len(rows_of(output, FRAMES)) == 2 and rows_of(output, ERRORS) == []
    tables.write_error(VIDEO._replace(size=1), "cut off since")
    assert rows_of(output, FRAMES) == [] and len(rows_of(output, ERRORS)) == 1


def test_where_a_process_died_between_two_tables_the_next_one_tidies_up(output, rows_of, monkeypatch):
    tables = Tables(output, "1")
    tables.write_error(VIDEO, "broken")
    with monkeypatch.context() as patch:
        patch.setattr(Tables, "_remove", lambda *_: None)
        tables.write_frames(VIDEO, frames(1))
    assert len(rows_of(output, ERRORS)) == 1
    assert Tables(output, "2").find(VIDEO) == (FRAMES, False)
    assert rows_of(output, ERRORS) == [] and len(rows_of(output, FRAMES)) == 1


@pytest.mark.parametrize("failure", [OSError(5, "Input/output error"), KeyboardInterrupt(), ValueError("bug")])
def test_nothing_stays_of_a_video_that_fails_midway(output, rows_of, failure):
    tables = Tables(output, "1")
    with pytest.raises(type(failure)) as error:
        tables.write_frames(VIDEO, frames(ROWS_AT_ONCE + 1, failure))
    assert error.value is failure and tables.find(VIDEO) is None
    assert rows_of(output, FRAMES) == []
    tables.finish()
    tables.finish()  # which may come twice
    assert not output.filesystem.get_file_info(f"{output.path}/_under_way_1").type


def test_what_a_killed_process_leaves_is_not_read(output, rows_of):
    tables = Tables(output, "1")
    tables.write_frames(VIDEO, frames(1))
    with output.filesystem.open_output_stream(f"{output.path}/_under_way_1/half.parquet") as stream:
        stream.write(b"PAR1")
    assert len(rows_of(output, FRAMES)) == 1
    tables.finish()
    assert not output.filesystem.get_file_info(f"{output.path}/_under_way_1").type


def test_a_file_that_is_no_table_is_written_anew(output, rows_of):
    tables = Tables(output, "1")
    tables.write_frames(VIDEO, frames(1))
    name = f"{FRAMES}/{VIDEO.digest[:2]}/{VIDEO.digest}.parquet"
    with output.filesystem.open_output_stream(f"{output.path}/{name}") as stream:
        stream.write(b"lost its end, when the power went")
    assert tables.find(VIDEO) is None
    tables.write_frames(VIDEO, frames(1))
    assert len(rows_of(output, FRAMES)) == 1


def test_a_file_beside_the_tables(output):
    tables = Tables(output, "1")
    with pytest.raises(LakeError, match="settings.json: cannot be read"):
        tables.read_file("settings.json")
    tables.write_file("settings.json", b"{}")
    assert tables.read_file("settings.json") == b"{}" and tables.are_empty()


@pytest.mark.parametrize(
    "write", [lambda tables: tables.write_frames(VIDEO, frames(1)), lambda tables: tables.write_error(VIDEO, "")]
)
def test_tables_are_empty_until_a_video_is_in_one(output, write):
    tables = Tables(output, "1")
    assert tables.are_empty()
    write(tables)
    assert not tables.are_empty()


@pytest.mark.parametrize("method", ["open_output_stream", "move"])
def test_an_output_that_fails_is_told_of_and_not_taken_for_the_videos_fault(memory, rows_of, monkeypatch, method):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FSSpecHandler, method, full)
    with pytest.raises(LakeError, match=r"memory:///bucket/frames/.*: cannot be written \(.*No space left on device"):
        Tables(memory, "1").write_frames(VIDEO, frames(1))
    monkeypatch.undo()
    assert rows_of(memory, FRAMES) == []


def test_an_output_that_may_not_be_written_is_told_of():
    with pytest.raises(LakeError, match=r"^/proc/out/settings.json: cannot be written \("):
        Tables(Location.at("/proc/out"), "1").write_file("settings.json", b"{}")
