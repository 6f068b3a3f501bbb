"""How often a computation makes the host wait for its device, counted where there is but a CPU."""

from collections import Counter
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

aten = torch.ops.aten
# What needs a value, or a number of values, that only the device knows.
WAITING = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.unique_dim, aten._unique2, aten.equal}
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}


class WaitCounter:
    """Counts, within `with`, the operations for which the host would wait for a GPU, by their names.

    These are: reading a value, `nonzero` and what has a result of unknown size, indexing by booleans, and copying to
    the host. A tensor that has been copied to the host is not waited for again. Tensors that have never left the host
    count as if they lay on the device: on a CPU the count is a bound from above.
    """

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()
        self._on_host = WeakIdKeyDictionary()
        self._modes = _Copies(self), _Operations(self)

    def __enter__(self) -> "WaitCounter":
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(kind, error, trace)

    def copy(self, tensor: Tensor) -> Tensor:
        """A tensor on the host, its copying counted."""
        if tensor in self._on_host:
            return tensor
        self.found["copy to the host"] += 1
        copied = tensor.cpu().clone()
        self._on_host[copied] = True
        return copied

    def operate(self, operation: Any, arguments: tuple[Any, ...]) -> None:
        """Counts one of PyTorch's operators, if it waits."""
        name = operation.overloadpacket
        if name in WAITING and arguments[0] not in self._on_host:
            self.found[str(name)] += 1
        elif name in INDEXING and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in arguments[1]
        ):
            self.found[f"{name} by booleans"] += 1


class _Copies(TorchFunctionMode):
    """Sees `cpu()`, of which PyTorch's operators see nothing where the tensor lies on the host already."""

    def __init__(self, counter: WaitCounter):
        super().__init__()
        self.counter = counter

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.counter.copy(args[0]) if func is Tensor.cpu else func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    """Sees every operator, however deep."""

    def __init__(self, counter: WaitCounter):
        super().__init__()
        self.counter = counter

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counter.operate(func, args)
        return func(*args, **(kwargs or {}))
