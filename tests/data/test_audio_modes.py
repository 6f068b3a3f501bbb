"""Which clip's sound another clip gets."""

import pytest

from transavs.data.audio_modes import replace_audio


def list_clips(categories):
    return [
        {"video_id": f"v{index}", "audio_file_name": f"{index}.wav", **({"category": c} if c else {})}
        for index, c in enumerate(categories)
    ]


def list_scenes(*scenes):
    """Clips that show the objects named by a scene's letters."""
    return [
        {"video_id": f"v{index}", "audio_file_name": f"{index}.wav", "objects": list(scene)}
        for index, scene in enumerate(scenes)
    ]  # as in MS3, without a category


@pytest.mark.parametrize("categories", ["aabbccccd", "ab", "aabb", "abcdefg", "aaab", [None] * 7])
def test_shuffled_gives_each_clip_another_ones_sound(categories):
    clips = list_clips(categories)
    found = replace_audio(clips, "shuffled")
    assert [clip["video_id"] for clip in found] == [clip["video_id"] for clip in clips]
    sounds = [clip["audio_file_name"] for clip in found]
    assert sorted(sounds) == sorted(clip["audio_file_name"] for clip in clips)
    assert all(sound != clip["audio_file_name"] for sound, clip in zip(sounds, clips))
    assert found == replace_audio(clips, "shuffled")


@pytest.mark.parametrize("categories", ["aabbccccd", "ab", "aabb", "abcdefg", "aaabbc"])
def test_shuffled_prefers_another_category(categories):
    category_of = {clip["audio_file_name"]: clip["category"] for clip in list_clips(categories)}
    for clip in replace_audio(list_clips(categories), "shuffled"):
        assert category_of[clip["audio_file_name"]] != clip["category"]


@pytest.mark.parametrize("scenes", [("ab", "cd", "e"), ("a", "b", "ab", "c"), ("abc", "bcd", "cde", "efg", "h", "a")])
def test_an_offscreen_sound_is_of_a_clip_without_any_of_the_objects(scenes):
    clips = list_scenes(*scenes)
    objects_of = {clip["audio_file_name"]: set(clip["objects"]) for clip in clips}
    found = replace_audio(clips, "offscreen")
    assert [clip["video_id"] for clip in found] == [clip["video_id"] for clip in clips]
    for clip in found:
        assert not objects_of[clip["audio_file_name"]] & set(clip["objects"])
    assert found == replace_audio(clips, "offscreen")
    assert clips == list_scenes(*scenes)  # left as they were


def test_of_an_s4_clip_only_the_category_is_heard():
    clips = [{**clip, "category": clip["objects"][0]} for clip in list_scenes("ab", "bac", "cab", "d")]
    first = replace_audio(clips, "offscreen")[0]
    assert first["audio_file_name"] in ("2.wav", "3.wav")  # "cab" shows a and b too, but c is all that sounds in it
    three = [{**clip, "category": clip["objects"][0]} for clip in list_scenes("ab", "bc", "ca")]
    assert [clip["audio_file_name"] for clip in replace_audio(three, "offscreen")] == ["2.wav", "0.wav", "1.wav"]


def test_offscreen_sounds_come_from_all_clips_that_fit():
    found = replace_audio(list_scenes(*"aaaaaaaaaabbbbbbbbbb"), "offscreen")
    assert len({clip["audio_file_name"] for clip in found}) > 8


@pytest.mark.parametrize("mode", ["original", "silence", "noise"])
def test_other_modes_leave_the_list_alone(mode):
    clips = list_clips("abc")
    assert replace_audio(clips, mode) == clips


def test_an_unknown_mode_is_reported_with_key():
    with pytest.raises(ValueError, match="TEST.AUDIO is 'loud', expected one of: original, .*, offscreen"):
        replace_audio([], "loud")


def test_shuffling_a_single_clip_is_refused():
    with pytest.raises(ValueError, match="TEST.AUDIO is 'shuffled' with 1 clip"):
        replace_audio(list_clips("a"), "shuffled")


def test_offscreen_needs_to_know_what_a_clip_shows():
    with pytest.raises(ValueError, match="'offscreen', but what clip v0 shows is not known: expected `objects`"):
        replace_audio(list_clips("ab"), "offscreen")


def test_offscreen_needs_a_clip_without_the_objects():
    with pytest.raises(ValueError, match=r"in every clip one of clip v2's objects may sound \(a, b\)"):
        replace_audio(list_scenes("a", "b", "ab"), "offscreen")
