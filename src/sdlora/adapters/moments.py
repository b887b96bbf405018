"""Second moments of what flows into layers. Letters: n tokens, D width of an input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def input_moments(layers: Sequence[nn.Module], run: Callable[[], object]) -> list[Tensor]:
    """Return C = (1/n) sum of x x^T over every token x that reaches a layer while `run` runs, not centred.

    Products of a batch are taken in float32, whatever autocast says, and added up in float64.

    Args:
        layers: Layers called with one tensor (..., D).
        run: Calls the model that contains them, once or many times.

    Returns:
        C (D, D) of each layer, float64, on the CPU.
    """
    sums: list[Tensor | float] = [0.0] * len(layers)
    counts = [0] * len(layers)

    def watch(index: int) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def add(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            x = inputs[0].detach().flatten(0, -2)  # (n, D)
            with torch.autocast(x.device.type, enabled=False):
                x = x.to(torch.promote_types(x.dtype, torch.float32))
                sums[index] = sums[index] + (x.T @ x).double()
            counts[index] += len(x)

        return add

    hooks = [layer.register_forward_pre_hook(watch(index)) for index, layer in enumerate(layers)]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return [torch.as_tensor(total).cpu() / count for total, count in zip(sums, counts, strict=True)]
