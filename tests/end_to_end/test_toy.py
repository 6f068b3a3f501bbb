"""The commands of the README, run as a user runs them, on Toy."""

import json
import re

import pytest

CONFIG = "configs/toy/toy_s4_R18.yaml"
QUICK = ("MODEL.TRANSAVS.NUM_QUERIES", 4, "SOLVER.IMS_PER_BATCH", 2, "TEST.EVAL_PERIOD", 0)


@pytest.fixture(scope="module")
def workplace(run_script, tmp_path_factory, request):
    """A folder with Toy in it, for the data and for what the runs leave; few clips, where nothing has to be learnt."""
    folder = tmp_path_factory.mktemp("toy")
    clips = getattr(request, "param", ("--clips", 4, 2, 2))
    made = run_script("datasets/prepare_toy.py", "--subset", "s4", "--output", folder / "toy", *clips)
    assert made.returncode == 0, made.stdout
    return folder


@pytest.fixture
def train(run_script, workplace):
    """Runs tools/train_net.py on what is in the workplace."""

    def run(output, *arguments, config=CONFIG):
        return run_script(
            "tools/train_net.py",
            "--config-file",
            config,
            *arguments,
            "OUTPUT_DIR",
            workplace / output,
            timeout=1800,  # on a machine that does much else
            DETECTRON2_DATASETS=str(workplace),
        )

    return run


def losses_of(folder):
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return [(line["iteration"], line["total_loss"]) for line in lines if "total_loss" in line]


def scores_of(folder):
    return json.loads((folder / "inference" / "toy_s4_test" / "results.json").read_text())["scores"]


def table_rows(markdown):
    """{first cell: the others} of a table's body."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()[2:]]
    return {first: others for first, *others in cells}


@pytest.mark.slow(minutes=5)
@pytest.mark.parametrize("workplace", [()], ids=["all clips"], indirect=True)
def test_toy_is_learnt_from_scratch_and_needs_its_sound(train, run_script, workplace):
    trained = train("full")
    assert trained.returncode == 0, trained.stdout[-3000:]
    assert scores_of(workplace / "full")["mJ"] >= 0.80

    best = ("MODEL.WEIGHTS", workplace / "full/model_best.pth", "MODEL.AUDIO_BACKBONE.WEIGHTS", "not/there.pth")
    wrong = train("wrong", "--eval-only", *best, "TEST.AUDIO", "shuffled")
    assert wrong.returncode == 0, wrong.stdout[-3000:]
    assert scores_of(workplace / "wrong")["mJ"] < 0.40  # at most what an object that does not sound gets

    compared = run_script(
        "tools/compare_sounds.py",
        "--config-file",
        CONFIG,
        *best,
        "OUTPUT_DIR",
        workplace / "full",
        DETECTRON2_DATASETS=str(workplace),
    )
    assert compared.returncode == 0, compared.stdout[-3000:]
    rows = table_rows((workplace / "full/sounds/sounds.md").read_text())
    assert list(rows) == ["original", "silence", "noise", "shuffled", "offscreen"]
    for sound, folder in (("original", "full"), ("shuffled", "wrong")):
        scores = scores_of(workplace / folder)
        assert rows[sound][:3] == [f"{100 * scores[name]:.1f}" for name in ("mJ", "mF", "FPR_pixel")]
    assert rows["original"][3] == "–"  # something sounds in every frame of S4
    assert all(float(value) >= 0 for sound in list(rows)[1:] for value in rows[sound])
    assert (workplace / "full/sounds/toy_s4_test.png").stat().st_size > 10_000

    drawn = run_script(
        "tools/visualize_results.py",
        "--dataset",
        "toy_s4_test",
        "--output",
        workplace / "pictures",
        "--predictions",
        workplace / "full/inference/toy_s4_test/predictions.json",
        DETECTRON2_DATASETS=str(workplace),
    )
    assert drawn.returncode == 0, drawn.stdout[-3000:]
    assert (workplace / "pictures/results.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_same_seed_gives_the_same_losses_to_the_last_digit(train, workplace):
    for name in ("first", "second"):
        assert train(name, "SOLVER.MAX_ITER", 4, "DATASETS.TEST", ("toy_s4_val",), *QUICK).returncode == 0
    first, second = losses_of(workplace / "first"), losses_of(workplace / "second")
    assert first and first == second


@pytest.mark.slow
def test_the_log_tells_the_loss_terms_and_delta(train, workplace):
    run = train("log", "SOLVER.MAX_ITER", 1, "DATASETS.TEST", ("toy_s4_val",), *QUICK)
    (line,) = [line for line in run.stdout.splitlines() if "total_loss" in line]
    for word in ("loss_class: ", "loss_dice: ", "loss_aqdl: ", "loss_aqml: ", "delta1: 0.55", "delta2: 0.55", "lr: "):
        assert word in line


@pytest.mark.slow
def test_a_resumed_run_goes_on_where_it_stopped(train, workplace):
    common = ("DATASETS.TEST", ("toy_s4_val",), "MODEL.TRANSAVS.THRESHOLD_STEP_ITERS", 2, *QUICK)
    assert train("resumed", "SOLVER.MAX_ITER", 3, *common).returncode == 0
    again = train("resumed", "--resume", "SOLVER.MAX_ITER", 6, *common)
    assert again.returncode == 0, again.stdout[-3000:]
    assert "Starting training from iteration 3" in again.stdout
    last = json.loads((workplace / "resumed/metrics.json").read_text().splitlines()[-1])
    assert last["[metric]delta1"] == pytest.approx(0.55 + 2 * 0.1 / 18)  # iteration 5 is in the third step of two


def test_without_a_gpu_the_log_says_so(train, workplace):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    run = train("cpu", "--eval-only")
    assert run.returncode == 0, run.stdout[-3000:]
    assert "No GPU was found: running on the CPU" in run.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("DATASETS.TRAIN", "('nobody',)"), "DATASETS.TRAIN: nobody not registered"),
        (("DATASETS.VAL", "('avsbench_s4_val',)"), "datasets/README.md"),
        (("MODEL.TRANSAVS.DECODER", "Nobody"), "MODEL.TRANSAVS.DECODER is 'Nobody'"),
        (("TEST.AUDIO", "radio", "--eval-only"), "TEST.AUDIO is 'radio'"),
    ],
)
def test_a_bad_config_fails_before_training(train, arguments, message):
    flags = [argument for argument in arguments if argument.startswith("--")]
    run = train("bad", *flags, *(argument for argument in arguments if argument not in flags))
    assert run.returncode != 0
    assert message in run.stdout
    assert "Starting training" not in run.stdout


def test_a_missing_config_file_is_one_line(train):
    run = train("bad", config="configs/nobody.yaml")
    assert run.returncode == 2
    assert re.search(r"error: --config-file: no such file: 'configs/nobody.yaml'$", run.stdout.strip())
