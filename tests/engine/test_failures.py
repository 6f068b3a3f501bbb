"""What ends a training from outside is told in one line."""

import errno
import os

import pytest

from transavs.engine.failures import told_in_one_line
from transavs.weights.writing import OutputError


def fail(error):
    def step(iteration):
        raise error

    return step


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_cannot_be_written_is_told_with_the_folder(counting_trainer, tmp_path, caplog, number):
    trainer = counting_trainer(tmp_path, lambda checkpointer: [], fail(OSError(number, os.strerror(number))))
    with pytest.raises(OutputError, match=rf"^output/run: cannot be written \({os.strerror(number)}\)$"):
        with told_in_one_line("output/run"):
            trainer.train(3)
    # Detectron2's formatter, where it has been set up, shortens the logger's name in the record itself.
    (record,) = [
        record for record in caplog.records if record.name.endswith("engine.train_loop") and record.levelno > 20
    ]
    assert record.getMessage().startswith("Training ends: ") and not record.exc_info


def test_a_loss_that_is_not_finite_is_logged_without_a_traceback(counting_trainer, tmp_path, caplog):
    trainer = counting_trainer(tmp_path, lambda checkpointer: [], fail(FloatingPointError("loss_dice is nan")))
    with pytest.raises(FloatingPointError), told_in_one_line("output/run"):
        trainer.train(3)
    assert "Training ends: loss_dice is nan" in caplog.text and "Traceback" not in caplog.text


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "no such file"), KeyError("name")])
def test_other_errors_keep_their_traceback(counting_trainer, tmp_path, caplog, error):
    trainer = counting_trainer(tmp_path, lambda checkpointer: [], fail(error))
    with pytest.raises(type(error)), told_in_one_line("output/run"):
        trainer.train(3)
    assert "Traceback" in caplog.text
