import base64
import io
import re

import numpy as np
import torch
from detectron2.structures import Instances
from PIL import Image

from transavs.engine.predictor import FrameResult
from transavs.visualization import ObjectStyle
from transavs.web.timeline import MAX_ROWS, THUMBNAIL, Timeline

SIZE = (40, 60)


def result(time, *objects):
    """A red frame; each object is (number, score, left column) of a square of 10 pixels."""
    masks = torch.zeros(len(objects), *SIZE, dtype=torch.bool)
    for mask, (_, _, left) in zip(masks, objects):
        mask[10:20, left : left + 10] = True
    found = Instances(
        SIZE,
        pred_masks=masks,
        scores=torch.tensor([score for _, score, _ in objects]),
        object_number=torch.tensor([number for number, _, _ in objects]),
    )
    frame = np.zeros((*SIZE, 3), np.uint8)
    frame[..., 0] = 200
    return FrameResult(time, frame, masks.any(0, keepdim=True).float(), found)


def cells(html):
    """(second, text) of each."""
    return [(int(second), text) for second, text in re.findall(r'<button data-second="(\d+)" title="(.*?)"', html)]


def test_a_cell_is_an_objects_second_and_its_mean_score():
    timeline = Timeline(3)
    for item in (result(0.0, (0, 0.9, 5)), result(0.5, (0, 0.7, 5)), result(2.9, (0, 0.55, 5), (1, 0.6, 40))):
        timeline.add(item)
    assert timeline.seconds_that_sound == 2
    assert sorted(cells(timeline.html())) == [
        (0, "object 0, second 0: 80% sure"),
        (2, "object 0, second 2: 55% sure"),
        (2, "object 1, second 2: 60% sure"),
    ]


def test_classes_are_named_and_coloured():
    timeline = Timeline(3, ObjectStyle(["cow & calf", "dog"], by_class=True))
    for second, classes in enumerate(([1], [0, 1], [])):
        found = result(second, *((number, 0.9, 20 * number) for number in range(len(classes))))
        found.instances.pred_classes = torch.tensor(classes)
        timeline.add(found)
    assert timeline.names == ["dog", "cow & calf"]
    html = timeline.html()
    assert (0, "object 0, second 0: dog 90% sure") in cells(html) and "<span>cow &amp; calf 90%</span>" in html
    assert html.count("--color:rgb(0, 128, 0)") == 2 and html.count("--color:rgb(128, 0, 0)") == 1


def test_objects_that_never_meet_share_a_row():
    timeline = Timeline(2)
    timeline.add(result(0, (0, 0.9, 5)))
    timeline.add(result(1, (1, 0.9, 5)))
    assert timeline.html().count("<i></i>") == 0
    timeline.add(result(1, (0, 0.9, 30)))
    assert timeline.html().count("<i></i>") == 1


def test_what_finds_no_row_is_counted():
    timeline = Timeline(1)
    timeline.add(result(0, *((number, 0.9, 0) for number in range(MAX_ROWS + 2))))
    assert len(cells(timeline.html())) == MAX_ROWS and "and 2 smaller ones" in timeline.html()


def test_the_picture_shows_the_object_and_fades_the_rest():
    timeline = Timeline(1)
    timeline.add(result(0, (0, 0.9, 0)))  # at the frame's edge: what lies outside is white
    (data,) = re.findall(r'src="data:image/jpeg;base64,(.*?)"', timeline.html())
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)
    assert image.shape == (THUMBNAIL, THUMBNAIL, 3)
    assert np.abs(image[36, 36] - [200, 0, 0]).max() < 12
    assert image[36, -3, 1] > 150 and image[36, 3].min() > 235


def test_silence_is_an_empty_timeline():
    timeline = Timeline(2)
    timeline.add(result(0))
    assert timeline.seconds_that_sound == 0 and not cells(timeline.html(np.zeros(32000, np.float32), 16000))
