"""Configs from files: what they build on, and what is refused. The shipped ones: tests/test_configs.py."""

from pathlib import Path

import pytest

from transavs.config import ConfigError, read_config


@pytest.fixture
def write(tmp_path):
    """Writes a config, and gives its path."""

    def make(text, name="config.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return make


def assert_refused(path, reason, base=None):
    with pytest.raises(ConfigError, match=reason) as raised:
        read_config(path)
    told = str(raised.value)
    named = f"{base}: " if base not in (None, path) else ""
    assert told.startswith(f"{path}: the config cannot be read: {named}") and "\n" not in told


def test_a_config_builds_on_others(write):
    write("SEED: 1\nOUTPUT_DIR: low\n", "low.yaml")
    write("_BASE_: low.yaml\nSEED: 2\n", "middle.yaml")
    cfg = read_config(write("_BASE_: [middle.yaml]\nTEST: {MASK_THRESHOLD: 0.4}\n"), ["SEED", "3"])
    assert (cfg.OUTPUT_DIR, cfg.TEST.MASK_THRESHOLD, cfg.SEED) == ("low", 0.4, 3)


@pytest.mark.parametrize("where", ["config.yaml", "base.yaml"])
@pytest.mark.parametrize("call", ["!!python/object/apply:pathlib.Path.touch [{}]", "!!python/name:os.system"])
def test_code_in_a_config_or_its_base_is_refused_and_not_run(write, tmp_path, where, call):
    victim = tmp_path / "ran"
    write("SEED: 1\n", "base.yaml")
    path = write("_BASE_: base.yaml\n")
    write(f"OUTPUT_DIR: {call.format(victim)}\n", where)
    assert_refused(path, "could not determine a constructor for the tag", tmp_path / where)
    assert not victim.exists()


def test_configs_that_build_on_one_another_are_refused(write, tmp_path):
    write("_BASE_: config.yaml\n", "base.yaml")
    assert_refused(write("_BASE_: base.yaml\n"), r"it builds on itself \(_BASE_\)")
    Path(tmp_path / "link.yaml").symlink_to(tmp_path / "config.yaml")
    assert_refused(write("_BASE_: link.yaml\n"), r"it builds on itself \(_BASE_\)", tmp_path / "link.yaml")


@pytest.mark.parametrize("many", ["deep", "wide"])
def test_a_config_of_too_many_files_is_refused(write, many):
    for number in range(40):
        above = [number + 1] if many == "deep" else [number + 1] * 10
        write(f"_BASE_: {[f'{base}.yaml' for base in above]}\n", f"{number}.yaml")
    write("SEED: 1\n", "40.yaml")
    assert_refused(write("_BASE_: 0.yaml\n"), r"it builds on 20 files and more \(_BASE_\)")


@pytest.mark.parametrize(
    "base, reason",
    [
        ("missing.yaml", "no such file"),
        ("/dev/zero", "no such file"),
        ("http://127.0.0.1:9/config.yaml", "no such file"),
        (".", "no such file"),
    ],
)
def test_a_base_is_a_file_of_this_machine(write, tmp_path, base, reason):
    assert_refused(write(f"_BASE_: {base}\n"), reason, f"{tmp_path}/{base}" if base[0] != "/" else base)


MILLIONS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{above}'] * 10)}]\n" for above, name in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "it holds a NoneType, expected keys and values"),
        ("- 1\n- 2\n", "it holds a list, expected keys and values"),
        ("MODEL: [", "while parsing a flow node"),
        ("_BASE_: 3\n", "not iterable"),
        ("SEED: !!int nine\n", "invalid literal"),
        ("MODEL: {NOTHING: 1}\n", "Non-existent config key: MODEL.NOTHING"),
        ("SEED: [1, 2]\n", "Type mismatch"),
        ("1: 2\n", "its keys 1 are not all names"),
        ("OUTPUT_DIR: " + "[" * 5000, "recursion"),
        (f'OUTPUT_DIR: "{"-" * 100000}1"\n', "MemoryError"),
        (MILLIONS, "more than 10000 values, with what its aliases stand for"),
        ("a: &a [*a]\n", "more than 10000 values"),
        ("OUTPUT_DIR: " + "x" * (1 << 18), "it has 262156 bytes, expected at most 262144"),
        ("SEED: \x07\n", "special characters are not allowed"),
    ],
)
def test_what_is_no_config_is_told_in_one_line(write, text, reason):
    assert_refused(write(text), reason)


def test_a_config_of_other_letters_than_utf_8_is_refused(write, tmp_path):
    (tmp_path / "latin.yaml").write_bytes("OUTPUT_DIR: Grün\n".encode("latin1"))
    assert_refused(tmp_path / "latin.yaml", "can't decode byte 0xfc")
