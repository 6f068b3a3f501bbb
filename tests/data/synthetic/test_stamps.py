import pickle

import numpy as np
import pytest
from torch.utils.data import DataLoader

from transavs.data.synthetic.clips import clip_generator
from transavs.data.synthetic.stamps import StampsMaker, load_stamps, read_picture, read_sound


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


class _Clips:
    """What a data loader takes: clips by their numbers, made when asked for."""

    def __init__(self, maker):
        self.maker = maker

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return self.maker.make_clip(clip_generator(0, "ms3", "train", index), "ms3", "train")


def test_a_data_loaders_worker_makes_the_same_clips(stamps_root, backgrounds_root):
    maker = StampsMaker(stamps_root, backgrounds_root, 64)
    sent = _Clips(pickle.loads(pickle.dumps(maker)))  # as it reaches a worker that is not forked
    loaded = list(DataLoader(sent, batch_size=None, num_workers=1, collate_fn=lambda clip: clip))
    expected = _Clips(maker)
    assert len(loaded) == len(expected)
    for index, other in enumerate(loaded):
        clip = expected[index]
        assert np.array_equal(clip.frames, other.frames) and np.array_equal(clip.masks, other.masks)
        assert np.array_equal(clip.waveform, other.waveform) and clip.objects == other.objects
