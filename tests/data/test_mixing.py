from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from transavs.data import audio, mixing
from transavs.data.mixing import KINDS, MIXES, ClipMixing, paste
from transavs.data.raw_clip import RawClip
from transavs.data.sound import Sound, add_sounds, amplify

SILENT = np.zeros((0, 64, 64), bool)


def tone(frequency, level=0.3):
    return Sound((level * np.sin(2 * np.pi * frequency * np.arange(80000) / 16000)).astype(np.float32))


def box(top, left, height, width, size=(64, 64)):
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def make_clip(name, colour, masks, frame_indices=None, frequency=400, size=(64, 64), **fields):
    """Frames of the colour where something sounds and black elsewhere; `masks`: for each frame bool [n, H, W]."""
    frames = [(mask.any(0)[..., None] * np.array(colour)).astype(np.uint8) for mask in masks]
    names = {"objects": frozenset([name]), "sounding": frozenset([name]), "video_id": name, "sound": tone(frequency)}
    return RawClip(frames, list(masks), list(frame_indices or range(len(masks))), **{**names, **fields})


@pytest.fixture
def first():
    return make_clip("dog", (255, 0, 0), [box(4, 4, 24, 24)[None]])


@pytest.fixture
def second():
    clip = make_clip("cat", (0, 255, 0), [box(20, 20, 20, 16)[None]], frequency=3000)
    # Of its colour in front of and behind the cat, so that what is blended tells how opaque it was.
    return replace(clip, frames=[np.full((64, 64, 3), (0, 255, 0), np.uint8)])


@pytest.fixture
def third():
    return make_clip("cow", (0, 0, 255), [box(20, 20, 20, 16)[None]], frequency=1200)


def only(kind):
    return ClipMixing(1.0, tuple(float(kind == other) for other in KINDS))


def drawer(*clips):
    """Gives the clips one after the other, again and again."""
    count = iter(range(10**6))
    return lambda: clips[next(count) % len(clips)]


def generators(number):
    return [np.random.default_rng(seed) for seed in range(number)]


def is_of(frame, colour):
    """Where a frame has more of the colour than of any other: bool [H, W]."""
    return (frame @ (np.array(colour) > 0)) >= 128


@pytest.mark.parametrize("kind", KINDS[:3])
def test_masks_are_what_is_seen_of_what_is_heard(first, second, kind):
    for rng in generators(30):
        mixed = only(kind)(first, drawer(second), rng)
        (frame,), (masks,) = mixed.frames, mixed.masks
        red, green = is_of(frame, (255, 0, 0)), is_of(frame, (0, 255, 0))
        decided = np.abs(frame[..., 1].astype(int) - 127.5) > 1  # else as much of the one as of the other
        expected = {"first": [red], "second": [green], "both": [red, green]}[kind]
        assert mixed.mix == kind and len(masks) == len(expected)
        for mask, pixels in zip(masks, expected):
            assert mask.sum() > 20 and np.array_equal(mask & decided, pixels & decided)


def test_pasted_pixels_are_the_second_clips_and_all_others_the_first_ones(first):
    pattern = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    second = replace(make_clip("cat", (0, 255, 0), [box(20, 20, 21, 17)[None]]), frames=[pattern])
    matrix = np.array([[-1.0, 0, 52], [0, 1.0, 3]])  # mirrored, and moved by whole pixels
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(mixing, "_random_placement", lambda *arguments: matrix)
        pasted = paste(first, second, np.random.default_rng(0))
    place = box(23, 52 - 36, 21, 17)
    assert np.array_equal(pasted.shown[0], place[None])
    assert np.array_equal(pasted.frames[0][23:44, 16:33], pattern[20:41, 20:37][:, ::-1])
    assert np.array_equal(pasted.frames[0][~place], first.frames[0][~place])
    assert np.array_equal(pasted.still_visible[0], first.masks[0] & ~place)


def test_what_is_pasted_is_moved_scaled_and_mirrored(first):
    half = np.zeros((64, 64, 3), np.uint8)
    half[20:40, 20:28], half[20:40, 28:36] = (0, 255, 0), (0, 0, 255)
    second = replace(make_clip("cat", (0, 255, 0), [box(20, 20, 20, 16)[None]]), frames=[half])
    areas, centres, mirrored = [], [], []
    for rng in generators(200):
        pasted = paste(first, second, rng)
        rows, columns = pasted.shown[0][0].nonzero()
        if rows.min() > 0 and columns.min() > 0 and rows.max() < 63 and columns.max() < 63:
            areas.append(len(rows) / 320)
        centres.append((columns.mean(), rows.mean()))
        green, blue = (is_of(pasted.frames[0], colour) for colour in ((0, 255, 0), (0, 0, 255)))
        mirrored.append(green.nonzero()[1].mean() > blue.nonzero()[1].mean())
    assert 0.36 * 0.9 < min(areas) < 0.5 and 1.8 < max(areas) < 2.25 * 1.1
    assert np.ptp(centres, axis=0).min() > 35
    assert 70 < sum(mirrored) < 130


def test_enough_is_seen_of_both(first, second):
    for rng in generators(100):
        pasted = paste(first, second, rng)
        assert pasted.still_visible[0].sum() >= 0.4 * first.masks[0].sum()
        assert pasted.shown[0].mean() >= 0.005


def test_frames_of_other_sizes_are_pasted_at_the_same_share(first):
    large = make_clip("cat", (0, 255, 0), [box(60, 80, 60, 48, (192, 256))[None]], size=(192, 256))
    areas = [paste(first, large, rng).shown[0].sum() for rng in generators(40)]
    assert 0.25 * 320 < min(areas) and max(areas) < 2.25 * 1.1 * 320


def test_kinds_have_their_shares(first, second, third):
    rng, shares = np.random.default_rng(0), (0.45, 0.30, 0.15, 0.10)
    mix = ClipMixing(0.75, shares)
    small = replace(first, sound=Sound(np.ones(1600, np.float32)))
    second, third = (replace(clip, sound=small.sound) for clip in (second, third))
    counts = Counter(mix(small, drawer(second, third), rng).mix for _ in range(2000))
    neither = sum(counts[kind] for kind in mixing.OTHER_SOUNDS)
    assert set(counts) == {"", *MIXES}
    assert counts[""] == pytest.approx(500, abs=60)
    for found, share in zip((*(counts[kind] for kind in KINDS[:3]), neither), shares):
        assert found == pytest.approx(1500 * share, abs=4 * np.sqrt(1500 * share))
    for kind, share in mixing.OTHER_SOUNDS.items():
        assert counts[kind] == pytest.approx(150 * share, abs=4 * np.sqrt(150 * share))


def test_the_first_or_the_second_sound_is_heard_as_it_was(first, second):
    rng = np.random.default_rng(0)
    assert only("first")(first, drawer(second), rng).sound is first.sound
    assert only("second")(first, drawer(second), rng).sound is second.sound


def test_both_sounds_are_added_as_waveforms(first, second, monkeypatch):
    monkeypatch.setattr(mixing, "GAIN_DECIBELS", (-6.0, -6.0))
    mixed = only("both")(first, drawer(second), np.random.default_rng(0))
    expected = first.sound.waveform + 10 ** (-6 / 20) * second.sound.waveform
    np.testing.assert_allclose(mixed.sound.waveform, expected, atol=1e-6)
    assert torch.equal(mixed.sound.examples(5), audio.log_mel_examples(mixed.sound.waveform, 16000, 5))
    assert mixed.sounding == {"dog", "cat"}


def test_both_sounds_never_exceed_full_scale(first, second):
    loud = [replace(clip, sound=amplify(clip.sound, 3)) for clip in (first, second)]
    for rng in generators(5):
        mixed = only("both")(loud[0], drawer(loud[1]), rng)
        assert np.abs(mixed.sound.waveform).max() == pytest.approx(1)


@pytest.mark.parametrize("pickled", [(True, True), (True, False), (False, True)])
def test_both_sounds_are_added_where_only_the_log_mel_is_there(first, second, pickled, monkeypatch):
    monkeypatch.setattr(mixing, "GAIN_DECIBELS", (0.0, 0.0))
    expected = add_sounds(first.sound, second.sound).examples(5)
    first, second = (
        replace(clip, sound=Sound(log_mel=clip.sound.examples(5))) if without_wav else clip
        for clip, without_wav in zip((first, second), pickled)
    )
    mixed = only("both")(first, drawer(second), np.random.default_rng(0))
    torch.testing.assert_close(mixed.sound.examples(5), expected, atol=0.08, rtol=0)


def test_neither_sound_leaves_nothing_to_segment(first, second, third):
    seen = Counter()
    for rng in generators(300):
        mixed = only("neither")(first, drawer(second, third), rng)
        assert [masks.shape for masks in mixed.masks] == [(0, 64, 64)]
        assert is_of(mixed.frames[0], (255, 0, 0)).any() and mixed.objects > first.objects
        log_mel, level = mixed.sound.examples(5), np.sqrt(np.mean(mixed.sound.waveform**2))
        if mixed.mix == "silence":
            assert level < 10 ** (-49 / 20)
            seen["exact"] += bool((log_mel == np.float32(audio.SILENCE)).all())
        elif mixed.mix == "noise":
            assert 10 ** (-41 / 20) < level < 10 ** (-14 / 20)
        else:
            strangers = [clip for clip in (first, second, third) if not clip.sounding & mixed.objects]
            assert [clip.sound for clip in strangers] == [mixed.sound]
        seen[mixed.mix] += 1
    assert min(seen[kind] for kind in mixing.OTHER_SOUNDS) > 20
    assert 0.25 < seen["exact"] / seen["silence"] < 0.75


def test_a_third_sound_is_never_that_of_a_silent_object_in_the_picture(first, second):
    band = replace(first, objects=frozenset(["dog", "cow"]))
    cows = make_clip("cow", (0, 0, 255), [box(20, 20, 20, 16)[None]])
    for rng in generators(40):
        mixed = only("neither")(band, drawer(second, cows), rng)
        assert mixed.mix in ("silence", "noise")  # all that could be heard is in the picture


@pytest.mark.parametrize("field", ["objects", "sounding"])
def test_without_names_nothing_sounds_from_off_the_screen(first, second, third, field):
    first = replace(first, **{field: None})
    second, third = (replace(clip, **{field: None}) for clip in (second, third))
    kinds = {only("neither")(first, drawer(second, third), rng).mix for rng in generators(30)}
    assert kinds == {"silence", "noise"}
    assert only("first")(first, drawer(second), np.random.default_rng(0)).mix == "first"


def test_no_object_is_pasted_beside_one_of_its_name(first, second):
    other_dog = replace(second, objects=frozenset(["dog"]), sounding=frozenset(["dog"]))
    silent_dog = replace(second, objects=frozenset(["dog", "cat"]))  # which is not pasted
    for rng in generators(20):
        assert only("second")(first, drawer(other_dog), rng) is first
        assert only("second")(first, drawer(other_dog, second), rng).sound is second.sound
        assert only("second")(first, drawer(silent_dog), rng).mix == "second"


def test_a_clip_is_not_pasted_on_itself(first):
    nameless = replace(first, objects=None, sounding=None)
    assert only("second")(nameless, drawer(nameless), np.random.default_rng(0)) is nameless


def test_seconds_are_mixed_each_by_itself():
    """MS3: the dog sounds in seconds 0, 1 and 3, two cats in 1, one in 2 and none in 3."""
    dog, cats = box(4, 4, 24, 24), np.stack([box(30, 20, 12, 12), box(30, 40, 12, 12)])
    first = make_clip("dog", (255, 0, 0), [dog[None], dog[None], SILENT, dog[None]])
    second = make_clip("cat", (0, 255, 0), [SILENT, cats, cats[:1], SILENT], frequency=3000)
    for rng in generators(10):
        mixed = only("both")(first, drawer(second), rng)
        assert mixed.frame_indices == [0, 1, 2, 3]
        assert [len(masks) for masks in mixed.masks] == [1, 3, 1, 1]
        for number in (0, 3):
            assert np.array_equal(mixed.frames[number], first.frames[number])
            assert np.array_equal(mixed.masks[number], first.masks[number])
        green = is_of(mixed.frames[1], (0, 255, 0))
        assert not (mixed.masks[1][1] & mixed.masks[1][2]).any()
        assert (mixed.masks[1][1:].any(0) != green).mean() < 0.02
        # One placement serves the whole clip: the first cat is where it was, but for the edge that both cats shared.
        assert (mixed.masks[1][1] != mixed.masks[2][0]).mean() < 0.02


def test_only_seconds_that_both_clips_show_are_mixed(first, second):
    later = replace(second, frame_indices=[2])
    assert only("second")(first, drawer(later), np.random.default_rng(0)) is first
    two = make_clip("dog", (255, 0, 0), [box(4, 4, 24, 24)[None]] * 2, [0, 2])
    mixed = only("second")(two, drawer(later), np.random.default_rng(0))
    assert [len(masks) for masks in mixed.masks] == [0, 1]


def test_what_cannot_be_seen_is_not_pasted(first, second):
    tiny = make_clip("cat", (0, 255, 0), [box(30, 30, 2, 2)[None]])
    everywhere = make_clip("cat", (0, 255, 0), [box(0, 0, 64, 64)[None]])
    silent = make_clip("cat", (0, 255, 0), [SILENT])
    for useless in (tiny, silent):
        assert only("first")(first, drawer(useless), np.random.default_rng(0)) is first
    whole = make_clip("dog", (255, 0, 0), [box(0, 0, 64, 64)[None]])
    for rng in generators(10):
        mixed = only("first")(whole, drawer(everywhere), rng)
        assert mixed is whole or mixed.masks[0].mean() >= 0.4


def test_clips_are_not_changed(first, second, third):
    def contents(clip):
        return [array.copy() for array in (*clip.frames, *clip.masks, clip.sound.waveform)]

    clips = (first, second, third)
    before = [contents(clip) for clip in clips]
    for rng in generators(30):
        ClipMixing(1.0, (1, 1, 1, 1))(first, drawer(second, third), rng)
    for clip, arrays in zip(clips, before):
        assert all(np.array_equal(*pair) for pair in zip(contents(clip), arrays))


def test_the_same_random_numbers_give_the_same_clip(first, second, third):
    mix = ClipMixing(1.0, (1, 1, 1, 1))
    for seed in range(10):
        one, other = (mix(first, drawer(second, third), np.random.default_rng(seed)) for _ in range(2))
        assert one.mix == other.mix and np.array_equal(one.masks[0], other.masks[0])
        assert np.array_equal(one.frames[0], other.frames[0])
        assert np.array_equal(one.sound.waveform, other.sound.waveform)


def test_probability_zero_leaves_every_clip_alone(first):
    mix = ClipMixing(0.0, (1, 1, 1, 1))
    assert all(mix(first, None, rng) is first for rng in generators(20))


def test_numbers_that_make_no_sense_are_named_with_their_key():
    with pytest.raises(ValueError, match="INPUT.MIXING.PROBABILITY is 1.5, expected 0 to 1"):
        ClipMixing(1.5, (1, 1, 1, 1))
    for shares in ((1, 1, 1), (1, 1, 1, -1), (0, 0, 0, 0)):
        with pytest.raises(ValueError, match="INPUT.MIXING.SHARES is .*expected 4 numbers.*first, second, both, neit"):
            ClipMixing(1.0, shares)
