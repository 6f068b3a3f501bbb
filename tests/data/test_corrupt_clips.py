"""Training with clips that cannot be read."""

import numpy as np
import pytest
import torch

from transavs.data.avsbench import AVSDatasetError
from transavs.data.corrupt_clips import CorruptClips
from transavs.data.mapper import AVSDatasetMapper
from transavs.data.mixing import ClipMixing
from transavs.data.training_stream import Place, TrainingClips

NUM_CLIPS = 6


@pytest.fixture
def clips(make_clip, tmp_path):
    """Six clips, of which the second one's frame and the fifth one's sound are cut off."""
    made = [make_clip(tmp_path, video_id=f"clip{number}") for number in range(NUM_CLIPS)]
    for path in (made[1]["file_names"][2], made[4]["audio_file_name"]):
        with open(path, "r+b") as file:
            file.truncate(120)
    return made


def mapper_of(clips, share, **options):
    options = {"num_frames": 5, "augmentations": [], "clips": clips, "max_corrupt_share": share, **options}
    return AVSDatasetMapper(True, **options)


def ids_in_order(mapper, clips, workers=0):
    loader = torch.utils.data.DataLoader(clips * 2, None, num_workers=workers, collate_fn=mapper)
    return [clip["video_id"] for clip in loader]


def test_a_corrupt_clip_ends_training(clips):
    with pytest.raises(AVSDatasetError, match="clip1_3.png: not a readable frame"):
        ids_in_order(mapper_of(clips, 0), clips)


@pytest.mark.parametrize("mixing", [None, ClipMixing(1.0, (0.25, 0.25, 0.25, 0.25))])
def test_others_take_the_place_of_corrupt_clips(clips, mixing, caplog):
    found = []
    for _ in range(2):
        np.random.seed(0)
        found.append(ids_in_order(mapper_of(clips, 0.34, mixing=mixing), clips))
    assert found[0] == found[1]  # who replaces them follows from the global random numbers
    assert len(found[0]) == 2 * NUM_CLIPS and {"clip1", "clip4"}.isdisjoint(found[0])
    readable = [video_id for place, video_id in enumerate(found[0]) if place % NUM_CLIPS not in (1, 4)]
    assert readable == 2 * ["clip0", "clip2", "clip3", "clip5"]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 4  # each clip once in each of the two runs, however often it came
    assert any("1 of 6 so far" in text and "clip1_3.png: not a readable frame" in text for text in told)


def test_who_replaces_a_corrupt_clip_follows_from_its_place_in_the_stream(clips):
    """So that a training that goes on later sees the same."""
    stream = TrainingClips(clips, mapper_of(clips, 0.34, color_jitter=True))
    again = TrainingClips(clips, mapper_of(clips, 0.34, color_jitter=True))
    places = [Place(seed=3, position=position, clip=position % NUM_CLIPS) for position in range(2 * NUM_CLIPS)]
    found = {place: stream[place] for place in places}
    for place in reversed(places):
        clip = again[place]
        assert clip["video_id"] == found[place]["video_id"] and torch.equal(clip["images"], found[place]["images"])
    replaced = [clip["video_id"] for place, clip in found.items() if place.clip in (1, 4)]
    assert len(set(replaced)) > 1


def test_more_corrupt_clips_than_may_be_end_training(clips):
    with pytest.raises(AVSDatasetError, match=r"^2 of 6 clips cannot be read, but .* is 0\.2; the last: .*clip4\.wav"):
        ids_in_order(mapper_of(clips, 0.2), clips)


def test_workers_count_together(clips):
    mapper = mapper_of(clips, 0.34)
    ids_in_order(mapper, clips, workers=2)
    assert len(mapper.corrupt) == 2


@pytest.mark.parametrize("share", [-0.1, 1, float("nan")])
def test_a_share_that_makes_no_sense_is_refused(share):
    with pytest.raises(ValueError, match="DATALOADER.MAX_CORRUPT_SHARE is"):
        CorruptClips([], share)


def test_testing_reads_every_clip(make_mapper, clips):
    with pytest.raises(AVSDatasetError, match="clip1_3.png"):
        make_mapper(False, DATALOADER__MAX_CORRUPT_SHARE=0.9)(clips[1])
