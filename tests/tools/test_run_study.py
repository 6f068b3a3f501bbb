"""The command that trains the rows of a study, on Toy."""

from pathlib import Path

TOY = Path(__file__).resolve().parents[2] / "configs/toy/toy_s4_R18.yaml"
STUDY = f"""
CONFIG: {TOY}
CHANGES: {{DATASETS.VAL: [], DATASETS.TEST: ["toy_s4_val"], TEST.EVAL_PERIOD: 0, SOLVER.MAX_ITER: 1}}
ROWS:
  "N = 6": {{MODEL.TRANSAVS.NUM_QUERIES: 6}}
  "learned queries": {{MODEL.TRANSAVS.AUDIO_QUERY_ENCODER: LearnedQueryEncoder}}
"""


def test_a_study_trains_each_row_once_and_its_table_has_what_is_done(run_script, small_overrides, tmp_path):
    made = run_script("datasets/prepare_toy.py", "--subset", "s4", "--clips", 2, 1, 1, "--output", tmp_path / "toy")
    assert made.returncode == 0, made.stdout
    study, output = tmp_path / "study.yaml", tmp_path / "out"
    study.write_text(STUDY)

    def run_study(*rows):
        done = run_script(
            *("tools/run_study.py", "--study", study, "--output", output, "--seeds", 3, *rows),
            *("--", *small_overrides, "SOLVER.IMS_PER_BATCH", 2, "DATALOADER.NUM_WORKERS", 0),
            DETECTRON2_DATASETS=str(tmp_path),
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    first = run_study("--rows", "learned queries")
    assert "| learned queries |" in first and "| N = 6 " not in first
    trained = (output / "learned_queries/seed3/model_final.pth").stat().st_mtime_ns
    run_study()
    assert (output / "learned_queries/seed3/model_final.pth").stat().st_mtime_ns == trained
    rows = [line.split("|")[1].strip() for line in (output / "study.md").read_text().splitlines()[4:]]
    assert rows == ["N = 6", "learned queries"]


def test_an_unknown_row_is_told_before_anything_is_trained(run_script, tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    done = run_script("tools/run_study.py", "--study", tmp_path / "study.yaml", "--output", tmp_path, "--rows", "none")
    assert done.returncode == 2
    assert "--rows 'none': not in" in done.stdout and "expected some of: N = 6, learned queries" in done.stdout
