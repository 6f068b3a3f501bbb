"""What a training does when it is told to stop."""

import os
import signal
import threading

import pytest
from detectron2.utils import comm

from transavs.engine.interruption import SIGNALS, StopOnSignal, TrainingStopped


@pytest.fixture
def make_trainer(counting_trainer, tmp_path):
    """Makes one that sends itself signals, or calls something, in the iterations that are given."""

    class Trainer(counting_trainer):
        def train(self, max_iter):
            (self.stop,) = [hook for hook in self._hooks if isinstance(hook, StopOnSignal)]
            with self.stop.listening():
                super().train(max_iter)

    def make(events):
        def step(iteration):
            for event in events.get(iteration, ()):
                event() if callable(event) else os.kill(os.getpid(), event)

        return Trainer(tmp_path, lambda checkpointer: [StopOnSignal(checkpointer)], step)

    return make


@pytest.mark.parametrize(
    "signals, code",
    [
        ([signal.SIGTERM], 143),
        ([signal.SIGINT], 130),
        ([signal.SIGTERM, signal.SIGTERM], 143),  # from the scheduler, and from who started the process
        ([signal.SIGTERM, signal.SIGINT], 143),
    ],
)
def test_the_step_is_finished_and_saved_and_the_exit_code_tells_the_signal(
    make_trainer, steps_in, tmp_path, caplog, signals, code
):
    handlers = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(TrainingStopped) as stopped:
        make_trainer({2: signals}).train(8)
    assert stopped.value.code == code
    assert steps_in(tmp_path / "model_0000002.pth") == 3
    assert f"{signals[0].name}: training stops here; --resume goes on." in caplog.text
    assert [signal.getsignal(number) for number in SIGNALS] == handlers
    resumed = make_trainer({})
    assert resumed.start == 3


def test_a_signal_that_comes_while_the_processes_agree_counts_at_the_next_step(
    make_trainer, steps_in, tmp_path, monkeypatch
):
    def agree(received):
        if trainer.iter == 2 and not trainer.stop._received:
            os.kill(os.getpid(), signal.SIGTERM)
        return [received, 0]

    monkeypatch.setattr(comm, "all_gather", agree)
    trainer = make_trainer({})
    with pytest.raises(TrainingStopped):
        trainer.train(8)
    assert steps_in(tmp_path / "model_0000003.pth") == 4


def test_a_second_interrupt_leaves_the_step(make_trainer, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make_trainer({2: [signal.SIGINT, signal.SIGINT]}).train(8)
    assert not (tmp_path / "model_0000002.pth").exists()


def test_in_the_last_step_training_ends_as_ever(make_trainer, tmp_path):
    make_trainer({7: [signal.SIGTERM]}).train(8)
    assert (tmp_path / "model_final.pth").exists()


@pytest.mark.parametrize("early", [True, False])
def test_what_changes_nothing_is_left_at_once(make_trainer, steps_in, tmp_path, early):
    def evaluate():
        with trainer.stop.at_once(trainer.iter + 1):
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("the evaluation went on")

    trainer = make_trainer({2: [signal.SIGTERM, evaluate] if early else [evaluate]})
    with pytest.raises(TrainingStopped) as stopped:
        trainer.train(8)
    assert stopped.value.code == 143
    assert steps_in(tmp_path / "model_0000002.pth") == 3


def test_all_processes_stop_when_one_is_told(make_trainer, steps_in, tmp_path, monkeypatch):
    synchronized = []
    monkeypatch.setattr(comm, "all_gather", lambda received: [received, signal.SIGTERM * (trainer.iter == 4)])
    monkeypatch.setattr(comm, "synchronize", lambda: synchronized.append(steps_in(tmp_path / "model_0000004.pth")))
    trainer = make_trainer({})
    with pytest.raises(TrainingStopped) as stopped:
        trainer.train(8)
    assert stopped.value.code == 143
    assert synchronized == [5]  # nobody goes before the main process has saved


def test_beside_the_main_thread_signals_stay_as_they_are(make_trainer, steps_in, tmp_path):
    handlers = [signal.getsignal(number) for number in SIGNALS]
    thread = threading.Thread(target=make_trainer({}).train, args=(4,))
    thread.start()
    thread.join()
    assert steps_in(tmp_path / "model_final.pth") == 4
    assert [signal.getsignal(number) for number in SIGNALS] == handlers
