"""Targets with classes: each class that sounds in a frame is one target, from the disk to the model's losses."""

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from transavs.data import AVSDatasetError, load_avss
from transavs.data.audio import clip_examples, read_waveform
from transavs.data.mapper import AVSDatasetMapper
from transavs.data.mixing import ClipMixing
from transavs.data.raw_clip import RawClip
from transavs.data.reading import ClipReader
from transavs.data.sound import Sound
from transavs.data.synthetic.clips import SUBSET_OF_KIND
from transavs.data.synthetic.composing import StampsComposer, composed_clips, register_composed_dataset


def clip_of(semantic, uid, split="train"):
    return next(clip for clip in load_avss(semantic.root, split) if clip["video_id"] == uid)


def reader(is_train=True, targets="classes", num_frames=10, num_classes=4):
    return ClipReader(is_train, num_frames, targets=targets, num_classes=num_classes)


def test_each_class_of_a_frame_is_a_mask(semantic):
    found = reader()(clip_of(semantic, "b"))
    assert found.num_seconds == 5
    for k, (masks, classes) in enumerate(zip(found.masks, found.classes)):
        labels = semantic.label_map("b", k)
        assert (classes + 1).tolist() == sorted(set(labels[labels > 0].tolist()))
        for mask, class_of in zip(masks, classes):
            assert np.array_equal(mask, labels == class_of + 1)


def test_of_one_class_all_that_sounds_is_one_mask(semantic):
    found = reader(targets="union", num_classes=1)(clip_of(semantic, "b"))
    for k, (masks, classes) in enumerate(zip(found.masks, found.classes)):
        assert np.array_equal(masks.any(0), semantic.label_map("b", k) > 0) and classes.tolist() == [0] * len(masks)


def test_a_model_of_other_classes_is_told_the_dataset_s(semantic):
    clip = clip_of(semantic, "b")
    with pytest.raises(AVSDatasetError, match=r"clip b: its dataset has 4 classes .*NUM_CLASSES is 70"):
        reader(num_classes=70)(clip)
    del clip["num_labels"]
    with pytest.raises(
        AVSDatasetError, match=r"INPUT.TARGETS is 'classes' with 4 classes, but clip b has masks without"
    ):
        reader()(clip)
    with pytest.raises(ValueError, match="INPUT.TARGETS is 'union', .*NUM_CLASSES is 4, expected 1"):
        reader(targets="union")


def test_a_clip_longer_than_the_model_s_is_refused(semantic):
    with pytest.raises(AVSDatasetError, match=r"clip f lasts 10 s, expected at most 5 as MODEL.TRANSAVS.NUM_FRAMES is"):
        reader(is_train=False, num_frames=5)(clip_of(semantic, "f", "test"))


@pytest.mark.parametrize("uid, seconds", [("e", 5), ("f", 10)])
def test_the_seconds_that_a_clip_does_not_have_are_not_computed(make_mapper, semantic, small_model, uid, seconds):
    clip = clip_of(semantic, uid, "test")
    found = make_mapper(is_train=False, MODEL__TRANSAVS__NUM_FRAMES=10, INPUT__AUDIO__RESAMPLER="torchaudio")(clip)
    assert found["images"].shape[0] == seconds
    expected = clip_examples(*read_waveform(clip["audio_file_name"]), seconds, "torchaudio")
    assert torch.equal(found["audio_log_mel"], expected)

    model = small_model("MODEL.TRANSAVS.NUM_FRAMES", 10, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 4).eval()
    (whole,) = model([found])
    assert whole["sem_seg"].shape == (seconds, 4, 20, 30)
    features = model.audio_backbone(found["audio_log_mel"])
    padded = torch.zeros(10, features.shape[1])
    padded[:seconds] = features
    given = {key: value for key, value in found.items() if key != "audio_log_mel"}
    (same,) = model([{**given, "audio_embedding": padded}])
    torch.testing.assert_close(whole["sem_seg"], same["sem_seg"])


def test_clips_of_both_lengths_share_a_batch(make_mapper, semantic, small_model):
    mapper = make_mapper(is_train=False, MODEL__TRANSAVS__NUM_FRAMES=10)
    clips = [mapper(clip_of(semantic, uid, "test")) for uid in ("e", "f")]
    model = small_model("MODEL.TRANSAVS.NUM_FRAMES", 10).eval()
    together, alone = model(clips), [model([clip])[0] for clip in clips]
    for one, other in zip(together, alone):
        torch.testing.assert_close(one["sem_seg"], other["sem_seg"], rtol=1e-4, atol=1e-5)


def square(top):
    mask = np.zeros((64, 64), bool)
    mask[top : top + 24, 8:32] = True
    return mask


def raw_clip(masks, classes, **fields):
    frames = [np.zeros((64, 64, 3), np.uint8) for _ in masks]
    sound = Sound(np.zeros(80000, np.float32))
    return RawClip(
        frames, [np.stack(of_frame) for of_frame in masks], list(range(len(masks))), sound, classes, **fields
    )


@pytest.mark.parametrize("shares, expected", [((1, 0, 0, 0), [1, 2]), ((0, 1, 0, 0), [3]), ((0, 0, 1, 0), [1, 2, 3])])
def test_mixing_keeps_the_classes_of_what_is_heard(shares, expected):
    first = raw_clip([[square(0), square(32)]], [np.array([1, 2])], video_id="first")
    second = raw_clip([[square(20)]], [np.array([3])], video_id="second")
    mixed = ClipMixing(1.0, shares)(first, lambda: second, np.random.default_rng(0))
    assert mixed.mask_classes()[0].tolist() == expected and len(mixed.masks[0]) == len(expected)


def test_a_shorter_clip_is_not_mixed_into_a_longer_one():
    first = raw_clip([[square(0)]], [np.array([1])], video_id="first", num_seconds=10)
    second = raw_clip([[square(20)]], [np.array([3])], video_id="second")
    for rng in map(np.random.default_rng, range(5)):
        assert ClipMixing(1.0, (0, 1, 0, 0))(first, lambda: second, rng) is first
        assert ClipMixing(1.0, (0, 1, 0, 0))(second, lambda: first, rng).mix == "second"


@pytest.fixture
def composer(stamps_root, backgrounds_root):
    return StampsComposer("ss", stamps_root, backgrounds_root, size=32)


def test_composed_clips_are_of_each_kind_and_know_what_sounds(composer, small_cfg, small_model):
    names = [sprite.name for sprite in composer.sources()[0]]
    clips = composed_clips(composer, 6)
    assert [clip["compose"].subset for clip in clips] == 2 * list(SUBSET_OF_KIND)
    keys = ["MODEL.TRANSAVS.NUM_FRAMES", 10, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", len(names), "INPUT.TARGETS", "classes"]
    mapper = AVSDatasetMapper(small_cfg(*keys), is_train=True, clips=clips)
    inputs = [mapper(clip) for clip in clips]
    assert [len(clip["audio_log_mel"]) for clip in inputs] == 2 * [5, 5, 10]
    for clip in clips:
        raw = clip["compose"](np.random.default_rng(1), clip["compose"].annotated)
        assert {names[number] for frame in raw.classes for number in frame} == raw.sounding
    losses = small_model(*keys).train()(inputs)
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_a_composed_dataset_names_its_classes(stamps_root, backgrounds_root):
    register_composed_dataset("composed_test", "ss", stamps_root, backgrounds_root, 32)
    try:
        metadata = MetadataCatalog.get("composed_test")
        assert metadata.evaluator_type == "avss" and metadata.stuff_classes == ["crow", "dog", "horn", "train"]
    finally:
        DatasetCatalog.remove("composed_test")
        MetadataCatalog.remove("composed_test")
