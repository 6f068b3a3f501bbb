"""Which sound a test clip gets (`TEST.AUDIO`): its own, none, noise or another clip's, to see whether a model listens.

Silence, noise and sounds from off the screen are the negative sounds of Li et al., "Do Audio-Visual Segmentation Models
Truly Segment Sounding Objects?" (arXiv 2502.00358): nothing in the picture makes them, so nothing is to be segmented.
"""

import random
from collections.abc import Sequence
from typing import Any

AUDIO_MODES = ("original", "silence", "noise", "shuffled", "offscreen")
SEED = 0
SOUND_KEYS = ("audio_file_name", "audio_start")  # what a dataset dict says of its sound


Clip = dict[str, Any]  # a dataset dict


class AudioModeError(ValueError):
    """The sound asked for by `TEST.AUDIO` is unknown, or cannot be had from these clips."""


def check_audio_mode(mode: str) -> None:
    """Raises: AudioModeError: an unknown mode; it names the config's key."""
    if mode not in AUDIO_MODES:
        raise AudioModeError(f"TEST.AUDIO is {mode!r}, expected one of: {', '.join(AUDIO_MODES)}")


def replace_audio(dataset_dicts: Sequence[Clip], mode: str) -> list[Clip]:
    """Gives each clip the sound of another one where `TEST.AUDIO` is "shuffled" or "offscreen".

    "shuffled": no clip keeps its own sound, each sound is used once, and, as far as their numbers allow, none goes to a
    clip of its own category; but it may be that of a silent object in the picture. "offscreen": a sound that
    nothing in the picture makes, of a clip whose category, or, in MS3, none of whose objects is seen here. The exchange
    is the same in every run.

    Args:
        dataset_dicts (list[dict]): clips; they are not changed.
        mode (str): one of AUDIO_MODES; the others are left to the mapper and change nothing here.

    Returns:
        list[dict]: the clips in their order

    Raises:
        AudioModeError: an unknown mode; "shuffled" with fewer than two clips; "offscreen" where a clip's objects are
            not known, or every sound may be one of theirs.
    """
    check_audio_mode(mode)
    if mode == "shuffled":
        donors = _shuffled_donors(dataset_dicts)
    elif mode == "offscreen":
        donors = _offscreen_donors(dataset_dicts)
    else:
        return list(dataset_dicts)
    return [
        {**clip, **{key: donor[key] for key in SOUND_KEYS if key in donor}}
        for clip, donor in zip(dataset_dicts, donors)
    ]


def _shuffled_donors(clips: Sequence[Clip]) -> list[Clip]:
    """Returns: for each clip another one, each once, of another category where the numbers allow it."""
    if len(clips) < 2:
        raise AudioModeError(f"TEST.AUDIO is 'shuffled' with {len(clips)} clip(s), expected at least 2")
    categories = [clip.get("category") for clip in clips]
    generator = random.Random(SEED)
    order = list(range(len(clips)))
    generator.shuffle(order)
    names = sorted(set(categories), key=str)
    generator.shuffle(names)
    order.sort(key=lambda index: names.index(categories[index]))
    # With equal categories side by side, moving on by the largest one's size leaves every category behind.
    step = max(categories.count(name) for name in names) % len(order) or 1
    donors = list(clips)
    for position, index in enumerate(order):
        donors[index] = clips[order[(position + step) % len(order)]]
    return donors


def _offscreen_donors(clips: Sequence[Clip]) -> list[Clip]:
    """Returns: for each clip another one that none of its objects sounds in; a sound may be used more than once."""
    for clip in clips:
        if not clip.get("objects"):
            raise AudioModeError(
                f"TEST.AUDIO is 'offscreen', but what clip {clip['video_id']} shows is not known: expected `objects` "
                "in the dataset dict, which a column of that name in the dataset's csv gives"
            )
    # An S4 clip's category is all that sounds in it; in MS3 any object may.
    heard = [{other["category"]} if "category" in other else set(other["objects"]) for other in clips]
    generator, donors = random.Random(SEED), []
    for clip in clips:
        strangers = [other for other, objects in zip(clips, heard) if objects.isdisjoint(clip["objects"])]
        if not strangers:
            raise AudioModeError(
                f"TEST.AUDIO is 'offscreen', but in every clip one of clip {clip['video_id']}'s objects may sound "
                f"({', '.join(clip['objects'])}): expected at least one clip without"
            )
        donors.append(generator.choice(strangers))
    return donors
