"""Reading a pickled tensor without running what a pickle may carry.

AVSBench ships its log-mels as plain pickles of a torch tensor. Unpickling calls whatever function the file names, so a
file from the net could run any code; the unpickler here knows the few names that rebuild a tensor, and no other.
"""

import collections
import io
import math
import os
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import reason_of
from .layout import FilePath


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
        with open(path, "rb") as file:
            found = TensorUnpickler(file).load()
    except UnsafePickleError as error:
        raise UnsafePickleError(f"{path}: {error}") from None
    # A broken pickle may raise nearly anything; whatever it is, the reader needs the file's name.
    except Exception as error:
        raise UnsafePickleError(f"{path}: not a readable pickle of a tensor ({reason_of(error)})") from error
    if not isinstance(found, torch.Tensor):
        raise UnsafePickleError(f"{path}: holds a {type(found).__name__}, expected a torch tensor")
    return found.detach()


def _load_storage(data: bytes) -> torch.storage.TypedStorage:
    """In place of `torch.storage._load_from_bytes`, which would unpickle anything."""
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

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in self.ALLOWED:
            raise UnsafePickleError(
                f"forbidden global {module}.{name}: expected a pickle that rebuilds one torch tensor and nothing else"
            )
        return self.ALLOWED[module, name]
