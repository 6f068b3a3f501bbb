import io
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from transavs.data.safe_pickle import UnsafePickleError, load_tensor


def dump(path, value, protocol=pickle.DEFAULT_PROTOCOL):
    with open(path, "wb") as file:
        pickle.dump(value, file, protocol)
    return path


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_tensor_is_read_back_without_its_gradient(tmp_path, protocol):
    tensor = torch.randn(5, 1, 96, 64, requires_grad=True)
    found = load_tensor(dump(tmp_path / "a.pkl", tensor, protocol))
    assert not found.requires_grad and found.dtype == torch.float32
    assert torch.equal(found, tensor.detach())


def test_view_is_read_back(tmp_path):
    view = torch.arange(24, dtype=torch.float64).reshape(4, 6)[1:3, ::2].t()
    assert torch.equal(load_tensor(dump(tmp_path / "a.pkl", view)), view)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path):
    victim = tmp_path / "ran"
    path = dump(tmp_path / "evil.pkl", Call(os.system, f"touch {victim}"))
    with pytest.raises(UnsafePickleError, match=r"evil\.pkl.*(posix|nt)\.system"):
        load_tensor(path)
    assert not victim.exists()


def test_code_inside_a_storage_is_refused_and_not_run(tmp_path):
    victim = tmp_path / "ran"
    inner = io.BytesIO()
    torch.save(Call(os.system, f"touch {victim}"), inner, _use_new_zipfile_serialization=False)
    path = dump(tmp_path / "evil.pkl", Call(torch.storage._load_from_bytes, inner.getvalue()))
    with pytest.raises(UnsafePickleError, match=r"evil\.pkl"):
        load_tensor(path)
    assert not victim.exists()


@pytest.mark.parametrize("function", [eval, getattr, __import__, torch.load])
def test_other_functions_are_refused_by_name(tmp_path, function):
    with pytest.raises(UnsafePickleError, match=f"forbidden global .*{function.__name__}"):
        load_tensor(dump(tmp_path / "evil.pkl", Call(function, "1")))


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, "text", OrderedDict(a=1)])
def test_pickle_of_something_else_is_refused(tmp_path, value):
    with pytest.raises(UnsafePickleError, match=rf"a\.pkl: holds a {type(value).__name__}, expected a torch tensor"):
        load_tensor(dump(tmp_path / "a.pkl", value))


def test_pickled_array_is_refused(tmp_path):
    with pytest.raises(UnsafePickleError, match=r"a\.pkl: forbidden global numpy"):
        load_tensor(dump(tmp_path / "a.pkl", np.zeros(3)))


def test_tensor_larger_than_its_storage_is_refused(tmp_path):
    untyped = torch.zeros(4).untyped_storage()
    storage = torch.storage.TypedStorage(wrap_storage=untyped, dtype=torch.float32, _internal=True)
    views = [(0, (5,), (1,)), (3, (2,), (1,)), (0, (2, 2), (3, 1)), (0, (2,), (-1,)), (-1, (2,), (1,))]
    for offset, size, stride in views:
        rebuild = Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())
        with pytest.raises(UnsafePickleError, match=r"a\.pkl: .*does not fit its storage of 4 values"):
            load_tensor(dump(tmp_path / "a.pkl", rebuild))


def test_missing_empty_and_broken_files_are_named(tmp_path):
    whole = dump(tmp_path / "whole.pkl", torch.zeros(5, 1, 96, 64)).read_bytes()
    (tmp_path / "empty.pkl").touch()
    (tmp_path / "cut.pkl").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.pkl").write_text("no pickle at all")
    for name, reason in {
        "missing.pkl": "no such file",
        "empty.pkl": "0 bytes",
        "cut.pkl": "not a readable pickle",
        "text.pkl": "not a readable pickle",
    }.items():
        with pytest.raises(UnsafePickleError, match=f"{name}: .*{reason}"):
            load_tensor(tmp_path / name)


@pytest.mark.long
def test_mutated_pickles_are_read_or_refused(tmp_path):
    whole = dump(tmp_path / "whole.pkl", torch.zeros(2, 1, 3, 4)).read_bytes()
    random, path = np.random.default_rng(0), tmp_path / "mutated.pkl"
    for _ in range(2000):
        data, place = bytearray(whole), int(random.integers(len(whole)))
        kind = random.integers(3)
        if kind == 0:
            data[place] ^= 1 << int(random.integers(8))
        elif kind == 1:
            data[place:place] = random.bytes(int(random.integers(1, 9)))
        else:
            del data[place:]
        path.write_bytes(data)
        try:
            assert isinstance(load_tensor(path), torch.Tensor)
        except UnsafePickleError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
