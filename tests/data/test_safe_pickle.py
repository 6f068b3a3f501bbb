import io
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from transavs.data import safe_pickle
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


def test_a_pickle_cannot_change_the_functions_that_it_may_call(tmp_path):
    change = b"N}\x8c\x0c__defaults__K\x01\x85s\x86b"  # setattr(function, "__defaults__", (1,))
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04\x8c\x0ctorch._utils\x8c\x12_rebuild_tensor_v2\x93" + change + b".")
    with pytest.raises(UnsafePickleError, match="holds a function, expected a torch tensor"):
        load_tensor(tmp_path / "a.pkl")
    assert safe_pickle._rebuild_tensor.__defaults__ is None


def test_a_name_of_several_lines_is_told_in_one(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x04\x8c\x08line\none\x8c\x09li\x1b[1mtwo\x93.")
    with pytest.raises(UnsafePickleError, match=rf"^{path}: forbidden global line one\.li \[1mtwo: [^\n]*$"):
        load_tensor(path)


@pytest.mark.parametrize("bomb", [b"\x80\x02K\x01r\xff\xff\xff\x0f.", b"\x80\x02I1\np268435455\n."])
def test_a_pickle_of_a_few_bytes_does_not_fill_the_memory(tmp_path, bomb, no_more_memory):
    """Keeping one object as number 268,435,455 makes a list of 4 GiB for it."""
    (tmp_path / "bomb.pkl").write_bytes(bomb)
    with no_more_memory(), pytest.raises(UnsafePickleError, match="keeps an object as number 268435455"):
        load_tensor(tmp_path / "bomb.pkl")


@pytest.mark.parametrize(
    "claim", [b"\x8e" + b"\xff" * 7 + b"\x0f", b"\x96" + b"\xff" * 4 + b"\0" * 4, b"B\xff\xff\xff\x7f"]
)
def test_bytes_that_are_not_there_take_no_memory(tmp_path, claim, no_more_memory):
    (tmp_path / "bomb.pkl").write_bytes(b"\x80\x05" + claim + b"few.")
    with no_more_memory(), pytest.raises(UnsafePickleError, match="not a readable pickle"):
        load_tensor(tmp_path / "bomb.pkl")


def test_a_storage_that_is_not_there_takes_no_memory(tmp_path, no_more_memory):
    with io.BytesIO() as file:
        torch.save(torch.UntypedStorage(4), file, _use_new_zipfile_serialization=False)
        data = (
            file.getvalue()
            .replace(b"K\x04", b"J\xff\xff\xff\x3f")
            .replace(b"\4" + bytes(7), b"\xff\xff\xff\x3f" + bytes(4))
        )
    path = dump(tmp_path / "bomb.pkl", Call(torch.storage._load_from_bytes, data))
    with no_more_memory(), pytest.raises(UnsafePickleError, match="not a readable pickle"):
        load_tensor(path)


def test_tuples_deep_in_one_another_do_not_end_the_process(tmp_path):
    """Their hash, which a key of a dict needs, calls itself as often as there are tuples."""
    (tmp_path / "deep.pkl").write_bytes(b"\x80\x04})" + b"\x85\x94" * 1_000_000 + b"K\x01s.")
    with pytest.raises(UnsafePickleError, match="more than 100 tuples in one another"):
        load_tensor(tmp_path / "deep.pkl")
