"""What several processes that train one model have to agree on: gradients, batch statistics, weights."""

import torch
from detectron2.engine import create_ddp_model
from detectron2.engine.hooks import HookBase
from detectron2.utils import comm
from timm.layers import convert_sync_batchnorm
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


def share_training(model: nn.Module) -> nn.Module:
    """The model as one of several processes trains it, by DistributedDataParallel; alone it stays as it is.

    On GPUs batch norms take the statistics of all processes' clips. PyTorch has no such layer for the CPU: there each
    process normalises by its own, see `AverageBatchStatistics`.
    """
    if comm.get_world_size() == 1:
        return model
    if next(model.parameters()).device.type == "cuda":
        model = convert_sync_batchnorm(model)
    # Without device ids DDP takes modules on the CPU too, and leaves the batch to the model, which sends what it needs.
    return create_ddp_model(model, broadcast_buffers=False, device_ids=None)


class AverageBatchStatistics(HookBase):
    """After each step, the running statistics of batch norms become the mean over the processes.

    So that every process validates the same model, whichever's checkpoint is written.
    """

    def __init__(self, model: nn.Module):
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        buffers = [norm.running_mean for norm in norms] + [norm.running_var for norm in norms]
        self.statistics = [buffer for buffer in buffers if buffer is not None]

    @torch.no_grad()
    def after_step(self) -> None:
        if comm.get_world_size() == 1 or not self.statistics:
            return
        together = torch.cat([buffer.flatten() for buffer in self.statistics])
        distributed.all_reduce(together)
        together /= comm.get_world_size()
        for buffer, mean in zip(self.statistics, together.split([buffer.numel() for buffer in self.statistics])):
            buffer.copy_(mean.view_as(buffer))


def agree(choice: bool) -> bool:
    """The main process's choice, in every process; each waits for all."""
    agreed: bool = comm.all_gather(choice)[0]
    return agreed


@torch.no_grad()
def take_weights_of_main(model: nn.Module) -> None:
    """All processes get the main one's parameters and buffers."""
    if comm.get_world_size() > 1:
        for tensor in model.state_dict().values():
            distributed.broadcast(tensor, 0)
