import numpy as np
import pytest

from transavs.data.synthetic.stamps import load_stamps, read_picture, read_sound


@pytest.mark.parametrize(
    "name, sound",
    [
        ("silent", (500, 1.0, 0.0)),
        ("faint", (500, 2.0, 0.05)),
        ("click", (500, 0.3)),
        ("copy", (300, 1.0, 0.3)),  # of the crow's sound, at another level
        ("crow_desc", (900, 1.0)),
    ],
)
def test_stamp_without_a_useful_sound_of_its_own_is_dropped(tmp_path, stamps_root, write_stamp, tone, name, sound):
    for path in stamps_root.rglob("*.*"):
        (tmp_path / path.relative_to(stamps_root)).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path.relative_to(stamps_root)).write_bytes(path.read_bytes())
    write_stamp(tmp_path / "household", name, tone(*sound))
    assert [s.name for s in load_stamps(tmp_path, 64)] == ["crow", "dog", "horn", "train"]


def test_see_through_stamp_is_dropped(tmp_path, write_stamp, tone):
    write_stamp(tmp_path, "glass", tone(500, 1.0), picture_alpha=60)
    assert read_picture(tmp_path / "glass.png") is None


def test_pauses_are_cut_out_of_a_sound(tmp_path, write_stamp, tone):
    sound = np.concatenate([tone(500, 0.5), np.zeros(2 * 22050), tone(500, 0.5)])
    write_stamp(tmp_path, "pauses", sound)
    seconds = len(read_sound(tmp_path / "pauses.ogg")) / 16000
    assert 1.0 <= seconds <= 1.35
