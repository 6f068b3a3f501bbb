"""What the mapper makes of a training clip by chance: frames, targets, sounds and mixes, all of it by the seed."""

import pickle

import numpy as np
import pytest
import soundfile
import torch
from detectron2.config import get_cfg
from detectron2.data.transforms import AugInput
from detectron2.utils.env import seed_all_rng
from PIL import Image
from torch.utils.data import DataLoader

from transavs import add_transavs_config
from transavs.data import audio
from transavs.data.avsbench import AVSDatasetError
from transavs.data.mapper import AVSDatasetMapper
from transavs.data.mixing import MIXES
from transavs.data.synthetic.composing import StampsComposer, composed_clips

COLOURS = {"dog": (255, 0, 0), "cat": (0, 255, 0), "cow": (0, 0, 255)}
BOXES = [(slice(2, 12), slice(2, 20)), (slice(14, 30), slice(4, 14))]  # of the two objects of a clip


def make_mapper(*overrides, is_train=True, clips=()):
    cfg = get_cfg()
    add_transavs_config(cfg)
    plain = ["INPUT.COLOR_JITTER", False, "INPUT.RANDOM_FLIP", "none", "INPUT.SCALE_RANGE", [1.0, 1.0]]
    cfg.merge_from_list([*plain, "INPUT.IMAGE_SIZE", 32, "INPUT.AUDIO.RESAMPLER", "torchaudio", *overrides])
    return AVSDatasetMapper(cfg, is_train=is_train, clips=clips)


def write_clip(folder, name, number=0, side=32, pickled=False, **fields):
    """A clip of two objects of a colour, both of which sound in second 0, and the k-th one in second k."""
    instances = np.zeros((5, side, side), np.uint8)
    for k, (rows, columns) in enumerate(BOXES, start=1):
        instances[0][rows, columns] = instances[k][rows, columns] = 3 * k
    paths = {
        key: [str(folder / f"{name}{number}_{key}_{k}.png") for k in range(5)] for key in ("frame", "mask", "each")
    }
    for k, frame in enumerate(instances):
        Image.fromarray(((instances[0] > 0)[..., None] * COLOURS[name]).astype(np.uint8)).save(paths["frame"][k])
        Image.fromarray((frame > 0).astype(np.uint8) * 255).save(paths["mask"][k])
        Image.fromarray(frame).save(paths["each"][k])
    frequency = 300 * 2 ** (2 * list(COLOURS).index(name))
    waveform = 0.3 * np.sin(2 * np.pi * frequency * np.arange(80000) / 16000)
    sound = str(folder / f"{name}{number}.{'pkl' if pickled else 'wav'}")
    if pickled:
        with open(sound, "wb") as file:
            pickle.dump(audio.log_mel_examples(waveform, 16000, 5), file)
    else:
        soundfile.write(sound, waveform, 16000)
    return {
        "video_id": f"{name}{number}",
        "category": name,
        "file_names": paths["frame"],
        "sem_seg_file_names": paths["mask"],
        "instance_file_names": paths["each"],
        "audio_file_name": sound,
        **fields,
    }


@pytest.fixture
def clips(tmp_path):
    return [write_clip(tmp_path, name, number, side) for number, side in enumerate((32, 48)) for name in COLOURS]


MIXED = ("INPUT.MIXING.PROBABILITY", 1.0, "INPUT.MIXING.SHARES", [1.0, 1.0, 1.0, 1.0])


@pytest.mark.parametrize("most", [1, 3])
def test_a_random_part_of_the_annotated_frames_is_read(clips, most):
    mapper, seen = make_mapper("INPUT.MAX_FRAMES", most), set()
    for _ in range(30):
        found = mapper(clips[0])
        indices = found["frame_indices"].tolist()
        assert len(indices) == len(found["images"]) == len(found["instances"]) == most and indices == sorted(
            set(indices)
        )
        assert [len(instances) for instances in found["instances"]] == [int(index < 3) for index in indices]
        seen |= set(indices)
    assert seen == {0, 1, 2, 3, 4}


def test_all_frames_are_read_where_there_are_no_more_or_in_testing(clips):
    assert make_mapper("INPUT.MAX_FRAMES", 7)(clips[0])["frame_indices"].tolist() == [0, 1, 2, 3, 4]
    assert len(make_mapper("INPUT.MAX_FRAMES", 1, is_train=False)(clips[0])["images"]) == 5


def test_targets_are_the_union_or_each_object(clips):
    union, each = (make_mapper("INPUT.TARGETS", targets)(clips[0])["instances"] for targets in ("union", "instances"))
    assert [len(frame) for frame in union] == [1, 1, 1, 0, 0]
    assert [len(frame) for frame in each] == [2, 1, 1, 0, 0]
    expected = torch.zeros(2, 32, 32, dtype=torch.bool)
    for mask, box in zip(expected, BOXES):
        mask[box] = True
    assert torch.equal(each[0].gt_masks.tensor, expected) and each[0].gt_classes.tolist() == [0, 0]
    assert torch.equal(union[0].gt_masks.tensor[0], expected.any(0))
    assert torch.equal(each[1].gt_masks.tensor, expected[:1]) and torch.equal(each[2].gt_masks.tensor, expected[1:])


def test_instances_that_are_not_there_are_named(clips):
    clip = {key: value for key, value in clips[0].items() if key != "instance_file_names"}
    clip["sem_seg_file_names"] = ["/data/ms3_data/gt_masks/train/dog0/dog0_1.png"] + [None] * 4
    with pytest.raises(AVSDatasetError, match="INPUT.TARGETS is 'instances', but clip dog0 .*/gt_instances/train/dog0"):
        make_mapper("INPUT.TARGETS", "instances")(clip)
    with pytest.raises(ValueError, match="INPUT.TARGETS is 'both', expected one of: union, instances"):
        make_mapper("INPUT.TARGETS", "both")
    with pytest.raises(ValueError, match="INPUT.MAX_FRAMES is -1"):
        make_mapper("INPUT.MAX_FRAMES", -1)


def test_a_picture_of_instances_in_colours_is_named(clips):
    Image.new("RGB", (32, 32)).save(clips[0]["instance_file_names"][0])
    with pytest.raises(AVSDatasetError, match="dog0_each_0.png: .*its mode is RGB"):
        make_mapper("INPUT.TARGETS", "instances")(clips[0])


def test_gain_and_noise_reach_the_log_mel_of_training_alone(clips):
    plain = make_mapper()(clips[0])["audio_log_mel"]
    gain = ("INPUT.AUDIO.GAIN", [-6.0206, -6.0206])
    loud = plain > 1  # where the offset in the logarithm does not count
    softer = make_mapper(*gain)(clips[0])["audio_log_mel"]
    assert torch.allclose((plain - softer)[loud], torch.tensor(2.0).log(), atol=0.01)
    noisy = make_mapper("INPUT.AUDIO.NOISE", [-40, -30])(clips[0])["audio_log_mel"]
    assert (noisy[~loud].mean() - plain[~loud].mean()) > 0.5 and (noisy - plain)[loud].abs().max() < 0.7
    testing = make_mapper(*gain, "INPUT.AUDIO.NOISE", [-40, -30], is_train=False)(clips[0])
    assert torch.equal(testing["audio_log_mel"], plain)


@pytest.mark.parametrize("targets", ["union", "instances"])
def test_mixed_clips_of_all_sizes_and_kinds_of_sound_fit_the_model(tmp_path, clips, targets):
    clips.append(write_clip(tmp_path, "cat", 7, pickled=True))
    del clips[0]["category"]  # as for AVSBench's MS3, nothing is known of what it shows
    mapper = make_mapper(*MIXED, "INPUT.TARGETS", targets, "INPUT.AUDIO.NOISE", [-60, -40], clips=clips)
    before, seen = [dict(clip) for clip in clips], set()
    for number in range(60):
        clip = mapper(clips[number % len(clips)])
        assert clip["images"].shape == (5, 3, 32, 32) and clip["audio_log_mel"].shape == (5, 1, 96, 64)
        for instances in clip["instances"]:
            assert instances.gt_masks.tensor.shape == (len(instances), 32, 32)
            assert instances.gt_masks.tensor.any((1, 2)).all()
        counts = [len(instances) for instances in clip["instances"]]
        if clip["mix"] in ("silence", "noise", "offscreen"):
            assert counts == [0] * 5
        elif targets == "union":
            assert counts == [1, 1, 1, 0, 0]
        elif clip["mix"] == "both":
            assert counts[0] in (3, 4) and counts[1] == counts[2] == 2  # nothing is left of an object that is outside
        seen.add(clip["mix"])
    assert seen >= set(MIXES) and clips == before


def test_mixing_is_for_training_alone_and_needs_clips(clips):
    assert torch.equal(
        make_mapper(*MIXED, is_train=False)(clips[0])["images"], make_mapper(is_train=False)(clips[0])["images"]
    )
    with pytest.raises(ValueError, match="INPUT.MIXING.PROBABILITY is above 0, but the mapper got no `clips`"):
        make_mapper(*MIXED)


def test_a_mixed_clip_keeps_to_its_own_seconds(clips):
    mapper = make_mapper(*MIXED, "INPUT.MAX_FRAMES", 2, clips=clips)
    for _ in range(20):
        assert len(mapper(clips[0])["frame_indices"]) == 2


def test_without_mixing_only_the_augmentations_take_random_numbers(clips):
    mapper = make_mapper("INPUT.AUDIO.GAIN", [0.0, 0.0], "INPUT.AUDIO.NOISE", [0.0, 0.0])
    np.random.seed(3)
    mapper(clips[0])
    following = np.random.rand()
    np.random.seed(3)
    mapper.augmentations(AugInput(np.zeros((32, 32, 3), np.uint8)))
    assert np.random.rand() == following


class _Loaded(torch.utils.data.Dataset):
    def __init__(self, clips, mapper):
        self.clips, self.mapper = clips, mapper

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return self.mapper(self.clips[index % len(self.clips)])


def _seed_worker(worker):
    seed_all_rng(torch.initial_seed() % 2**31 + worker)  # as Detectron2's worker_init_reset_seed


def _load(clips, mapper, seed):
    torch.manual_seed(seed)
    loader = DataLoader(
        _Loaded(clips, mapper),
        batch_size=None,
        num_workers=2,
        worker_init_fn=_seed_worker,
        collate_fn=lambda clip: clip,
    )
    return list(loader)


@pytest.mark.parametrize("composed", [False, True])
def test_workers_make_the_same_clips_from_the_same_seed(clips, composed, stamps_root, backgrounds_root):
    if composed:
        clips = composed_clips(StampsComposer("ms3", stamps_root, backgrounds_root, 32), 3)
    options = ("INPUT.AUDIO.GAIN", [-10, 6], "INPUT.AUDIO.NOISE", [-80, -35], "INPUT.MAX_FRAMES", 2)
    mapper = make_mapper(*MIXED, *options, clips=clips)
    first, again, other = (_load(clips, mapper, seed) for seed in (1, 1, 2))
    for one, same in zip(first, again):
        assert one["mix"] == same["mix"] and torch.equal(one["frame_indices"], same["frame_indices"])
        assert torch.equal(one["images"], same["images"]) and torch.equal(one["audio_log_mel"], same["audio_log_mel"])
        for a, b in zip(one["instances"], same["instances"]):
            assert torch.equal(a.gt_masks.tensor, b.gt_masks.tensor)
    assert any(not torch.equal(one["images"], two["images"]) for one, two in zip(first, other))
    # The workers do not make the same of the same clip, nor one worker in two iterations.
    heard = [clip["audio_log_mel"].sum().item() for clip in first]
    assert len(set(heard)) == len(heard)


def test_composed_clips_are_read_in_training_and_refused_in_testing(stamps_root, backgrounds_root):
    clips = composed_clips(StampsComposer("s4", stamps_root, backgrounds_root, 32), 2)
    rgb, bgr = make_mapper(), make_mapper("INPUT.FORMAT", "BGR")
    np.random.seed(0)
    found = rgb(clips[0])
    np.random.seed(0)
    turned = bgr(clips[0])
    assert found["video_id"] == "composed_00000" and len(found["instances"][0]) == 1 and "compose" not in found
    assert (found["height"], found["width"]) == (32, 32) and torch.equal(found["images"].flip(1), turned["images"])
    assert not torch.equal(rgb(clips[0])["images"], found["images"])
    with pytest.raises(AVSDatasetError, match="clip composed_00000 is composed anew each time"):
        make_mapper(is_train=False)(clips[0])
