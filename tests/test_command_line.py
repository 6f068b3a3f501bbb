"""How commands end. Their options: tests/end_to_end/test_command_lines.py."""

import pytest
from torch._utils import ExceptionWrapper
from torch.multiprocessing import ProcessRaisedException

from transavs.command_line import run
from transavs.data import AVSDatasetError


@pytest.mark.parametrize("where", ["here", "in DataLoader worker process 0"])
def test_a_failure_is_told_in_one_line_wherever_it_happens(where):
    def main():
        try:
            raise AVSDatasetError("a.png: not a readable frame")
        except AVSDatasetError:
            if where == "here":
                raise
            ExceptionWrapper(where=where).reraise()  # as a DataLoader does

    with pytest.raises(SystemExit) as ended:
        run(main, AVSDatasetError)
    assert str(ended.value).endswith(": error: a.png: not a readable frame") and "\n" not in str(ended.value)


@pytest.mark.parametrize("kind, ends_with", [("AVSDatasetError", SystemExit), ("Other", ProcessRaisedException)])
def test_a_failure_in_one_of_several_processes_is_told_in_one_line_unless_it_is_another(kind, ends_with):
    def main():
        traceback = f"Traceback (most recent call last):\n  ...\ntransavs.data.errors.{kind}: a.png: is not there\n"
        raise ProcessRaisedException(traceback, 1, 2)

    with pytest.raises(ends_with) as ended:
        run(main, AVSDatasetError)
    if ends_with is SystemExit:
        assert str(ended.value).endswith(": error: a.png: is not there") and "\n" not in str(ended.value)


def test_what_a_command_returns_is_its_status():
    with pytest.raises(SystemExit) as ended:
        run(lambda: 3)
    assert ended.value.code == 3
