"""At the paper's size, 300 queries of 5 frames of 224 x 224, no loss makes anything for each pair and pixel."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from transavs.losses import Criterion, HungarianMatcher, audio_query_distance_loss, audio_query_mask_loss
from transavs.modeling.mask_head import mask_logits

N, D, FRAMES, SIDE = 300, 256, 5, 224
FLOAT = 4  # bytes


class MemoryRecorder(TorchDispatchMode):
    """Keeps the size of the largest tensor made, and the most that all those alive at once hold, in bytes."""

    def __init__(self):
        super().__init__()
        self.largest = self.alive = self.peak = 0
        self.known = weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor)}
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf.untyped_storage(), given)
        return result

    def _add(self, storage, given):
        if storage in self.known or id(storage) in given:  # a view of what was there before
            return
        self.known.add(storage)
        size = storage.nbytes()
        self.alive += size
        self.largest, self.peak = max(self.largest, size), max(self.peak, self.alive)
        weakref.finalize(storage, self._free, size)

    def _free(self, size):
        self.alive -= size


def record(loss, *inputs):
    with MemoryRecorder() as recorder:
        loss(*inputs).backward()
    assert all(tensor.grad.shape == tensor.shape for tensor in inputs)
    return recorder


def test_the_recorder_sees_a_table_of_pairs():
    masks = torch.rand(8, 6, 5, requires_grad=True)
    recorder = record(lambda m: (m[:, None] * m[None]).sum(), masks)
    assert recorder.largest == 8 * 8 * 6 * 5 * FLOAT
    assert recorder.largest < recorder.peak < 6 * recorder.largest
    assert recorder.alive == masks.grad.untyped_storage().nbytes()  # all else is gone


def test_aqml_holds_a_few_times_its_masks():
    # On "meta" nothing is computed, so that a table of 18 GB would fail here rather than fill the machine.
    recorder = record(audio_query_mask_loss, torch.rand(N, SIDE, SIDE, requires_grad=True, device="meta"))
    assert recorder.largest == N * SIDE * SIDE * FLOAT
    assert recorder.peak <= 3 * N * SIDE * SIDE * FLOAT


def test_aqdl_holds_less_than_a_few_tables_of_pairs():
    recorder = record(lambda queries: audio_query_distance_loss(queries, 1e3), torch.randn(N, D, requires_grad=True))
    assert recorder.largest <= N * N * FLOAT
    assert recorder.peak <= 5 * N * N * FLOAT


def test_the_objective_holds_a_few_times_the_masks_of_all_frames():
    torch.manual_seed(0)
    side, dim = SIDE // 4, 32  # of the mask features
    criterion = Criterion(
        num_classes=1,
        dim=dim,
        matcher=HungarianMatcher(5.0, 5.0),
        mask_logits=mask_logits,
        aqdl_weight=2.0,
        aqml_weight=2.0,
        class_weight=5.0,
        dice_weight=5.0,
    )
    target = torch.zeros(1, dtype=torch.int64), torch.rand(1, SIDE, SIDE) > 0.5

    def loss(class_logits, fused, projected, audio_queries):
        return sum(criterion([class_logits], [fused], projected, audio_queries, [target] * FRAMES, 0.0, 0.0).values())

    shapes = (FRAMES, N, 2), (FRAMES, N, dim), (FRAMES, dim, side, side), (FRAMES, N, dim)
    recorder = record(loss, *(torch.randn(*shape, requires_grad=True) for shape in shapes))
    masks = FRAMES * N * side * side * FLOAT
    assert recorder.largest == masks / FRAMES  # one frame after the other
    assert recorder.peak <= 5 * masks  # every query is confident here
