"""How many processes a command line asks for, on which device, and what cannot be had."""

from argparse import Namespace

import pytest
import torch

from transavs.engine import launch as launching
from transavs.engine.launch import LaunchError, fit_to_machine, launch


def asked(num_gpus=None, num_processes=None, num_machines=1, machine_rank=0):
    return Namespace(
        num_gpus=num_gpus,
        num_processes=num_processes,
        num_machines=num_machines,
        machine_rank=machine_rank,
        dist_url="auto",
    )


@pytest.fixture
def gpus(monkeypatch):
    """Lets this machine have so many GPUs."""

    def have(number):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)

    return have


@pytest.mark.parametrize(
    "num_gpus, device, options, expected",
    [
        (0, "cuda", {}, (1, "cuda")),  # asked for nothing: `setup` takes what there is
        (2, "cuda", {}, (1, "cuda")),
        (8, "cuda", {"num_gpus": 8}, (8, "cuda")),
        (8, "cuda", {"num_processes": 4}, (4, "cpu")),
        (0, "cpu", {"num_processes": 2}, (2, "cpu")),
        (0, "cpu", {"num_gpus": 1}, (1, "cpu")),  # MODEL.DEVICE cpu asks for the CPU
        (2, "cpu", {}, (1, "cpu")),
    ],
)
def test_the_processes_and_the_device_are_those_asked_for(small_cfg, gpus, num_gpus, device, options, expected):
    gpus(num_gpus)
    cfg = small_cfg("MODEL.DEVICE", device)
    assert (fit_to_machine(cfg, asked(**options)), cfg.MODEL.DEVICE) == expected


@pytest.mark.parametrize(
    "num_gpus, device, options, told",
    [
        (
            0,
            "cuda",
            {"num_gpus": 8},
            r"--num-gpus 8: CUDA cannot be used: .+; MODEL.DEVICE cpu, with --num-processes 8",
        ),
        (0, "cuda", {"num_gpus": 1}, r"--num-gpus 1: CUDA cannot be used: .+; MODEL.DEVICE cpu takes the CPU"),
        (2, "cuda", {"num_gpus": 8}, "--num-gpus 8: this machine has 2"),
        (2, "cuda", {"num_gpus": 0}, "--num-gpus 0: expected at least 1"),
        (2, "cpu", {"num_gpus": 2}, "--num-gpus 2: MODEL.DEVICE is cpu, expected --num-processes"),
        (2, "cuda", {"num_gpus": 2, "num_processes": 2}, "--num-processes 2: is for the CPU, expected no --num-gpus"),
        (0, "cpu", {"num_processes": 0}, "--num-processes 0: expected at least 1"),
    ],
)
def test_what_cannot_be_had_is_told(small_cfg, gpus, num_gpus, device, options, told):
    gpus(num_gpus)
    with pytest.raises(LaunchError, match=told):
        fit_to_machine(small_cfg("MODEL.DEVICE", device), asked(**options))


@pytest.mark.parametrize(
    "visible, cuda, why",
    [
        ("", "13.0", "CUDA_VISIBLE_DEVICES is ''"),
        (None, None, "this PyTorch is built without it"),
        (None, "13.0", "no driver or no GPU was found"),
    ],
)
def test_why_there_is_no_cuda(small_cfg, gpus, monkeypatch, visible, cuda, why):
    gpus(0)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(LaunchError, match=f"CUDA cannot be used: {why}; "):
        fit_to_machine(small_cfg("MODEL.DEVICE", "cuda"), asked(num_gpus=2))


def test_a_machines_rank_beyond_their_number_is_told(small_cfg):
    with pytest.raises(LaunchError, match="--machine-rank 2: expected 0 to 1"):
        launch(print, small_cfg(), asked(num_machines=2, machine_rank=2))


def test_several_machines_need_an_address(small_cfg):
    with pytest.raises(LaunchError, match="--num-machines 2: expected --dist-url tcp://FIRST_MACHINE:PORT as well"):
        launch(print, small_cfg(), asked(num_machines=2))


def test_torchrun_alone_sets_the_number_of_processes(small_cfg, monkeypatch):
    monkeypatch.setattr(launching.distributed, "is_torchelastic_launched", lambda: True)
    with pytest.raises(LaunchError, match="torchrun has set the number of processes"):
        launch(print, small_cfg(), asked(num_gpus=2))
