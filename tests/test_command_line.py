"""How commands end. Their options: tests/end_to_end/test_command_lines.py."""

import pytest
from torch.utils.data import DataLoader

from transavs.command_line import run
from transavs.data import AVSDatasetError


def refuse(clip):
    raise AVSDatasetError(f"{clip}: not a readable frame")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_failure_is_told_in_one_line_wherever_it_happens(workers):
    def main():
        list(DataLoader(["a.png"], None, num_workers=workers, collate_fn=refuse))

    with pytest.raises(SystemExit) as ended:
        run(main, AVSDatasetError)
    assert str(ended.value).endswith(": error: a.png: not a readable frame") and "\n" not in str(ended.value)


def test_what_a_command_returns_is_its_status():
    with pytest.raises(SystemExit) as ended:
        run(lambda: 3)
    assert ended.value.code == 3
