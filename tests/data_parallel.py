"""One process of several that train the same adapters on different images, for a test that starts them."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sdlora.adapters import PRESETS, RankSchedule, SDLoRAAdapters

WIDTH, BATCH = 12, 8


class Learner(nn.Module):
    """Two fused projections with three tasks of SD-LoRA; the magnitudes are a part of it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.ModuleDict({"qkv": nn.Linear(WIDTH, 3 * WIDTH)}) for _ in range(2))
        self.adapters = SDLoRAAdapters(
            self.layers, ["qkv:q", "qkv:v"], preset=PRESETS.get("released"), ranks=RankSchedule.of(3)
        )
        for task in range(3):
            self.adapters.begin_task(task)
            for part in self.adapters.directions:
                nn.init.normal_(part.lora_B, std=0.3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            q, k, v = layer["qkv"](x).chunk(3, dim=-1)
            x = torch.tanh(q) * k + v
        return x.square().mean()


def images() -> Tensor:
    """Return what all processes together see, (BATCH, WIDTH)."""
    return torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(1))


def train(rank: int, folder: Path, num_processes: int) -> None:
    """Take one step on this process's share, accumulated over two halves of it, and store the gradients."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=num_processes)
    try:
        model = DistributedDataParallel(Learner())
        first, second = images().chunk(num_processes)[rank].chunk(2)
        with model.no_sync():
            (model(first) / 2).backward()
        (model(second) / 2).backward()
        save_file(gradients(model.module), folder / f"{rank}.safetensors")
    finally:
        dist.destroy_process_group()


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Return the gradients by name."""
    return {name: p.grad.contiguous() for name, p in model.named_parameters() if p.grad is not None}
