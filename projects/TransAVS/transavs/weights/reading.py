"""Reading weights in any form they are published in, without running what a file may carry."""

import io
import os
import re
import zipfile
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch

from ..data.errors import one_line, reason_of
from ..data.safe_pickle import NUM_PICKLES, TensorUnpickler, UnsafePickleError, check_pickle, unpickle
from .published import WeightsError, local_file

# Under which a state dict may lie in a checkpoint; the first that is there counts. "ema" is a running average of the
# weights, which timm prefers too.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state")
# What DistributedDataParallel and torch.compile put before every name.
PREFIXES = r"^((module|_orig_mod)\.)+"
NUMBERS = "biuf"  # numpy's kinds of dtype: bool, int, unsigned, float


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Reads what `torch.save`, safetensors or pickle wrote: `.pth`, `.pt`, `.safetensors`, Detectron2's `.pkl`.

    Args:
        path: path or address, see `local_file`.

    Returns:
        dict[str, Tensor]: on the CPU. Arrays become tensors; of a checkpoint, only the model's weights are taken.

    Raises:
        WeightsError: the file is missing, unreadable, holds anything but weights, or asks to run code; nothing of it
            has been run then.
    """
    return read_checkpoint(path)["model"]


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a whole checkpoint, as Detectron2's trainers write it, or a file of weights alone.

    Args:
        path: see `read_state_dict`.

    Returns:
        dict: `model`, as `read_state_dict` gives it; beside it what else the file has: optimizer, iteration, ...

    Raises:
        WeightsError: see `read_state_dict`.
    """
    path = os.fspath(path)
    try:
        content = _read(local_file(path))
        weights = _unwrap(content)
        model = {re.sub(PREFIXES, "", name): torch.as_tensor(value) for name, value in weights.items()}
    except WeightsError as error:
        raise WeightsError(f"{path}: {one_line(error)}") from None
    # torch, safetensors, pickle and downloads have no exception in common; the reader needs the file's name.
    except Exception as error:
        raise WeightsError(f"{path}: not a readable file of weights ({reason_of(error)})") from error
    rest = {} if weights is content else {key: value for key, value in content.items() if key not in WRAPPERS}
    return {**rest, "model": model}


def _read(path: str) -> Any:
    if path.endswith(".safetensors"):
        return safetensors.torch.load_file(path)
    if path.endswith(".pkl") and not zipfile.is_zipfile(path):
        return unpickle(path, _WeightsUnpickler, encoding="latin1")  # in which Python 2 wrote arrays
    _check_torch_file(path)
    with torch.serialization.safe_globals(TORCH_GLOBALS):
        return torch.load(path, map_location="cpu", weights_only=True)


def _check_torch_file(path: str) -> None:
    """Refuses what would unpack to more than the file holds, and pickles that `check_pickle` refuses."""
    if not zipfile.is_zipfile(path):  # as torch saved up to version 1.5
        with open(path, "rb") as file:
            for _ in range(NUM_PICKLES):
                check_pickle(file)
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > os.path.getsize(path):
            raise WeightsError("is an archive of compressed or overlapping entries, expected one as torch saves it")
        for entry in entries:
            if entry.filename.endswith(".pkl"):
                check_pickle(io.BytesIO(archive.read(entry)))


def _unwrap(found: Any) -> dict[str, Any]:
    """The state dict in a checkpoint, checked."""
    while isinstance(found, dict):
        inner = next((found[key] for key in WRAPPERS if isinstance(found.get(key), dict)), None)
        if inner is None:
            break
        found = inner
    if not isinstance(found, dict) or not found:
        held = "an empty dict" if found == {} else f"a {type(found).__name__}"
        raise WeightsError(f"holds {held}, expected a dict of tensors (a state dict)")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
            raise WeightsError(
                f"holds a {type(value).__name__} at {name!r}, expected a dict of tensors (a state dict)"
                f" or one under {', '.join(WRAPPERS)}"
            )
    return found


class _NumberType:
    """In place of `numpy.dtype`, whose state can make numbers pass for addresses of objects: of plain numbers alone."""

    def __init__(self, name: object, *_align_and_copy: object):
        self.dtype = np.dtype(name) if isinstance(name, str) else np.dtype(object)
        if self.dtype.kind not in NUMBERS:
            raise UnsafePickleError(f"an array of {name!r}, expected numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Of (version, byte order, subtype, names, fields, size, alignment, flags) the order alone is taken."""
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """In place of an array that numpy's `_reconstruct` begins, on which its state is then set."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, number_type, is_fortran, data = state
        super().__setstate__((version, shape, number_type.dtype, is_fortran, data))


def _empty_array(*_class_shape_and_type: object) -> np.ndarray:
    """In place of numpy's `_reconstruct`."""
    return np.empty(0, np.int8).view(_Array)


def _array_from_buffer(
    buffer: bytes, number_type: _NumberType, shape: tuple[int, ...], order: Literal["C", "F"]
) -> np.ndarray:
    """In place of numpy's `_frombuffer`, with which pickle's protocol 5 writes arrays."""
    return np.frombuffer(buffer, number_type.dtype).reshape(shape, order=order)


def _scalar(number_type: _NumberType, data: str | bytes) -> np.generic:
    """In place of numpy's `scalar`; Python 2 wrote its bytes as text."""
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, number_type.dtype, count=1)[0]


def _refused_array(*_arguments: object) -> np.ndarray:
    """In place of `numpy.ndarray`, which `_reconstruct` takes as an argument and nothing calls."""
    raise UnsafePickleError("a call of numpy.ndarray, expected arrays as numpy pickles them")


NUMPY: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _refused_array,
    ("numpy", "dtype"): _NumberType,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")  # of numpy 1 and 2
        for module, name, function in (
            ("multiarray", "_reconstruct", _empty_array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _array_from_buffer),
        )
    },
}
# For torch.load, which VGGish's PCA parameters need; it sets the state of none but the types that are listed.
TORCH_GLOBALS: list[Any] = [_Array, *((function, f"{module}.{name}") for (module, name), function in NUMPY.items())]


class _WeightsUnpickler(TensorUnpickler):
    """Rebuilds torch's tensors and numpy's arrays of numbers, in dicts and lists, and calls nothing else."""

    ALLOWED = {**TensorUnpickler.ALLOWED, **NUMPY}
    EXPECTED = "a pickle that rebuilds tensors and arrays and nothing else"
