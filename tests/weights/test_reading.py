import json
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.torch
import torch
from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler

from transavs.weights.reading import WeightsError, read_state_dict

STATE = OrderedDict(
    {
        "conv.weight": torch.arange(24.0).reshape(2, 3, 2, 2),
        "norm.num_batches_tracked": torch.tensor(7),
        "index": torch.arange(6).reshape(2, 3),
    }
)
ARRAYS = {name: value.numpy() for name, value in STATE.items()}


def dump(path, content, protocol=pickle.DEFAULT_PROTOCOL):
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def save(path, content, **options):
    torch.save(content, path, **options)
    return path


def assert_read(path, expected=STATE):
    found = read_state_dict(path)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], torch.as_tensor(value), rtol=0, atol=0)


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state", "state_dict_ema", "model_ema"])
def test_a_checkpoints_weights_are_found_under_every_usual_key(tmp_path, key):
    assert_read(save(tmp_path / "a.pth", {key: STATE, "epoch": 3, "optimizer": {"lr": [0.1]}}))


def test_a_running_average_goes_before_the_last_weights(tmp_path):
    average = {name: value + 1 for name, value in STATE.items()}
    assert_read(save(tmp_path / "a.pth", {"model": STATE, "model_ema": average}), average)
    assert_read(save(tmp_path / "b.pth", {"model": STATE, "model_ema": None}))


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_what_torch_saves_is_read_whatever_it_is_called(tmp_path, options):
    for name in ("a.pth", "a.pt", "a.bin"):
        assert_read(save(tmp_path / name, STATE, **options))
    assert_read(save(tmp_path / "a.pkl", STATE))


def test_safetensors_are_read(tmp_path):
    safetensors.torch.save_file(STATE, tmp_path / "a.safetensors")
    assert_read(tmp_path / "a.safetensors")


def test_arrays_in_what_torch_saves_become_tensors(tmp_path):
    assert_read(save(tmp_path / "a.pth", ARRAYS))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_detectron2s_pickles_of_arrays_are_read(tmp_path, protocol):
    content = {"model": ARRAYS, "__author__": "torchvision", "matching_heuristics": True}
    assert_read(dump(tmp_path / "R-50.pkl", content, protocol))
    assert_read(dump(tmp_path / "tensors.pkl", {"model": STATE}, protocol))
    assert_read(
        dump(tmp_path / "scalars.pkl", {"mean": np.float64(0.25), "count": np.int64(3)}, protocol),
        {"mean": torch.tensor(0.25, dtype=torch.float64), "count": torch.tensor(3)},
    )


def test_pickles_of_numpy_1_and_of_python_2_are_read(tmp_path):
    numpy_2 = pickle.dumps({"model": ARRAYS}, 2)
    assert b"numpy._core.multiarray" in numpy_2
    (tmp_path / "numpy1.pkl").write_bytes(numpy_2.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert_read(tmp_path / "numpy1.pkl")
    # In Python 2's opcodes, {"a": numpy.array([1, 2], "int16")} with its bytes as text.
    (tmp_path / "python2.pkl").write_bytes(
        b"\x80\x02}q\x01U\x01aq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b"
        b"\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02i2K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x04\x01\x00\x02\x00tbs."
    )
    assert_read(tmp_path / "python2.pkl", {"a": torch.tensor([1, 2], dtype=torch.int16)})


def test_prefixes_of_parallel_and_compiled_models_are_dropped(tmp_path):
    assert_read(save(tmp_path / "a.pth", {f"module.{name}": value for name, value in STATE.items()}))
    assert_read(save(tmp_path / "b.pth", {f"_orig_mod.module.{name}": value for name, value in STATE.items()}))
    assert_read(save(tmp_path / "c.pth", {"inner.module.a": torch.zeros(1)}), {"inner.module.a": torch.zeros(1)})


def test_addresses_are_opened_by_detectron2s_path_manager(tmp_path):
    class Handler(PathHandler):
        def _get_supported_prefixes(self):
            return ["weights-test://"]

        def _get_local_path(self, path, force=False, **kwargs):
            return str(tmp_path / path.removeprefix("weights-test://"))

    PathManager.register_handler(Handler(), allow_override=True)
    save(tmp_path / "a.pth", STATE)
    assert_read("weights-test://a.pth")
    with pytest.raises(WeightsError, match="weights-test://b.pth: no such file"):
        read_state_dict("weights-test://b.pth")


# ---- files that are refused ----


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("name", ["evil.pkl", "evil.pth"])
@pytest.mark.parametrize("wrap", [lambda evil: evil, lambda evil: {"model": {"a": evil}}])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, name, wrap):
    victim = tmp_path / "ran"
    content = wrap(Call(os.system, f"touch {victim}"))
    path = (dump if name.endswith("pkl") else save)(tmp_path / name, content)
    with pytest.raises(WeightsError, match=rf"{name}: not a readable file of weights .*(posix|nt)\.system"):
        read_state_dict(path)
    assert not victim.exists()


@pytest.mark.parametrize("function", [eval, getattr, np.load, np.ndarray, torch.load])
def test_other_functions_are_refused_by_name(tmp_path, function):
    path = dump(tmp_path / "evil.pkl", {"a": Call(function, "1")})
    with pytest.raises(WeightsError, match=r"evil\.pkl: not a readable file of weights"):
        read_state_dict(path)


def test_arrays_of_objects_are_refused(tmp_path):
    path = dump(tmp_path / "a.pkl", {"a": np.array([1, "b"], dtype=object)})
    with pytest.raises(WeightsError, match=r"a\.pkl: .*an array of 'O8', expected numbers"):
        read_state_dict(path)


@pytest.mark.parametrize(
    "content, held",
    [
        ([1, 2], "holds a list, expected a dict of tensors"),
        ({}, "holds an empty dict"),
        (torch.zeros(3), "holds a Tensor"),
        ({"epoch": 3, "weights": {"a": torch.zeros(1)}}, "holds a int at 'epoch', expected .* one under .*model"),
        ({"model": {"a": torch.zeros(1), "b": "text"}}, "holds a str at 'b'"),
        ({1: torch.zeros(1)}, "holds a Tensor at 1"),
    ],
)
@pytest.mark.parametrize("name", ["a.pkl", "a.pth"])
def test_files_of_something_else_tell_what_they_hold(tmp_path, name, content, held):
    path = (dump if name.endswith("pkl") else save)(tmp_path / name, content)
    with pytest.raises(WeightsError, match=f"{name}: {held}"):
        read_state_dict(path)


@pytest.mark.parametrize("end", ["pth", "pkl", "safetensors"])
def test_missing_empty_and_broken_files_are_named(tmp_path, end):
    (tmp_path / f"empty.{end}").touch()
    (tmp_path / f"text.{end}").write_text("no weights at all")
    (tmp_path / f"folder.{end}").mkdir()
    (dump if end == "pkl" else save)(tmp_path / f"cut.{end}", ARRAYS)
    os.truncate(tmp_path / f"cut.{end}", 100)
    for name in ("empty", "text", "folder", "cut"):
        with pytest.raises(WeightsError, match=rf"{name}\.{end}: not a readable file of weights \(\w+: .+\)$"):
            read_state_dict(tmp_path / f"{name}.{end}")
    with pytest.raises(WeightsError, match=rf"missing\.{end}: no such file"):
        read_state_dict(tmp_path / f"missing.{end}")


@pytest.mark.parametrize("name", ["a.pkl", "a.pth"])
def test_numbers_do_not_pass_for_addresses_of_objects(tmp_path, name, capfd):
    """A pickled dtype brings flags; 63 says that there are objects, whose references numpy then counts."""
    path = tmp_path / name
    if name == "a.pth":
        save(path, ARRAYS, _use_new_zipfile_serialization=False)
    else:
        dump(path, ARRAYS, 2)
    assert path.read_bytes().count(b"K\0tq") == 2  # of the floats and of the integers
    path.write_bytes(path.read_bytes().replace(b"K\0tq", b"K\x3ftq"))
    assert_read(path)
    assert capfd.readouterr().err == ""  # where numpy tells what it finds wrong when such an array goes


def test_an_archive_that_unpacks_to_more_than_it_holds_is_refused(tmp_path):
    whole = zipfile.ZipFile(save(tmp_path / "whole.pth", {"a": torch.zeros(1 << 20)}))
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        for entry in whole.infolist():
            bomb.writestr(entry, whole.read(entry), zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="archive of compressed or overlapping entries"):
        read_state_dict(tmp_path / "bomb.pth")


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "legacy"])
def test_tensors_that_are_not_there_take_no_memory(tmp_path, archive, no_more_memory):
    whole = save(tmp_path / "whole.pth", {"a": torch.zeros(77)}, _use_new_zipfile_serialization=archive).read_bytes()
    assert b"K\x4d" in whole
    path = tmp_path / "bomb.pth"
    path.write_bytes(whole)
    if archive:
        with zipfile.ZipFile(tmp_path / "whole.pth") as old, zipfile.ZipFile(path, "w") as bomb:
            for entry in old.infolist():
                bomb.writestr(entry.filename, old.read(entry).replace(b"K\x4d", b"J\xff\xff\xff\x3f"))
    else:
        path.write_bytes(whole.replace(b"K\x4d", b"J\xff\xff\xff\x3f"))
    with no_more_memory(), pytest.raises(WeightsError, match=rf"{path}: not a readable file of weights [^\n]*$"):
        read_state_dict(path)


@pytest.mark.parametrize("name", ["a.pkl", "archive.pth", "legacy.pth"])
def test_tuples_deep_in_one_another_do_not_end_the_process(tmp_path, name):
    bomb = b"\x80\x04})" + b"\x85\x94" * 1_000_000 + b"K\x01s."
    path = save(tmp_path / name, STATE, _use_new_zipfile_serialization="archive" in name)
    if name == "archive.pth":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", bomb)
    else:
        before = path.read_bytes()[: path.read_bytes().index(b"\x80\x02ccollections")] if "legacy" in name else b""
        path.write_bytes(before + bomb)
    with pytest.raises(WeightsError, match=r"more than 100 tuples in one another"):
        read_state_dict(path)


def test_a_pickle_of_a_few_bytes_does_not_fill_the_memory(tmp_path, no_more_memory):
    (tmp_path / "bomb.pkl").write_bytes(b"\x80\x02K\x01r\xff\xff\xff\x0f.")
    with no_more_memory(), pytest.raises(WeightsError, match="keeps an object as number 268435455"):
        read_state_dict(tmp_path / "bomb.pkl")


@pytest.mark.parametrize("shape, end", [([1 << 60], 1 << 62), ([1 << 28], 16), ([-1], 16), (None, 0)])
def test_safetensors_that_are_not_there_take_no_memory(tmp_path, shape, end, no_more_memory):
    head = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
    length = len(head) if shape else 1 << 62
    path = tmp_path / "bomb.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + head + bytes(16))
    with no_more_memory(), pytest.raises(WeightsError, match=rf"^{path}: not a readable file of weights [^\n]*$"):
        read_state_dict(path)
