"""Where time goes: what runs in a module counts there, forward and backward, and the picture is as wide as the time."""

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest
import torch
from torch import nn

from transavs.benchmarks.flames import HEADERS, WIDTH, flame_picture, profile_stacks, table_of_parts


@pytest.fixture
def model():
    return nn.ModuleDict({"eye": nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), "ear": nn.Linear(8, 4)})


def test_steps_forward_and_backward_count_in_their_modules(model):
    def run():
        with torch.no_grad():
            model["ear"](torch.randn(2, 8))  # has the number of the next step that has a gradient
        (model["eye"](torch.randn(1, 3, 9, 9)).sum() + model["ear"](torch.randn(2, 8)).sum()).backward()

    stacks = set(profile_stacks(model, run, runs=2))
    assert {("model", "eye", "0", "conv2d"), ("model", "eye", "1", "ReluBackward0")} <= stacks
    assert {("model", "eye", "0", "ConvolutionBackward0"), ("model", "ear", "AddmmBackward0")} <= stacks
    assert ("model", "sum") in stacks
    with torch.no_grad():
        assert not any(
            "Backward" in operator for *_, operator in profile_stacks(model, lambda: model["ear"](torch.ones(8)), 1)
        )


def test_the_table_and_the_picture_tell_each_parts_time():
    microseconds = Counter(
        {
            ("model", "eye", "0", "conv2d"): 500_000,
            ("model", "eye", "0", "ConvBackward0"): 250_000,
            ("model", "<sum>"): 250_000,
        }
    )
    rows = [dict(zip(HEADERS, row)) for row in table_of_parts(microseconds)]
    assert [row["part"] for row in rows] == ["eye", "the rest"]
    assert (rows[0]["forward (ms)"], rows[0]["backward (ms)"], rows[0]["share (%)"]) == ("500", "250", "75.0")
    assert rows[0]["most of it (ms)"] == "conv2d 500, ConvBackward0 250"

    picture = ElementTree.fromstring(flame_picture(microseconds, "a & b"))
    space = {"svg": "http://www.w3.org/2000/svg"}
    widths = {
        re.sub(" [0-9]+ ms", "", box.find("svg:title", space).text): float(box.find("svg:rect", space).get("width"))
        for box in picture.findall("svg:g", space)
    }
    assert widths["model"] == pytest.approx(WIDTH, abs=1) and widths["eye"] == pytest.approx(0.75 * WIDTH, abs=1)
    assert widths["conv2d"] == pytest.approx(0.5 * WIDTH, abs=1) and widths["<sum>"] == pytest.approx(WIDTH / 4, abs=1)
