"""Stops a step whose loss or gradients are not finite, before the optimiser takes it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_
from torch.optim import Optimizer

from sdlora.errors import NumericalError

PATIENCE = 50  # steps between two looks at a CUDA device
LARGEST_LOSS = 1e3  # mean over an epoch; guessing among ten thousand classes costs 9.2


def check_loss(loss: float, place: str) -> None:
    """Refuse the mean loss of an epoch if training has diverged.

    Raises:
        NumericalError: If it is beyond `LARGEST_LOSS`.
    """
    if not loss <= LARGEST_LOSS:  # NaN is refused too
        raise NumericalError(
            f"training has diverged: the mean loss is {loss:.3g} in {place}",
            expected=f"at most {LARGEST_LOSS:g}",
            fix="lower optim.lr, or set optim.clip_norm; the last checkpoint is from before",
        )


class Guard:
    """Looks at every loss term and every gradient of every step of one task.

    Reading a number from a CUDA device would make the host wait for it at each step. There the verdict stays on the
    device: the fused optimisers leave all weights as they are once `found_inf` is set, and it stays set. The host
    reads it every `PATIENCE` steps and at `settle`; no bad step is ever taken, it is only told a little later.
    Elsewhere reading is free and the verdict comes before the step.

    Args:
        optimizer: The optimiser of the task, with fused kernels.
        names: Name of each parameter it trains.
        clip_norm: Largest Euclidean norm of all gradients together; None for no limit.
        deferred: Whether the verdict stays on the device.
    """

    def __init__(
        self, optimizer: Optimizer, names: Mapping[nn.Parameter, str], *, clip_norm: float | None, deferred: bool
    ) -> None:
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.names = [f"the gradient of {names[p]}" for p in self.parameters]
        self.optimizer, self.clip_norm, self.deferred = optimizer, clip_norm, deferred
        self._waiting: list[tuple[str, list[str]]] = []  # steps not looked at yet: place, names of the terms
        self._verdicts: list[Tensor] = []  # for each of them: (terms + parameters,) whether finite
        self._stopped: Tensor | None = None

    def check(self, terms: Mapping[str, Tensor], place: str) -> None:
        """Look at the terms and gradients of one step, and clip the gradients.

        Args:
            terms: Loss terms, scalars.
            place: What to call the step in an error.

        Raises:
            NumericalError: If one is not finite; deferred, if one of an earlier step was not.
        """
        zero = self.parameters[0].new_zeros(())
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        found = iter(torch._foreach_norm(gradients) if gradients else ())
        norms = torch.stack([zero if p.grad is None else next(found) for p in self.parameters])
        values = torch.cat([torch.stack([term.detach().float() for term in terms.values()]), norms])
        self._waiting.append((place, list(terms)))
        self._verdicts.append(torch.isfinite(values))
        if self.clip_norm is not None:
            clip_grads_with_norm_(self.parameters, self.clip_norm, torch.linalg.vector_norm(norms))
        if not self.deferred:
            self.settle()
            return
        bad = (~self._verdicts[-1]).any()
        self._stopped = bad if self._stopped is None else self._stopped | bad
        self.optimizer.grad_scale, self.optimizer.found_inf = None, self._stopped.float()  # type: ignore[attr-defined]
        if len(self._waiting) == PATIENCE:
            self.settle()

    def settle(self) -> None:
        """Read the verdicts that are still on the device.

        Raises:
            NumericalError: Naming the first bad step and its first bad tensor.
        """
        if not self._verdicts:
            return
        finite = iter(torch.cat(self._verdicts).tolist())
        waiting, self._waiting, self._verdicts = self._waiting, [], []
        for place, terms in waiting:
            for tensor in [f"the loss term {name}" for name in terms] + self.names:
                if not next(finite):
                    raise NumericalError(
                        f"{tensor} is not finite in {place}",
                        expected="finite losses and gradients; the step was not taken",
                        fix="lower optim.lr, or set optim.clip_norm; the last checkpoint is from before",
                    )
