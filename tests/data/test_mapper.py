import random

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from PIL import Image

from transavs.data import audio
from transavs.data.avsbench import AVSDatasetError
from transavs.data.mapper import AVSDatasetMapper
from transavs.data.reading import read_mask
from transavs.data.safe_pickle import UnsafePickleError

HEIGHT, WIDTH = 40, 60  # of the frames of make_clip


def seed_all(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def masks_of(model_input):
    return torch.stack([instances.gt_masks.tensor.any(dim=0) for instances in model_input["instances"]])


def test_test_input_holds_every_frame_and_the_originals_size(make_mapper, make_clip, tmp_path):
    clip = make_clip(tmp_path)
    found = make_mapper(is_train=False)(clip)
    assert found["images"].dtype == torch.uint8 and found["images"].shape == (5, 3, 20, 30)
    assert (found["height"], found["width"]) == (HEIGHT, WIDTH)
    assert torch.equal(found["frame_indices"], torch.arange(5))
    assert "instances" not in found
    for key in ("video_id", "category", "file_names", "sem_seg_file_names", "audio_file_name"):
        assert found[key] == clip[key]
    expected = audio.log_mel_examples(*audio.read_waveform(clip["audio_file_name"]), 5)
    assert torch.equal(found["audio_log_mel"], expected)


def test_images_are_rgb_and_in_the_frames_order(make_mapper, make_clip, make_mask, tmp_path):
    found = make_mapper(is_train=False, INPUT__MIN_SIZE_TEST=HEIGHT)(make_clip(tmp_path))
    for index, image in enumerate(found["images"]):
        mask = torch.from_numpy(make_mask(index))
        assert torch.equal(image[0], mask * 255) and torch.equal(image[2], ~mask * 255)


@pytest.mark.parametrize("annotated", [[0], [1, 3], range(5)])
def test_training_input_holds_only_the_annotated_frames(make_mapper, make_clip, tmp_path, annotated):
    clip = make_clip(tmp_path, annotated)
    for index, path in enumerate(clip["file_names"]):
        if index not in annotated:
            clip["file_names"][index] = path + ".never_read"
    found = make_mapper(is_train=True)(clip)
    assert found["frame_indices"].tolist() == list(annotated)
    assert found["images"].shape == (len(annotated), 3, 48, 48)
    assert found["audio_log_mel"].shape == (5, 1, 96, 64)
    assert [len(instances) for instances in found["instances"]] == [1] * len(annotated)
    assert all(instances.gt_classes.tolist() == [0] for instances in found["instances"])
    assert all(instances.image_size == (48, 48) for instances in found["instances"])


def test_flip_scale_and_crop_are_the_same_for_frames_and_masks(make_mapper, make_clip, tmp_path):
    clip, mapper = make_clip(tmp_path), make_mapper(is_train=True, INPUT__SCALE_RANGE=[0.5, 2.0])
    shapes_seen = set()
    for seed in range(20):
        seed_all(seed)
        found = mapper(clip)
        red, green, blue = found["images"].unbind(dim=1)
        sounding, padding = masks_of(found), green == 128
        # Where a resized frame's edge is mixed of red and blue, the mask's nearest pixel may be of either.
        certain = (red > 240) | (blue > 240) | padding
        assert torch.equal((red > 240) & ~padding, sounding & certain)
        assert certain.float().mean() > 0.8
        shapes_seen.add(int(sounding.sum()))
    assert len(shapes_seen) > 10


def test_one_draw_serves_the_whole_clip(make_mapper, make_clip, tmp_path):
    clip = make_clip(tmp_path)
    clip["file_names"] = [clip["file_names"][0]] * 5
    clip["sem_seg_file_names"] = [clip["sem_seg_file_names"][0]] * 5
    mapper = make_mapper(is_train=True, INPUT__SCALE_RANGE=[0.5, 2.0])
    for seed in range(5):
        seed_all(seed)
        found = mapper(clip)
        assert (found["images"] == found["images"][:1]).all()
        assert (masks_of(found) == masks_of(found)[:1]).all()


def test_flip_happens_for_half_of_the_clips(make_mapper, make_clip, tmp_path):
    clip, mapper = make_clip(tmp_path, [0]), make_mapper(is_train=True, INPUT__SCALE_RANGE=[1.0, 1.0])
    seed_all(0)
    results = [masks_of(mapper(clip))[0] for _ in range(30)]
    flipped = [not torch.equal(result, results[0]) for result in results]
    assert 5 < sum(flipped) < 25
    # At 48 x 32 pixels the frame fills the crop's width, so that mirroring the crop mirrors the frame.
    for result, is_flipped in zip(results, flipped):
        assert torch.equal(result.flip(-1) if is_flipped else result, results[0])


def test_padding_never_sounds(make_mapper, make_clip, tmp_path):
    clip = make_clip(tmp_path, [0])
    Image.fromarray(np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)).save(clip["sem_seg_file_names"][0])
    found = make_mapper(is_train=True, INPUT__SCALE_RANGE=[0.5, 0.5])(clip)
    # 40 x 60 pixels into half of 48 x 48: 16 x 24, upper left.
    expected = torch.zeros(48, 48, dtype=torch.bool)
    expected[:16, :24] = True
    assert torch.equal(masks_of(found)[0], expected)
    assert (found["images"][0][:, ~expected] == 128).all()


def test_frame_without_sounding_pixels_has_no_instance(make_mapper, make_clip, tmp_path):
    clip = make_clip(tmp_path)
    Image.fromarray(np.zeros((HEIGHT, WIDTH), dtype=np.uint8)).save(clip["sem_seg_file_names"][2])
    instances = make_mapper(is_train=True)(clip)["instances"]
    assert [len(frame) for frame in instances] == [1, 1, 0, 1, 1]
    assert instances[2].gt_masks.tensor.shape == (0, 48, 48) and instances[2].gt_classes.dtype == torch.int64


def test_object_cropped_away_has_no_instance(make_clip, tmp_path):
    clip = make_clip(tmp_path, [0])
    pixels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    pixels[0, 0] = 255
    Image.fromarray(pixels).save(clip["sem_seg_file_names"][0])
    mapper = AVSDatasetMapper(is_train=True, num_frames=5, augmentations=[T.CropTransform(10, 10, 20, 20)])
    assert len(mapper(clip)["instances"][0]) == 0


def test_same_seed_gives_the_same_input(make_mapper, make_clip, tmp_path):
    clip = make_clip(tmp_path)
    mapper = make_mapper(is_train=True, INPUT__COLOR_JITTER=True, INPUT__AUDIO__TIME_MASK=20)
    results = []
    for seed in (1, 1, 2):
        seed_all(seed)
        results.append(mapper(clip))
    for key in ("images", "audio_log_mel"):
        assert torch.equal(results[0][key], results[1][key])
        assert not torch.equal(results[0][key], results[2][key])
    assert torch.equal(masks_of(results[0]), masks_of(results[1]))


def test_dataset_dict_is_left_as_it_was(make_mapper, make_clip, tmp_path):
    clip = make_clip(tmp_path)
    before = {key: list(value) if isinstance(value, list) else value for key, value in clip.items()}
    make_mapper(is_train=True)(clip)
    assert clip == before


def test_masks_of_every_image_mode_read_the_same(make_mask, tmp_path):
    grey = Image.fromarray(make_mask().astype(np.uint8) * 255)
    inverse_palette = Image.fromarray((~make_mask()).astype(np.uint8), mode="P")
    inverse_palette.putpalette([255, 0, 0, 0, 0, 0])
    one = Image.fromarray(make_mask().astype(np.uint8))
    for name, image in {
        "L": grey,
        "L_of_ones": one,
        "RGB": grey.convert("RGB"),
        "RGBA": grey.convert("RGBA"),
        "LA": grey.convert("LA"),
        "1": grey.convert("1"),
        "P": grey.convert("P"),
        "P_inverse": inverse_palette,
    }.items():
        image.save(tmp_path / f"{name}.png")
        found = read_mask(str(tmp_path / f"{name}.png"))
        assert found.dtype == bool, name
        np.testing.assert_array_equal(found, make_mask(), err_msg=name)


def test_broken_files_are_named(make_mapper, make_clip, tmp_path):
    (tmp_path / "broken.png").write_text("no image at all")
    (tmp_path / "broken.wav").write_text("no sound at all")
    (tmp_path / "broken.pkl").write_text("no pickle at all")
    Image.fromarray(np.zeros((8, 9), dtype=np.uint8)).save(tmp_path / "small.png")
    cases = [
        ("file_names", "missing.png", AVSDatasetError, "no such file, expected a frame"),
        ("file_names", "broken.png", AVSDatasetError, "not a readable frame"),
        ("file_names", "small.png", AVSDatasetError, "frame is 9x8 .*expected 60x40"),
        ("sem_seg_file_names", "missing.png", AVSDatasetError, "no such file, expected a mask"),
        ("sem_seg_file_names", "broken.png", AVSDatasetError, "not a readable mask"),
        ("sem_seg_file_names", "small.png", AVSDatasetError, "mask is 9x8 .*expected 60x40"),
        ("audio_file_name", "missing.wav", audio.AudioError, "no such file"),
        ("audio_file_name", "broken.wav", audio.AudioError, "not a readable sound"),
        ("audio_file_name", "broken.pkl", UnsafePickleError, "not a readable pickle"),
    ]
    for key, name, error, reason in cases:
        clip = make_clip(tmp_path)
        if key == "audio_file_name":
            clip[key] = str(tmp_path / name)
        else:
            clip[key][1] = str(tmp_path / name)
        with pytest.raises(error, match=f"{name}: .*{reason}"):
            make_mapper(is_train=True)(clip)


def test_training_clip_without_any_mask_is_named(make_mapper, make_clip, tmp_path):
    with pytest.raises(AVSDatasetError, match="clip lonely .*no frame has a mask"):
        make_mapper(is_train=True)(make_clip(tmp_path, annotated=[], video_id="lonely"))
