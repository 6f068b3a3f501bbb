"""docs/RELIABILITY.md names tests: they are there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_fault_names_tests_that_are_there():
    rows = [line for line in (ROOT / "docs/RELIABILITY.md").read_text().splitlines() if line.startswith("| ")]
    faults = [row for row in rows if not row.startswith("| fault |")]
    defined = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    missing = []
    for fault in faults:
        *_, tests, _ = re.split(r"(?<!\\)\|", fault)
        named = re.findall(r"`([^`]+)`", tests)
        there = [f"def {name}(" in defined or name.endswith(".py") and (ROOT / name).is_file() for name in named]
        missing += [name for name, found in zip(named, there) if not found] or ([] if named else [fault])
    assert faults and missing == []
