"""What reading a whole dataset found, as text and as numbers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tabulate import tabulate

from .corrupt_clips import UNREADABLE

MAX_SHOWN = 20  # problems in the text

Row = dict[str, str]
T = TypeVar("T")


@dataclass
class SplitCounts:
    clips: int = 0
    annotated_frames: int = 0
    empty_masks: int = 0
    sizes: dict[str, int] = field(default_factory=dict)  # of frames, width x height: how many clips have it


@dataclass
class Report:
    """What reading a dataset found.

    Args:
        root: its folder.
        splits: by "s4 train" and the like.
        problems: what is wrong; each is one line that names a file or a clip.
        remarks: what need not be wrong, by its kind: where it was found.
    """

    root: str
    splits: dict[str, SplitCounts] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    remarks: dict[str, list[str]] = field(default_factory=dict)

    def remark(self, kind: str, place: str) -> None:
        self.remarks.setdefault(kind, []).append(place)

    def attempt(self, where: str, read: Callable[..., T], *arguments: Any) -> T | None:
        """What `read` gives; None where it fails, which is a problem then."""
        try:
            return read(*arguments)
        except UNREADABLE as error:
            self.problems.append(f"{where}: {error}")
            return None

    def text(self) -> str:
        header = ["split", "clips", "annotated frames", "empty masks", "frames (width x height)"]
        rows = [
            [name, found.clips, found.annotated_frames, found.empty_masks, ", ".join(found.sizes)]
            for name, found in self.splits.items()
        ]
        parts = [self.root, *([tabulate(rows, header)] if rows else [])]
        parts += [f"{kind}: {len(places)}, such as {places[0]}" for kind, places in self.remarks.items()]
        parts += [f"{len(self.problems)} problem(s)" if self.problems else "Nothing is wrong."]
        parts += [f"  {problem}" for problem in self.problems[:MAX_SHOWN]]
        hidden = len(self.problems) - MAX_SHOWN
        return "\n".join([*parts, *([f"  ... and {hidden} more"] if hidden > 0 else [])])
