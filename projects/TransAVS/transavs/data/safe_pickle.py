"""Reading a pickled tensor without running what a pickle may carry.

AVSBench ships its log-mels as plain pickles of a torch tensor. Unpickling calls whatever function the file names, so a
file from the net could run any code; the unpickler here knows the few names that rebuild a tensor, and no other.
"""

import collections
import io
import math
import os
import pickle
import pickletools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from .errors import one_line, reason_of
from .layout import FilePath

TUPLES = ("EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE", "FROZENSET")  # opcodes that make what can be a key
MAX_DEPTH = 100  # of tuples in one another
NUM_PICKLES = 5  # in what torch saved before it wrote archives: two numbers, the system, the object, its storages' keys


class UnsafePickleError(ValueError):
    """The file is no pickled tensor, or asks for more than rebuilding one; the message names it."""


def load_tensor(path: FilePath) -> Tensor:
    """Reads a tensor written by `pickle.dump(tensor, file)`.

    Args:
        path (str or PathLike)

    Returns:
        tensor on the CPU, without a gradient

    Raises:
        UnsafePickleError: the file is missing, empty, broken, not a tensor, or names anything but tensor rebuilding;
            nothing of it has been run then.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UnsafePickleError(f"{path}: no such file, expected a pickled tensor")
    if os.path.getsize(path) == 0:
        raise UnsafePickleError(f"{path}: the file is empty (0 bytes), expected a pickled tensor")
    try:
        found = unpickle(path, TensorUnpickler)
    except UnsafePickleError as error:
        raise UnsafePickleError(f"{path}: {one_line(error)}") from None
    # A broken pickle may raise nearly anything; whatever it is, the reader needs the file's name.
    except Exception as error:
        raise UnsafePickleError(f"{path}: not a readable pickle of a tensor ({reason_of(error)})") from error
    if not isinstance(found, torch.Tensor):
        raise UnsafePickleError(f"{path}: holds a {type(found).__name__}, expected a torch tensor")
    return found.detach()


def unpickle(path: FilePath, unpickler: type["TensorUnpickler"], encoding: str = "ASCII") -> Any:
    """What a file holds; of one that is refused nothing is run. `encoding` is that of Python 2's text.

    Raises:
        UnsafePickleError: without the file's name; a broken pickle may raise nearly anything else.
    """
    data = io.BytesIO(Path(path).read_bytes())  # which gives no more than there is, whatever length is asked for
    check_pickle(data)
    data.seek(0)
    return unpickler(data, encoding=encoding).load()


def check_pickle(file: IO[bytes]) -> None:
    """Reads one pickle without doing what it says, to refuse what takes far more memory or stack than it is long.

    Unpickling makes a list that is as long as the largest number under which an object is kept. The hash of a tuple,
    a key of a dict say, calls itself for a tuple in it, as deep as they go.

    Raises:
        UnsafePickleError: it does so; a broken pickle may raise nearly anything else.
    """
    depths: list[int | None] = []  # of what is on the stack: how many tuples are in one another; None is a mark
    kept: dict[int, int] = {}
    for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            place = len(kept) if argument is None else int(argument)
            if place > number + 1:
                raise UnsafePickleError(f"opcode {number} keeps an object as number {place}, expected no gaps")
            kept[place] = depths[-1] or 0
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            depths.append(kept[int(argument or 0)])
        elif opcode.name == "MARK":
            depths.append(None)
        elif opcode.name == "DUP":
            depths.append(depths[-1])
        else:
            taken = _popped(depths, opcode.stack_before)
            depth = max(taken, default=0) + 1 if opcode.name in TUPLES else 0
            if depth > MAX_DEPTH:
                raise UnsafePickleError(f"more than {MAX_DEPTH} tuples in one another, expected a few")
            depths += [depth] * len(opcode.stack_after)


def _popped(depths: list[int | None], before: Sequence[object]) -> list[int]:
    """Takes from the stack what an opcode takes, as `pickletools` describes it; a mark and all above it, say."""
    if pickletools.markobject not in before:
        return [depths.pop() or 0 for _ in before]
    items = []
    while (depth := depths.pop()) is not None:
        items.append(depth)
    if before[0] is not pickletools.markobject:  # a list or dict, to which the items are added
        depths.pop()
    return items


def _load_storage(data: bytes) -> torch.storage.TypedStorage:
    """In place of `torch.storage._load_from_bytes`, which would unpickle anything."""
    pickles = io.BytesIO(data)
    for _ in range(NUM_PICKLES):
        check_pickle(pickles)
    storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(storage, torch.storage.TypedStorage):
        raise UnsafePickleError(f"a tensor's storage is a {type(storage).__name__}, expected a torch storage")
    return storage


def _rebuild_tensor(
    storage: Any, offset: int, size: Sequence[int], stride: Sequence[int], *_gradient_and_hooks: Any
) -> Tensor:
    """In place of `torch._utils._rebuild_tensor_v2`: the same, for a view that lies within its storage."""
    if not isinstance(storage, torch.storage.TypedStorage):
        raise UnsafePickleError(f"a tensor's storage is a {type(storage).__name__}, expected a torch storage")
    capacity = storage._untyped_storage.nbytes() // storage.dtype.itemsize
    last = offset + sum((length - 1) * step for length, step in zip(size, stride))
    if min([offset, *size, *stride]) < 0 or (math.prod(size) > 0 and last >= capacity):
        raise UnsafePickleError(
            f"a tensor of size {list(size)}, stride {list(stride)}, from value {offset} on does not fit its storage of "
            f"{capacity} values"
        )
    return torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage, offset, tuple(size), tuple(stride))


def _encode_latin1(text: Any, encoding: str) -> bytes:
    """In place of `_codecs.encode`, with which pickle's protocols up to 2 write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise UnsafePickleError(f"forbidden encoding {encoding!r}, expected latin1 text")
    return text.encode("latin1")


class TensorUnpickler(pickle.Unpickler):
    ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch.storage", "_load_from_bytes"): _load_storage,
        ("collections", "OrderedDict"): collections.OrderedDict,  # the tensor's (empty) backward hooks
        ("_codecs", "encode"): _encode_latin1,
    }
    EXPECTED = "a pickle that rebuilds one torch tensor and nothing else"

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in self.ALLOWED:
            raise UnsafePickleError(f"forbidden global {module}.{name}: expected {self.EXPECTED}")
        function = self.ALLOWED[module, name]
        return lambda *arguments: function(*arguments)  # another one each time: a pickle can set attributes on it
