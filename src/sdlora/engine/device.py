"""Which device a run uses, in which precision, and the process-wide switches its bits depend on.

accelerate chooses the device and gives autocast and backward; its functions for state are not used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.backends import cudnn

from sdlora.engine.options import FitOptions
from sdlora.errors import ConfigError

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
CUDA: Any = torch.cuda  # these modules carry no types
SDPA: Any = torch.backends.cuda
MEMORY: Any = torch.utils.deterministic


@contextmanager
def open_accelerator(options: FitOptions) -> Iterator[Accelerator]:
    """Give an accelerator for the options' device and precision, with fixed numerics while it is open.

    Raises:
        ConfigError: If the device or the precision is not available, or there is more than one process.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            f"{os.environ['WORLD_SIZE']} processes were started", expected="one", fix="start sdlora without a launcher"
        )
    kind = choose_device(options.device)
    precision = "bf16" if options.precision == "bf16" else "no"
    is_ours = not AcceleratorState._shared_state
    with fixed_numerics(deterministic=options.deterministic):
        if kind == "cuda":
            if options.deterministic:
                _fix_workspace()
            CUDA.set_device(int(options.device.partition(":")[2] or 0))  # starts CUDA
        try:
            accelerator = Accelerator(cpu=kind == "cpu", mixed_precision=precision)
        except ValueError as error:
            raise ConfigError(f"run.precision = {options.precision} on {kind}: {error}") from error
        try:
            yield accelerator
        finally:
            if is_ours:  # one process may run fits that differ in device or precision, one after another
                AcceleratorState._reset_state(reset_partial_state=True)


def choose_device(name: str) -> str:
    """Return ``"cpu"``, ``"cuda"`` or ``"mps"`` for a device name; starts none of them.

    Raises:
        ConfigError: If this machine has no such device.
    """
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return "cuda" if has_cuda else "mps" if has_mps else "cpu"
    kind, _, index = name.partition(":")
    count = {"cpu": 1, "cuda": torch.cuda.device_count() if has_cuda else 0, "mps": int(has_mps)}.get(kind, 0)
    if int(index or 0) >= count:
        there = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count())), *(["mps"] if has_mps else [])]
        raise ConfigError(f"there is no device {name} here", expected=f"auto, {', '.join(there)}")
    return kind


@contextmanager
def fixed_numerics(*, deterministic: bool) -> Iterator[None]:
    """Compute float32 products in float32; if `deterministic`, with kernels that give the same bits each time."""
    before = (torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark)
    strict = (torch.are_deterministic_algorithms_enabled(), MEMORY.fill_uninitialized_memory)
    try:
        torch.set_float32_matmul_precision("highest")
        cudnn.allow_tf32 = False
        if deterministic:
            cudnn.benchmark = False
            torch.use_deterministic_algorithms(True)
            MEMORY.fill_uninitialized_memory = False  # nothing here reads what it has not written
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        cudnn.allow_tf32, cudnn.benchmark = before[1:]
        torch.use_deterministic_algorithms(strict[0])
        MEMORY.fill_uninitialized_memory = strict[1]


def _fix_workspace() -> None:
    """Let cuBLAS use one workspace of one size, without which its products may differ from call to call."""
    if WORKSPACE not in os.environ:
        if CUDA.is_initialized():
            raise ConfigError(
                f"run.deterministic = true, but CUDA was started without {WORKSPACE}", fix=f"export {WORKSPACE}=:4096:8"
            )
        os.environ[WORKSPACE] = ":4096:8"


def numeric_flags() -> dict[str, Any]:
    """Return the switches on which the bits of a result depend."""
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_tf32": cudnn.allow_tf32,
        "cudnn_benchmark": cudnn.benchmark,
        "sdpa_flash": SDPA.flash_sdp_enabled(),
        "sdpa_memory_efficient": SDPA.mem_efficient_sdp_enabled(),
        "sdpa_cudnn": SDPA.cudnn_sdp_enabled(),
        "sdpa_math": SDPA.math_sdp_enabled(),
        "cublas_workspace": os.environ.get(WORKSPACE),
    }
