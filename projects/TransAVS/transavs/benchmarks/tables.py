"""Tables of numbers, printed and kept in a page between two marks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate


def format_table(title: str, rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> str:
    """GitHub Markdown, the numbers as they are written."""
    return f"{title}\n\n{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}"


def around_marks(path: Path, marks: tuple[str, str]) -> tuple[str, str]:
    """What stands in a file before its first mark and after its second.

    Raises:
        ValueError: the file lacks them.
    """
    before, _, rest = path.read_text().partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not end:
        raise ValueError(f"{path}: no {marks[0]} ... {marks[1]} in it")
    return before, after


def write_table(path: Path, text: str, marks: tuple[str, str]) -> None:
    """Puts the text between the marks of a file; errors are those of `around_marks`."""
    before, after = around_marks(path, marks)
    path.write_text(f"{before}{marks[0]}\n\n{text}\n\n{marks[1]}{after}")
