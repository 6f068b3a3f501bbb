"""The benchmark of the parts, run small: what is timed must also be right."""

import re

import pytest


@pytest.mark.slow
def test_the_parts_equal_their_references(run_script):
    done = run_script(
        "tools/benchmark_parts.py",
        "--runs",
        1,
        "--sounds",
        2,
        "--clips",
        2,
        "--side",
        32,
        "--queries",
        4,
        8,
        "--all-pairs",
        4,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    row = r"^(log-mel|metrics|classes), .+?  +([\d.]+) +([\d.]+) +[\d.]+ +(\S+)$"
    compared = re.findall(row, done.stdout, re.MULTILINE)
    assert [part for part, *_ in compared] == ["log-mel", "metrics", "classes"]
    for _, ours, reference, difference in compared:
        assert 0 < float(ours) and 0 < float(reference) and float(difference) < 1e-5
    sampled = re.findall(r"^sampling, .+?, (forward.*?)  +.* (\S+)$", done.stdout, re.MULTILINE)
    assert [what for what, _ in sampled] == ["forward", "forward and backward"]
    assert all(float(difference) < 1e-5 for _, difference in sampled)
    losses = re.findall(r"^(AQ[DM]L), n = (\d+).*?  +([\d.]+) +\d+ *(.*)$", done.stdout, re.MULTILINE)
    assert [(loss, n) for loss, n, *_ in losses] == [("AQML", "4"), ("AQML", "8"), ("AQDL", "4"), ("AQDL", "8")]
    pairwise_seconds, _, difference = losses[0][-1].split()
    assert 0 < float(pairwise_seconds) and float(difference) < 1e-6
    assert all(rest == "" for *_, rest in losses[1:])
