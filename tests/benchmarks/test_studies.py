"""Studies: their files, what they train, and their tables."""

import json
from pathlib import Path

import pytest

from transavs.benchmarks.studies import StudyError, read_study, run_folder, scores_of, study_table
from transavs.config import read_config

STUDY = """
CONFIG: ../models/base.yaml
CHANGES: {SOLVER.MAX_ITER: 4, MODEL.WEIGHTS: ""}
ROWS:
  "as it is": {}
  "N = 8, no AQDL": {MODEL.TRANSAVS.NUM_QUERIES: 8, SOLVER.MAX_ITER: 5, MODEL.TRANSAVS.AQDL_CONFIDENCE: [0.5, 0.5]}
"""


SHIPPED = sorted((Path(__file__).resolve().parents[2] / "docs/studies").glob("*.yaml"))


def write_study(folder, text=STUDY):
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def finish(folder, mj, mf, **of_instances):
    results = folder / "inference/toy_s4_val/results.json"
    results.parent.mkdir(parents=True)
    results.write_text(json.dumps({"scores": {"mJ": mj, "mF": mf}}))
    if of_instances:
        (results.parent / "instances.json").write_text(json.dumps({"scores": of_instances}))


def test_a_row_changes_the_config_on_top_of_what_all_rows_change(tmp_path):
    study = read_study(write_study(tmp_path))
    (tmp_path / "base.yaml").write_text("MODEL: {WEIGHTS: start.pth}\n")
    assert study.config == tmp_path / "../models/base.yaml"
    plain, changed = (read_config(tmp_path / "base.yaml", study.opts(row)) for row in study.rows)
    assert (plain.SOLVER.MAX_ITER, plain.MODEL.WEIGHTS, plain.MODEL.TRANSAVS.NUM_QUERIES) == (4, "", 300)
    assert (changed.SOLVER.MAX_ITER, changed.MODEL.WEIGHTS, changed.MODEL.TRANSAVS.NUM_QUERIES) == (5, "", 8)
    assert changed.MODEL.TRANSAVS.AQDL_CONFIDENCE == [0.5, 0.5]


def test_the_table_has_mean_spread_and_each_seed_of_the_rows_that_are_done(tmp_path):
    study = read_study(write_study(tmp_path))
    assert [line for line in study_table("t", study, tmp_path, [0, 1]).splitlines() if "as it is" in line] == []
    finish(run_folder(tmp_path, "as it is", 0), 0.601, 0.7)
    finish(run_folder(tmp_path, "as it is", 1), 0.575, 0.8)
    finish(run_folder(tmp_path, "N = 8, no AQDL", 1), 0.5, 0.6)
    lines = study_table("t", study, tmp_path, [0, 1]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[-2:]]
    assert cells[0] == ["as it is", "58.8", "2.6", "60.1, 57.5", "75.0"]
    assert cells[1] == ["N = 8, no AQDL", "50.0", "0.0", "50.0", "60.0"]


def test_the_table_has_the_scores_of_instances_where_there_are_any(tmp_path):
    study = read_study(write_study(tmp_path))
    for seed in (0, 1):
        finish(run_folder(tmp_path, "as it is", seed), 0.6, 0.7, AP50=0.3 + 0.2 * seed, HOTA=0.5, FSLA=0.25, AP=0.1)
    *_, header, _, line = study_table("t", study, tmp_path, [0, 1]).splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")][3:] == [
        "mJ of each seed",
        "mF",
        "AP50",
        "HOTA",
        "FSLA",
    ]
    assert [cell.strip() for cell in line.strip("|").split("|")][4:] == ["70.0", "40.0", "50.0", "25.0"]


def test_each_row_and_seed_has_a_folder_of_its_own_with_a_plain_name(tmp_path):
    assert run_folder(tmp_path, "N = 8, no AQDL", 3) == tmp_path / "N_8_no_AQDL/seed3"


def test_a_training_without_results_is_not_done(tmp_path):
    assert scores_of(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ROWS: [", "not YAML"),
        ("- a", "found list, expected the keys CONFIG, CHANGES, ROWS"),
        ("CONFIG: a\nROWS: {}\n", "found CONFIG, ROWS, expected"),
        ("CONFIG: a\nROWS: []\nCHANGES: {}\n", r"ROWS is \[\], expected a dict"),
        ("CONFIG: a\nROWS: {x: 1}\nCHANGES: {}\n", "'x' is 1, expected config keys"),
        ("CONFIG: !!python/name:os.system a\nROWS: {}\nCHANGES: {}\n", "not YAML"),
    ],
)
def test_a_file_that_is_no_study_is_refused_by_name(tmp_path, text, expected):
    with pytest.raises(StudyError, match=expected) as caught:
        read_study(write_study(tmp_path, text))
    assert str(tmp_path / "study.yaml") in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"none.yaml: No such file or directory, expected a study's YAML file"):
        read_study(tmp_path / "none.yaml")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_studies_have_rows_of_equal_length_that_differ(path):
    study = read_study(path)
    configs = [read_config(study.config, study.opts(row)) for row in study.rows]
    assert len({cfg.dump() for cfg in configs}) == len(configs) > 1
    assert len({(cfg.SOLVER.MAX_ITER, cfg.SOLVER.IMS_PER_BATCH) for cfg in configs}) == 1
    assert {cfg.MODEL.TRANSAVS.THRESHOLD_STEP_ITERS for cfg in configs} == {configs[0].SOLVER.MAX_ITER // 18}
