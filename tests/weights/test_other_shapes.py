"""Starting from a model of other classes and of shorter clips; and what is refused."""

import logging

import numpy as np
import pytest
import torch

from transavs.weights.checkpointer import AVSCheckpointer
from transavs.weights.other_shapes import CLASSIFIER, W1, OtherModelError, fit_to

TEN_SECONDS = ("MODEL.TRANSAVS.NUM_FRAMES", "10", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "3")


def w1(*columns):
    return {W1: torch.tensor([columns, columns])}


@pytest.mark.parametrize(
    "centred, found, expected",
    [
        (False, w1(1.0, 2, 3), w1(1.0, 2, 3, 0, 0)),
        (True, w1(1.0, 2, 3), w1(0, 1.0, 2, 3, 0)),
        (False, w1(1.0, 2, 3, 4, 5, 6, 7), w1(1.0, 2, 3, 4, 5)),
        (True, w1(1.0, 2, 3, 4, 5, 6, 7), w1(2.0, 3, 4, 5, 6)),
    ],
)
@pytest.mark.parametrize("form", [lambda value: value, lambda value: value.numpy()], ids=["torch", "numpy"])
def test_w1_keeps_the_columns_of_the_seconds_that_both_know(centred, found, expected, form):
    found = {name: form(value) for name, value in found.items()}
    weights, told = fit_to(found, w1(9.0, 9, 9, 9, 9), "file.pth", centred)
    assert torch.equal(weights[W1], expected[W1])
    seconds = found[W1].shape[1]
    assert told == f"{W1} [2, {seconds}] for [2, 5] (the columns of seconds that it does not know are 0)"


def test_the_classifier_is_left_as_it_is_initialised():
    found = {CLASSIFIER[0]: torch.zeros(2, 4), CLASSIFIER[1]: torch.zeros(2), "a": torch.ones(3)}
    expected = {CLASSIFIER[0]: torch.rand(71, 4), CLASSIFIER[1]: torch.rand(71), "a": torch.zeros(3)}
    weights, told = fit_to(found, expected, "file.pth", centred=False)
    assert all(torch.equal(weights[name], expected[name]) for name in CLASSIFIER)
    assert torch.equal(weights["a"], found["a"]) and found[CLASSIFIER[1]].shape == (2,)
    assert told == f"{CLASSIFIER[0]} [2, 4] for [71, 4] (left as it is initialised), " + (
        f"{CLASSIFIER[1]} [2] for [71] (left as it is initialised)"
    )


def test_w1_of_other_queries_is_left_as_it_is_initialised():
    expected = {W1: torch.rand(2, 10)}
    weights, told = fit_to({W1: torch.zeros(3, 5)}, expected, "file.pth", centred=False)
    assert torch.equal(weights[W1], expected[W1]) and told == f"{W1} [3, 5] for [2, 10] (left as it is initialised)"


def test_what_fits_is_taken_as_it_is():
    found = {"a": torch.ones(3), "beside": torch.zeros(2)}
    assert fit_to(found, {"a": torch.zeros(3), "missing": torch.zeros(1)}, "file.pth", True) == (found, "")


def test_other_weights_of_another_shape_are_an_error_in_one_line():
    found = {"backbone.conv": np.zeros((3, 3)), CLASSIFIER[1]: np.zeros(2)}
    expected = {"backbone.conv": torch.zeros(7, 7), CLASSIFIER[1]: torch.zeros(3)}
    with pytest.raises(OtherModelError) as raised:
        fit_to(found, expected, "file.pth", centred=False)
    assert str(raised.value) == (
        "file.pth: its model has other shapes than the config's: backbone.conv [3, 3] for [7, 7]"
    )


@pytest.mark.parametrize("context", ["clip", "frame"])
def test_a_model_of_ten_seconds_and_three_classes_starts_where_one_of_five_seconds_is(
    small_model, saved, caplog, context
):
    keys = ("MODEL.TRANSAVS.AUDIO_CONTEXT", context)
    trained, model = small_model(*keys), small_model(*keys, *TEN_SECONDS)
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    path = saved(trained.state_dict())
    with caplog.at_level(logging.WARNING):
        AVSCheckpointer(model).load(path, other_shapes=True)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [path]
    assert all(name in caplog.text for name in (*CLASSIFIER, W1))
    state = trained.state_dict()
    for name, value in model.state_dict().items():
        if name != W1:
            assert torch.equal(value, initial[name] if name in CLASSIFIER else state[name]), name
    # The same queries, whatever sounds in the five seconds that the trained model does not know.
    sound = torch.randn(1, 10, trained.audio_backbone.output_dim)
    clip, second = torch.zeros(1, dtype=torch.int64), torch.tensor([0])
    with torch.no_grad():
        queries = model.audio_query_encoder(sound, clip, second)
        expected = trained.audio_query_encoder(sound[:, :5], clip, second)
    torch.testing.assert_close(queries, expected)


def test_without_leave_another_model_is_refused(small_model, saved):
    """As an evaluation or a prediction reads it: classes at random would be found everywhere."""
    path = saved(small_model().state_dict())
    message = rf"^{path}: its model has other shapes than the config's: .*classifier.weight \[2, 32\] for \[4, 32\]"
    for load in (AVSCheckpointer.load, AVSCheckpointer.resume_or_load):
        with pytest.raises(OtherModelError, match=message):
            load(AVSCheckpointer(small_model(*TEN_SECONDS)), path)


def test_a_run_of_another_model_is_not_written_over(small_model, saved, tmp_path):
    AVSCheckpointer(small_model(), str(tmp_path / "run")).save("model_0000004", iteration=4)
    checkpointer = AVSCheckpointer(small_model(*TEN_SECONDS), str(tmp_path / "run"))
    with pytest.raises(OtherModelError, match="run/model_0000004.pth: its model has other shapes"):
        checkpointer.resume_or_load("", resume=True, other_shapes=True)
