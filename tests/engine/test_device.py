"""Devices by name, and process-wide switches that are put back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from reliability.small_run import Case

from sdlora.engine import device
from sdlora.engine.device import choose_device, fixed_numerics, numeric_flags, open_accelerator
from sdlora.errors import ConfigError

OPTIONS = Case().options()


def test_a_cpu_is_always_there():
    assert choose_device("cpu") == "cpu"
    with open_accelerator(OPTIONS) as accelerator:
        assert accelerator.device == torch.device("cpu")
        assert accelerator.num_processes == 1


def test_auto_takes_the_best(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == "cuda"


@pytest.mark.parametrize("name", ["cuda", "cuda:3", "mps", "tpu", "cpu:1"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"no device {name} here\nExpected: auto, cpu"):
        choose_device(name)


def test_cuda_devices_are_counted(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda") == choose_device("cuda:1") == "cuda"
    with pytest.raises(ConfigError, match="auto, cpu, cuda:0, cuda:1"):
        choose_device("cuda:2")


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="2 processes were started"), open_accelerator(OPTIONS):
        pass


def test_precisions_one_after_another():
    """accelerate keeps one state a process; it must not outlive a fit."""
    for precision, dtype in (("bf16", torch.bfloat16), ("float32", torch.float32), ("bf16", torch.bfloat16)):
        with open_accelerator(replace(OPTIONS, precision=precision)) as accelerator, accelerator.autocast():
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_switches_are_set_and_put_back():
    before = numeric_flags()
    inside = {}

    def fail():
        with fixed_numerics(deterministic=True):
            inside.update(numeric_flags())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert inside["deterministic"] is True
    assert inside["matmul_precision"] == "highest"
    assert inside["cudnn_tf32"] is False
    assert inside["cudnn_benchmark"] is False
    assert numeric_flags() == before
    with fixed_numerics(deterministic=False):
        assert numeric_flags()["deterministic"] is before["deterministic"]
        assert numeric_flags()["cudnn_tf32"] is False


def test_the_workspace_of_cublas_is_fixed_before_cuda_starts(monkeypatch):
    monkeypatch.setenv(device.WORKSPACE, "any")  # remembers what there was, which deleting alone does not
    monkeypatch.delenv(device.WORKSPACE)
    device._fix_workspace()
    assert numeric_flags()["cublas_workspace"] == ":4096:8"
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    device._fix_workspace()
    monkeypatch.delenv(device.WORKSPACE)
    with pytest.raises(ConfigError, match="CUDA was started without CUBLAS_WORKSPACE_CONFIG"):
        device._fix_workspace()
