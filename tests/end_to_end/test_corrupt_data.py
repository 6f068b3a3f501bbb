"""Training with a file that cannot be read, as a user runs it."""

from pathlib import Path

import pytest

CONFIG = Path(__file__).resolve().parents[2] / "configs/toy/toy_s4_R18.yaml"


@pytest.mark.slow
def test_a_corrupt_file_ends_a_training_in_one_line_unless_a_share_may_be_corrupt(
    run_script, small_overrides, tmp_path
):
    made = run_script("datasets/prepare_toy.py", "--subset", "s4", "--output", tmp_path / "toy", "--clips", 4, 1, 1)
    assert made.returncode == 0, made.stdout
    sound = sorted((tmp_path / "toy").rglob("audio_wav/train/*/*.wav"))[0]
    sound.write_bytes(sound.read_bytes()[:1000])

    def train(share):
        return run_script(
            *("tools/train_net.py", "--config-file", CONFIG, *small_overrides, "OUTPUT_DIR", tmp_path / f"{share}"),
            *("SOLVER.MAX_ITER", 3, "SOLVER.IMS_PER_BATCH", 4, "DATALOADER.NUM_WORKERS", 1, "TEST.EVAL_PERIOD", 0),
            *("DATALOADER.MAX_CORRUPT_SHARE", share),
            DETECTRON2_DATASETS=str(tmp_path),
        )

    ended = train(0.0)
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1].startswith(f"train_net.py: error: {sound}: is cut off: ")
    trained = train(0.25)
    assert trained.returncode == 0, trained.stdout[-3000:]
    assert trained.stdout.count("A clip is left out, for another one (1 of 4 so far)") == 1
    assert (tmp_path / "0.25/model_final.pth").exists()
