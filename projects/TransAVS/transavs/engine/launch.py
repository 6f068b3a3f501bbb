"""How many processes train or score, on which device, and how they find each other."""

import contextlib
import multiprocessing
import os
import signal
from argparse import Namespace
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import detectron2.engine
import torch
from detectron2.config import CfgNode
from detectron2.engine import DEFAULT_TIMEOUT
from detectron2.utils import comm
from torch import distributed
from torch.multiprocessing import ProcessExitedException

from .interruption import SIGNALS


class LaunchError(ValueError):
    """The processes that are asked for cannot be had; the message names the option."""


class ProcessLost(RuntimeError):
    """One of the processes was killed."""


def fit_to_machine(cfg: CfgNode, args: Namespace) -> int:
    """Checks what the command line asks for against this machine.

    Without a word on the number of processes it is one, for which `setup` takes the CPU where there is no GPU. Who asks
    for GPUs that cannot be used gets an error.

    Args:
        cfg: `num_processes` sets its MODEL.DEVICE to the CPU, in place.
        args: `num_gpus`, `num_processes`, of each machine, or None; not both.

    Returns:
        int: processes on this machine.

    Raises:
        LaunchError
    """
    if args.num_processes is not None:
        if args.num_gpus is not None:
            raise LaunchError(f"--num-processes {args.num_processes}: is for the CPU, expected no --num-gpus beside it")
        if args.num_processes < 1:
            raise LaunchError(f"--num-processes {args.num_processes}: expected at least 1")
        cfg.MODEL.DEVICE = "cpu"
        return int(args.num_processes)
    if args.num_gpus is None:
        return 1
    wanted, available = args.num_gpus, torch.cuda.device_count()
    on_cpu = f"MODEL.DEVICE cpu, with --num-processes {wanted}, " if wanted > 1 else "MODEL.DEVICE cpu "
    if wanted < 1:
        raise LaunchError(f"--num-gpus {wanted}: expected at least 1")
    if not cfg.MODEL.DEVICE.startswith("cuda"):
        if wanted > 1:
            raise LaunchError(f"--num-gpus {wanted}: MODEL.DEVICE is {cfg.MODEL.DEVICE}, expected --num-processes")
        return 1
    if not available:
        raise LaunchError(f"--num-gpus {wanted}: CUDA cannot be used: {_why_no_cuda()}; {on_cpu}takes the CPU")
    if wanted > available:
        raise LaunchError(f"--num-gpus {wanted}: this machine has {available}")
    return int(wanted)


def launch(work: Callable[..., Any], cfg: CfgNode, args: Namespace) -> None:
    """Runs `work(cfg, args)` in each process: by NCCL on GPUs, by Gloo on CPUs.

    Detectron2's `launch` starts the processes of this machine. Where `torchrun` has started them already, they join as
    its environment says, and the options on their number and addresses must not be given.

    Args:
        work: what a process does; it can be pickled.
        cfg: see `fit_to_machine`.
        args: `num_gpus`, `num_processes`, `num_machines`, `machine_rank`, `dist_url`.

    Raises:
        LaunchError: see `fit_to_machine`; or a GPU is missing for a process of torchrun's.
        ProcessLost: a process of several was killed; the others are ended.
        SystemExit: a signal ended several processes.
    """
    if distributed.is_torchelastic_launched():
        if args.num_gpus is not None or args.num_processes is not None or args.num_machines > 1:
            raise LaunchError("torchrun has set the number of processes and machines: expected no options on them")
        _join_torchrun(cfg)
        work(cfg, args)
        distributed.destroy_process_group()
        return
    processes = fit_to_machine(cfg, args)
    if not 0 <= args.machine_rank < args.num_machines:
        raise LaunchError(f"--machine-rank {args.machine_rank}: expected 0 to {args.num_machines - 1}")
    if args.num_machines > 1 and args.dist_url == "auto":
        raise LaunchError(f"--num-machines {args.num_machines}: expected --dist-url tcp://FIRST_MACHINE:PORT as well")
    if cfg.MODEL.DEVICE == "cpu" and processes * args.num_machines > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Detectron2 takes NCCL where it sees a GPU
    several = processes > 1 or args.num_machines > 1
    with _ending_with_processes() if several else contextlib.nullcontext():
        detectron2.engine.launch(
            work, processes, args.num_machines, args.machine_rank, dist_url=args.dist_url, args=(cfg, args)
        )


@contextlib.contextmanager
def _ending_with_processes() -> Iterator[None]:
    """SIGTERM and SIGINT (Ctrl-C) end this process only after those that it started, which may have much to save.

    Ctrl-C means them all; a SIGTERM may mean this one alone, and is handed on.
    """
    received = []

    def receive(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in received:
            raise KeyboardInterrupt
        received.append(number)
        if number == signal.SIGTERM:
            for process in multiprocessing.active_children():
                process.terminate()

    before = {number: signal.signal(number, receive) for number in SIGNALS}
    try:
        yield
    except ProcessExitedException as error:
        if not received and error.signal_name:
            raise ProcessLost(f"process {error.error_index} was ended by {error.signal_name}") from error
        raise SystemExit(128 + received[0] if received else error.exit_code) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise SystemExit(128 + received[0])


def _join_torchrun(cfg: CfgNode) -> None:
    local_rank = int(os.environ["LOCAL_RANK"])
    on_gpu = cfg.MODEL.DEVICE.startswith("cuda") and torch.cuda.is_available()
    if on_gpu:
        if local_rank >= torch.cuda.device_count():
            raise LaunchError(f"torchrun: process {local_rank} of a machine with {torch.cuda.device_count()} GPUs")
        torch.cuda.set_device(local_rank)
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=DEFAULT_TIMEOUT)
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    comm.synchronize()


def _why_no_cuda() -> str:
    if torch.version.cuda is None:
        return "this PyTorch is built without it"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES is {os.environ['CUDA_VISIBLE_DEVICES']!r}"
    return "no driver or no GPU was found"
