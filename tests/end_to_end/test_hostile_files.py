"""Thousands of broken and malicious files: each is read, or refused in one line that names it. See tests/fuzzing/."""

import pytest

READERS = (
    *("list", "semantic_list", "labels", "label_map", "instance_list"),
    *("frame", "mask", "instances", "sound", "log_mel", "video"),
    *("checkpoint", "safetensors", "embeddings", "config", "predictions", "metrics", "headers"),
)


def assert_read_or_refused(run_script, folder, numbers, *readers):
    finished = run_script("tests/fuzzing/fuzz.py", folder, numbers.start, numbers.stop, *readers, timeout=300)
    assert finished.returncode == 0, finished.stdout[-3000:]
    told = [line for line in finished.stdout.splitlines() if line.startswith(readers)]
    assert len(told) == len(readers)


def test_a_hundred_mutated_files_of_each_kind_are_read_or_refused(run_script, tmp_path):
    assert_read_or_refused(run_script, tmp_path, range(100), *READERS)


@pytest.mark.long
@pytest.mark.parametrize("reader", READERS)
def test_thousands_of_mutated_files_are_read_or_refused(run_script, tmp_path, reader):
    assert_read_or_refused(run_script, tmp_path, range(100, 2100), reader)
