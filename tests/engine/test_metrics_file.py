"""metrics.json of a training that is resumed."""

import json

import pytest
from detectron2.utils.events import EventStorage

from transavs.engine.metrics_file import MetricsWriter, forget_later_lines


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.json"


def write(path, iterations):
    """A line for each iteration."""
    writer = MetricsWriter(path)
    with EventStorage() as storage:
        for storage.iter in iterations:
            storage.put_scalar("total_loss", 1.0)
            writer.write()
    writer.close()


def iterations_in(path):
    return [json.loads(line)["iteration"] for line in path.read_text().splitlines()]


def test_what_is_done_again_is_written_once(path):
    write(path, [19, 39, 59])
    with path.open("a") as file:
        file.write('{"avs/mJ": 0.5, "iteration": 44}\n{"total_loss": 0.')  # by a process that was killed
    writer = MetricsWriter(path)  # made before it is known where training goes on
    forget_later_lines(path, 40)
    writer.close()
    write(path, [59])
    assert iterations_in(path) == [19, 39, 59]


def test_the_scores_of_a_training_that_ended_stay_when_it_is_made_longer(path):
    write(path, [19, 39])
    with path.open("a") as file:
        file.write('{"avs/mJ": 0.5, "iteration": 40}\n')
    forget_later_lines(path, 40)
    assert iterations_in(path) == [19, 39, 40]


def test_without_a_file_there_is_nothing_to_forget(path):
    forget_later_lines(path, 40)
    assert not path.exists()


def test_a_line_that_is_no_metrics_goes(path):
    path.write_text('[1]\n{"loss": 2}\n{"total_loss": 1.0, "iteration": 3}\n')
    forget_later_lines(path, 4)
    assert iterations_in(path) == [3]
