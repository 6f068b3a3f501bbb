"""Stamps composed in the data loader, from small folders made here: no network."""

import pickle

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from transavs.data.avsbench import AVSDatasetError
from transavs.data.synthetic import composing, sources
from transavs.data.synthetic.composing import StampsComposer, composed_clips, register_composed_dataset
from transavs.data.synthetic.debian import PackageError
from transavs.data.synthetic.sources import TRAINING_PHOTOGRAPHS, training_photographs
from transavs.engine.trainer import AVSTrainer, check_datasets


@pytest.fixture
def composer(stamps_root, backgrounds_root):
    return lambda subset: StampsComposer(subset, stamps_root, backgrounds_root, size=64)


def compose(composer, number, frame_indices=None):
    rng = np.random.default_rng(0)
    return [composer(rng, frame_indices or list(composer.annotated)) for _ in range(number)]


def redness(frame):
    """Bool [H, W]: the stamps are red, the backgrounds grey."""
    return frame[..., 0].astype(int) - frame[..., 1] > 60


def test_s4_clips_have_one_sounding_object_among_up_to_three(composer):
    numbers = set()
    for clip in compose(composer("s4"), 40):
        assert clip.frame_indices == [0] and clip.frames[0].shape == (64, 64, 3)
        assert clip.masks[0].shape == (1, 64, 64) and redness(clip.frames[0])[clip.masks[0][0]].mean() > 0.9
        assert len(clip.sounding) == 1 and clip.sounding <= clip.objects <= {"crow", "dog", "horn", "train"}
        assert clip.sound.waveform.shape == (80000,) and clip.sound.sample_rate == 16000
        numbers.add(len(clip.objects))
    assert numbers == {1, 2, 3}


def test_ms3_masks_are_those_of_the_objects_that_sound_in_each_second(composer):
    numbers = set()
    for clip in compose(composer("ms3"), 12):
        assert clip.frame_indices == [0, 1, 2, 3, 4] and 2 <= len(clip.objects) <= 3
        levels = np.sqrt((clip.sound.waveform.reshape(5, -1) ** 2).mean(1))
        for frame, masks, level in zip(clip.frames, clip.masks, levels):
            assert bool(len(masks)) == (level > 0.015)
            assert masks.sum(0).max(initial=0) <= 1  # no pixel is two objects'
            assert not len(masks) or redness(frame)[masks.any(0)].mean() > 0.9
            numbers.add(len(masks))
    assert numbers >= {0, 1, 2}


def test_only_the_frames_asked_for_are_drawn(composer):
    (clip,) = compose(composer("ms3"), 1, [1, 4])
    assert clip.frame_indices == [1, 4] and len(clip.frames) == len(clip.masks) == 2


def test_areas_reach_from_3_to_35_percent_of_the_frame(composer):
    whole = [clip.masks[0].mean() for clip in compose(composer("s4"), 400) if len(clip.objects) == 1]
    assert 0.01 <= min(whole) < 0.05 and 0.25 < max(whole) < 0.40


def test_every_clip_is_another_one_and_the_same_from_the_same_random_numbers(composer):
    first, second = compose(composer("s4"), 2)
    assert not np.array_equal(first.frames[0], second.frames[0])
    sent = pickle.loads(pickle.dumps(composer("s4")))  # as it reaches a worker
    (again,) = compose(sent, 1)
    assert np.array_equal(first.frames[0], again.frames[0]) and np.array_equal(first.masks[0], again.masks[0])
    assert np.array_equal(first.sound.waveform, again.sound.waveform)


def test_a_handle_is_small_and_its_pictures_are_read_once(composer):
    assert len(pickle.dumps(composed_clips(composer("ms3"), 600))) < 100_000
    assert composer("ms3").sources() is composer("s4").sources()


def test_only_training_photographs_are_backgrounds(composer):
    photographs = composing.load_backgrounds(composer("s4").backgrounds_root, 64)
    _, found = composer("s4").sources()
    assert [photo.path for photo in found] == [photo.path for photo in photographs["train"]]


@pytest.fixture
def packages(tmp_path, monkeypatch, stamps_root, backgrounds_root):
    """Debian's packages, as far as they are asked for, in a folder. Returns: their root."""
    for package, names in TRAINING_PHOTOGRAPHS.items():
        (tmp_path / package / "usr/share/backgrounds").mkdir(parents=True)
        for name in names:
            picture = (backgrounds_root / "picture_5.png").read_bytes()
            (tmp_path / package / "usr/share/backgrounds" / name).write_bytes(picture)
    roots = {sources.STAMPS_PACKAGE: (stamps_root, sources.STAMPS_FOLDER)}
    roots[sources.BACKGROUNDS_PACKAGE] = (backgrounds_root, sources.BACKGROUNDS_FOLDER)
    for package, (root, folder) in roots.items():
        (tmp_path / package / folder).parent.mkdir(parents=True)
        (tmp_path / package / folder).symlink_to(root)
    monkeypatch.setattr(sources, "package_root", lambda package, content: tmp_path / package)
    composing._read_sources.cache_clear()
    yield tmp_path
    composing._read_sources.cache_clear()


def test_debians_photographs_join_those_that_train_stamps(packages):
    _, photographs = StampsComposer("s4", size=48).sources()
    assert len(photographs) == 3 + 14
    assert {min(photo.picture.size) for photo in photographs} == {3 * 48}


def test_a_package_without_a_photograph_is_named(packages):
    (packages / "lomiri-wallpapers-20.04/usr/share/backgrounds/Kleiber_by_Lukas_Baubkus.jpg").unlink()
    with pytest.raises(AVSDatasetError, match=r"Kleiber_by_Lukas_Baubkus\.jpg: no such file.*lomiri-wallpapers-20.04"):
        training_photographs()


def test_packages_that_cannot_be_had_are_named_at_the_first_use_alone(monkeypatch):
    def fail(package, content):
        raise PackageError(f"Debian's package {package} cannot be had (no network)")

    monkeypatch.setattr(sources, "package_root", fail)
    composing._read_sources.cache_clear()
    register_composed_dataset("composed_test", "s4")
    try:
        with pytest.raises(AVSDatasetError, match="tuxpaint-stamps-default cannot be had .*register_composed_dataset"):
            DatasetCatalog.get("composed_test")
    finally:
        DatasetCatalog.remove("composed_test")
        MetadataCatalog.remove("composed_test")


def test_composed_datasets_are_refused_in_testing(small_cfg):
    for key in ("VAL", "TEST"):
        cfg = small_cfg(f"DATASETS.{key}", ("stamps_ms3_composed",))
        with pytest.raises(AVSDatasetError, match=f"DATASETS.{key}: stamps_ms3_composed is composed anew"):
            check_datasets(cfg, (key,))
    with pytest.raises(AVSDatasetError, match="DATASETS.TEST: stamps_s4_composed .*for DATASETS.TRAIN only"):
        AVSTrainer.test(small_cfg("DATASETS.TEST", ("stamps_s4_composed",)), model=None)
