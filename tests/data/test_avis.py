"""Lists of videos with instances: what is listed, and what is wrong with a list."""

import contextlib
import copy
import json

import numpy as np
import pytest
import soundfile
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image
from pycocotools import mask as coco_mask

from transavs.data import AVSDatasetError, load_avis, register_avis_dataset
from transavs.data.audio_modes import replace_audio
from transavs.data.avis import instance_masks

HEIGHT, WIDTH, NAME = 12, 16, "avis_test_dataset"


def square(left):
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[2:8, left : left + 6] = True
    return mask


def encode(mask):
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}


@pytest.fixture
def content(tmp_path):
    """Two videos, of 3 and 7 seconds; the second one's sound lies where AVISeg has it."""
    videos = []
    for number, seconds in ((5, 3), (2, 7)):
        folder = tmp_path / "JPEGImages" / f"v{number}"
        folder.mkdir(parents=True)
        names = [f"v{number}/{second}.jpg" for second in range(seconds)]
        for name in names:
            Image.new("RGB", (WIDTH, HEIGHT)).save(folder.parent / name)
        videos.append({"id": number, "file_names": names, "height": HEIGHT, "width": WIDTH})
    for wav in ("JPEGImages/a.wav", "WAVAudios/v2.wav"):
        (tmp_path / wav).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / wav, np.zeros(8000), 16000)
    videos[0]["audio_file_name"] = "a.wav"
    return {
        "videos": videos,
        "categories": [{"id": 9, "name": "violin"}, {"id": 4, "name": "dog"}],
        "annotations": [
            {"id": 1, "video_id": 5, "category_id": 9, "segmentations": [encode(square(1)), None, encode(square(2))]},
            {"id": 2, "video_id": 5, "category_id": 4, "segmentations": [encode(square(8)), None, None]},
            {"id": 3, "video_id": 2, "category_id": 4, "segmentations": [None] * 6 + [encode(square(3))]},
        ],
    }


@pytest.fixture
def load(tmp_path, content):
    def run(changed=content):
        (tmp_path / "list.json").write_text(json.dumps(changed))
        return load_avis(tmp_path / "list.json", tmp_path / "JPEGImages")

    return run


def test_clips_are_listed_with_their_instances(load, tmp_path):
    *parts, short = load()
    assert (short["video_id"], short["video"], short["first_second"], short["num_labels"]) == ("5", 5, 0, 3)
    assert short["file_names"] == [str(tmp_path / f"JPEGImages/v5/{second}.jpg") for second in range(3)]
    assert (short["audio_file_name"], short["height"]) == (str(tmp_path / "JPEGImages/a.wav"), HEIGHT)
    seen = [[(entry["id"], entry["category"]) for entry in frame] for frame in short["annotations"]]
    assert seen == [[(1, 1), (2, 0)], [], [(1, 1)]]
    masks = instance_masks(short["annotations"][0], HEIGHT, WIDTH)
    assert np.array_equal(masks, [square(1), square(8)])
    assert instance_masks([], HEIGHT, WIDTH).shape == (0, HEIGHT, WIDTH)


def test_a_long_video_is_several_clips(load, tmp_path):
    first, second, _ = load()
    assert [(clip["video_id"], clip["video"], clip["first_second"]) for clip in (first, second)] == [
        ("2_0000", 2, 0),
        ("2_0005", 2, 5),
    ]
    assert [len(clip["file_names"]) for clip in (first, second)] == [5, 2]
    assert first["audio_file_name"] == second["audio_file_name"] == str(tmp_path / "WAVAudios/v2.wav")
    assert [len(frame) for frame in first["annotations"] + second["annotations"]] == [0] * 6 + [1]


def test_a_mask_without_a_pixel_is_no_instance(load, content):
    nothing = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
    short = load(edited(content, ("annotations", 0, "segmentations", 0), nothing))[-1]
    assert [[entry["id"] for entry in frame] for frame in short["annotations"]] == [[2], [], [1]]


def edited(content, path, value):
    """A copy in which what lies at `path` is another value."""
    changed = copy.deepcopy(content)
    *above, last = path
    place = changed
    for key in above:
        place = place[key]
    place[last] = value
    return changed


@pytest.mark.parametrize(
    "path, value, message",
    [
        (("annotations", 1, "id"), 1, r"annotations\[1\]: id 1 stands there already; expected each id once"),
        (("annotations", 1, "category_id"), 5, "annotation 2: category_id is 5, expected one of 4, 9"),
        (("annotations", 1, "video_id"), 6, "annotation 2: video_id is 6, expected one of the 2 videos"),
        (("annotations", 0, "segmentations"), [None], "annotation 1: 1 masks, expected 3, one for each frame or null"),
        (
            ("annotations", 0, "segmentations", 2),
            {"size": [6, 6], "counts": "0"},
            r"annotation 1: mask of frame 2: its size is \[6, 6\], expected \[12, 16\] \(height, width\)",
        ),
        (
            ("annotations", 0, "segmentations", 2),
            {"size": [HEIGHT, WIDTH], "counts": [5, 6]},
            "annotation 1: mask of frame 2: its counts are not runs of 192 pixels in all",
        ),
        (
            ("annotations", 0, "segmentations", 2, "counts"),
            "PPTl0",
            "mask of frame 2: its counts are not runs of 192 p",
        ),
        (("annotations", 0, "segmentations", 2, "counts"), "5", "mask of frame 2: its counts are not runs of 192 pix"),
        (("annotations", 0, "segmentations", 2, "counts"), "ü", "mask of frame 2: its counts are not those of a comp"),
        (("videos", 0, "height"), 10**9, r"video 5: its size is \[1000000000, 16\] \(height, width\), expected 1 to"),
        (("annotations", 0, "segmentations", 2), [[0, 0, 1e12, 0, 5, 5]], "mask of frame 2: expected an RLE with"),
        (("annotations", 0, "segmentations", 2), [[0, 0, 5, 0, 5]], "mask of frame 2: expected an RLE with"),
        (("annotations", 0, "segmentations", 2), "x", "annotation 1: mask of frame 2: expected an RLE with"),
        (("annotations", 0, "id"), None, r"annotations\[0\] lacks 'id' or has it of another type: expected id \(int\)"),
        (("videos", 0, "height"), None, r"videos\[0\] lacks 'height'"),
        (("videos", 0, "file_names"), [], "video 5: no frames in 'file_names', expected one a second"),
        (("videos", 0, "file_names", 1), 3, "video 5: 3 in place of a file's name"),
        (("videos", 0, "file_names", 1), "v5/8.jpg", "video 5: frame .*v5/8.jpg is missing or empty"),
        (("videos", 0, "audio_file_name"), "b.wav", "video 5: no sound: expected .*b.wav$"),
        (("videos", 0, "id"), 2, r"videos\[1\]: id 2 stands there already"),
        (("categories", 0, "id"), 4, r"categories\[1\]: id 4 stands there already"),
        (("categories",), [], "list.json: 2 videos and 0 categories, expected some"),
        (
            ("annotations",),
            None,
            "list.json: no list 'annotations', expected the lists videos, categories, annotations",
        ),
    ],
)
def test_what_is_wrong_is_told_with_the_file(load, content, path, value, message):
    with pytest.raises(AVSDatasetError, match=message) as caught:
        load(edited(content, path, value))
    assert "list.json" in str(caught.value)


def places_in(content, path=()):
    """The paths of the values in nested dicts, and of the first one in each list."""
    keys = content if isinstance(content, dict) else range(len(content[:1])) if isinstance(content, list) else ()
    return [found for key in keys for found in [(*path, key), *places_in(content[key], (*path, key))]]


def test_any_other_value_anywhere_is_taken_or_told(load, content):
    others = [
        None,
        -1,
        0,
        2**70,
        1.5,
        float("nan"),
        True,
        "",
        "../x",
        [],
        [[]],
        [1, "x"],
        {},
        {"size": 3, "counts": "0"},
    ]
    for path in places_in(content):
        for other in others:
            with contextlib.suppress(AVSDatasetError):
                load(edited(content, path, other))


def test_a_video_without_sound_is_told(load, tmp_path):
    (tmp_path / "WAVAudios/v2.wav").unlink()
    with pytest.raises(AVSDatasetError, match="video 2: no sound: expected .*WAVAudios/v2.wav, or the key 'audio_file"):
        load()


def test_a_file_that_is_none_is_told(tmp_path):
    with pytest.raises(AVSDatasetError, match="list.json does not exist"):
        load_avis(tmp_path / "list.json", tmp_path)
    (tmp_path / "list.json").write_text("[1")
    with pytest.raises(AVSDatasetError, match="list.json: not a readable JSON file"):
        load_avis(tmp_path / "list.json", tmp_path)


@pytest.mark.parametrize(
    "targets, num_classes, classes", [("instances", 2, [1, 0]), ("instances", 1, [0, 0]), ("union", 1, [0])]
)
def test_training_gets_each_instance_as_a_target(load, make_mapper, targets, num_classes, classes):
    mapper = make_mapper(
        True,
        INPUT__TARGETS=targets,
        MODEL__SEM_SEG_HEAD__NUM_CLASSES=num_classes,
        INPUT__SCALE_RANGE=[1.0, 1.0],
        INPUT__IMAGE_SIZE=16,
        INPUT__RANDOM_FLIP="none",
    )
    instances = mapper(load()[2])["instances"]
    assert [len(frame) for frame in instances] == [len(classes), 0, 1]
    assert instances[0].gt_classes.tolist() == classes
    expected = [square(1), square(8)] if targets == "instances" else [square(1) | square(8)]
    assert np.array_equal(instances[0].gt_masks.tensor[:, :HEIGHT].numpy(), expected)


def test_a_model_of_other_classes_is_told(load, make_mapper):
    mapper = make_mapper(True, INPUT__TARGETS="instances", MODEL__SEM_SEG_HEAD__NUM_CLASSES=5)
    with pytest.raises(AVSDatasetError, match="clip 5: its dataset has 2 classes .*NUM_CLASSES is 5"):
        mapper(load()[2])


def test_each_clip_of_a_video_has_the_sound_of_its_own_seconds(load, make_mapper, tone, tmp_path):
    seconds = [tone(300 + 400 * second, 1) for second in range(6)]
    soundfile.write(tmp_path / "WAVAudios/v2.wav", np.concatenate(seconds), 22050)
    first, second, _ = load()
    mapper = make_mapper(False, INPUT__AUDIO__RESAMPLER="torchaudio")
    later, whole = mapper(second)["audio_log_mel"], mapper(first)["audio_log_mel"]
    loudest = [example.mean((0, 1)).argmax().item() for example in (whole[0], whole[4], later[0])]
    assert loudest[0] < loudest[1] < loudest[2]
    soundfile.write(tmp_path / "WAVAudios/v2.wav", np.concatenate(seconds[:5]), 22050)  # it ends before the pictures
    assert mapper(second)["audio_log_mel"].max().item() == pytest.approx(np.log(0.01), abs=1e-3)


def test_shuffled_parts_of_a_video_exchange_their_seconds(load):
    first, second, _ = load()
    parts = [(clip["audio_start"], clip["first_second"]) for clip in replace_audio([first, second], "shuffled")]
    assert parts == [(5, 0), (0, 5)]


def test_a_registered_dataset_names_its_classes(load, tmp_path):
    load()
    register_avis_dataset(NAME, tmp_path / "list.json", tmp_path / "JPEGImages")
    try:
        metadata = MetadataCatalog.get(NAME)
        assert (metadata.evaluator_type, metadata.thing_classes) == ("avis", ["dog", "violin"])
        assert len(DatasetCatalog.get(NAME)) == 3
        assert metadata.thing_dataset_id_to_contiguous_id == {4: 0, 9: 1}
    finally:
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)


def test_stamps_toy_and_aviseg_are_registered():
    expected = {
        f"{name}_{split}" for name in ("stamps_instances", "toy_instances", "aviseg") for split in ("train", "test")
    }
    assert expected <= set(DatasetCatalog.list())
    assert MetadataCatalog.get("aviseg_val").get("thing_classes") is None  # its file is not here
