"""Curves of trainings, from Detectron2's metrics.json."""

import json

import pytest

from transavs.visualization.curves import MetricsError, curve_of, read_metrics, training_figure


@pytest.fixture
def write(tmp_path):
    def write(*lines):
        path = tmp_path / "metrics.json"
        path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
        return path

    return write


def test_a_resumed_run_replaces_what_it_did_again(write):
    path = write(
        {"iteration": 19, "loss_dice": 3.0}, {"iteration": 39, "loss_dice": 2.0}, {"iteration": 19, "loss_dice": 1.0}
    )
    assert curve_of(read_metrics(path), "loss_dice") == ([19, 39], [1.0, 2.0])


def test_the_scores_of_an_iteration_stay_beside_its_losses(write):
    path = write({"iteration": 19, "loss_dice": 3.0}, {"iteration": 19, "avs/mJ": 0.5})
    assert read_metrics(path) == [{"iteration": 19, "loss_dice": 3.0, "avs/mJ": 0.5}]


def test_half_a_last_line_is_left_out(write):
    assert read_metrics(write({"iteration": 19}, '{"iteration": 39, "loss')) == [{"iteration": 19}]


def test_a_quantity_is_drawn_at_the_iterations_that_have_it(write):
    metrics = read_metrics(
        write({"iteration": 19, "[metric]s1": 2.0}, {"iteration": 39, "avs/mJ": 0.5, "[metric]s1": 3.0})
    )
    figure = training_figure({"run": metrics})
    lines = {line.get_label(): line.get_xydata().tolist() for axes in figure.axes for line in axes.lines}
    assert lines == {"mJ": [[39, 0.5]], "s1": [[19, 2.0], [39, 3.0]]}


def test_two_trainings_are_told_apart():
    figure = training_figure({name: [{"iteration": 0, "avs/mJ": 0.5}] for name in ("with", "without")})
    assert [line.get_label() for axes in figure.axes for line in axes.lines] == ["with: mJ", "without: mJ"]


@pytest.mark.parametrize(
    "line, told", [("[1]\n", "line 2 is '\\[1\\]'"), ("{}\n", "line 2 is '{}'"), ("{\n", "metrics.json: not JSON")]
)
def test_a_line_that_holds_no_metrics_is_an_error(write, line, told):
    with pytest.raises(MetricsError, match=told):
        read_metrics(write({"iteration": 0}, line))


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(MetricsError, match="none.json: No such file or directory, expected a metrics.json"):
        read_metrics(tmp_path / "none.json")
