"""tools/visualize_results.py on three clips and their predictions."""

import json

import numpy as np
import pytest
import soundfile
import torch
import visualize_results
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from transavs.evaluation import AVSEvaluator
from transavs.evaluation.avs_evaluator import encode_mask
from transavs.visualization.predictions import PredictionsError, load_dataset, load_predictions, make_picture


@pytest.fixture
def evaluated(tmp_path):
    """A registered dataset of three clips and the predictions of an evaluation: (name, predictions.json)."""
    clips = [_write_clip(tmp_path, f"clip{k}") for k in range(3)]
    name = f"visualization_test_{tmp_path.name}"
    DatasetCatalog.register(name, lambda: clips)
    MetadataCatalog.get(name).set(evaluator_type="avs")
    evaluator = AVSEvaluator(name, output_dir=str(tmp_path / "inference"))
    evaluator.process(clips, [{"sem_seg": torch.eye(16).expand(2, 1, 16, 16)}] * 3)
    evaluator.evaluate()
    yield name, tmp_path / "inference" / "predictions.json"
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def _write_clip(folder, video_id):
    frames = [str(folder / f"{video_id}_{k}.png") for k in range(2)]
    masks = [str(folder / f"{video_id}_mask_{k}.png") for k in range(2)]
    for frame, mask in zip(frames, masks):
        Image.new("RGB", (16, 16), (40, 90, 60)).save(frame)
        Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(mask)
    soundfile.write(folder / f"{video_id}.wav", np.zeros(3200, dtype=np.float32), 1600)
    return {
        "video_id": video_id,
        "file_names": frames,
        "sem_seg_file_names": masks,
        "audio_file_name": str(folder / f"{video_id}.wav"),
        "height": 16,
        "width": 16,
    }


def test_tool_draws_each_clip_and_one_sheet(evaluated, tmp_path, capsys, texts_of):
    name, predictions = evaluated
    output = tmp_path / "pictures"
    arguments = ["--dataset", name, "--predictions", str(predictions), "--output", str(output)]
    visualize_results.main([*arguments, "--num-clips", "2"])
    assert sorted(path.name for path in output.iterdir()) == [
        "clip0.png",
        "clip1.png",
        "qualitative.png",
        "results.png",
    ]
    assert "results.png" in capsys.readouterr().out
    visualize_results.main([*arguments, "--video-id", "clip2", "--format", "pdf"])
    for figure in ("clip2.pdf", "qualitative.pdf", "results.pdf"):
        assert "clip2" in texts_of((output / figure).read_bytes())
    assert not (output / "clip2.png").exists()


def test_tool_computes_the_clips_jaccard_from_the_file(evaluated):
    name, predictions = evaluated
    clip = load_dataset(name)["clip1"]
    assert make_picture(clip, load_predictions(str(predictions))["clip1"]).jaccard == 1.0


def test_a_clip_with_instances_is_drawn_with_all_that_is_annotated(evaluated):
    name, predictions = evaluated
    clip = dict(load_dataset(name)["clip1"])
    del clip["sem_seg_file_names"]
    halves = [np.eye(16, dtype=bool), np.eye(16, dtype=bool)]
    halves[0][8:], halves[1][:8] = False, False
    both = [{"id": k, "segmentation": encode_mask(torch.from_numpy(half))} for k, half in enumerate(halves)]
    clip["annotations"] = [both, both[:1]]
    picture = make_picture(clip, load_predictions(str(predictions))["clip1"])
    assert [mask.sum() for mask in picture.masks] == [16, 8]
    assert picture.jaccard == (1 + 0.5) / 2


def test_tool_says_in_one_line_what_is_wrong(evaluated, tmp_path, capsys):
    name, predictions = evaluated
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"clips": [{"video_id": "clip0"}]}))

    def run(dataset=name, file=predictions, *more):
        visualize_results.main(
            ["--dataset", dataset, "--predictions", str(file), "--output", str(tmp_path / "out"), *more]
        )

    with pytest.raises(PredictionsError, match="dataset nowhere: not registered; expected one of .*avsbench_s4_test"):
        run("nowhere")
    with pytest.raises(PredictionsError, match="absent.json: no such file"):
        run(name, tmp_path / "absent.json")
    with pytest.raises(PredictionsError, match="other.json: not a predictions.json of AVSEvaluator"):
        run(name, other)
    with pytest.raises(PredictionsError, match="clip9: no such clip in"):
        run(name, predictions, "--video-id", "clip9")
    with pytest.raises(SystemExit):
        run(name, predictions, "--num-clips", "0")
    assert "--num-clips 0: must be at least 1" in capsys.readouterr().err


def test_tool_refuses_predictions_of_another_size(evaluated):
    name, predictions = evaluated
    clip = {**load_dataset(name)["clip0"], "height": 17}
    with pytest.raises(PredictionsError, match=r"clip clip0: predicted masks are \[16, 16\], its frames \[17, 16\]"):
        make_picture(clip, load_predictions(str(predictions))["clip0"])
