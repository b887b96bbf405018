import math

import pytest
import torch
from torch import Tensor

from sdlora.adapters.subspace import Subspace

DIM = 8


def moment(seed: int, *, dim: int = DIM, decay: float = 0.5) -> Tensor:
    """Return a second moment with a spectrum that falls by `decay` from one direction to the next."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))[0]
    return directions @ torch.diag(torch.tensor([decay**k for k in range(dim)]).double()) @ directions.T


def projector(subspace: Subspace) -> Tensor:
    return torch.eye(len(subspace.columns), dtype=torch.float64) - subspace.free_part(
        torch.eye(len(subspace.columns), dtype=torch.float64)
    )


class Reference:
    """The released procedure step by step, one direction at a time; `dual` turns the complement on."""

    def __init__(self, dim: int, dual: bool) -> None:
        self.basis, self.mode, self.dual = torch.zeros(dim, 0, dtype=torch.float64), "remove", dual

    def projector(self) -> Tensor:
        stored = self.basis @ self.basis.T
        return stored if self.mode == "remove" else torch.eye(len(stored), dtype=torch.float64) - stored

    def update(self, C: Tensor, eps: float) -> None:
        total = float((C**2).sum())
        if self.basis.shape[1] == 0 and self.mode == "remove":
            U, S, _ = torch.linalg.svd(C)
            k, energy = 0, float(S[0] ** 2) / total
            while energy < eps:
                k += 1
                energy += float(S[k] ** 2) / total
            self.basis = U[:, : max(1, k)]
        elif self.mode == "remove":
            R = C - self.basis @ self.basis.T @ C
            U, S, _ = torch.linalg.svd(R)
            captured, r = (total - float((R**2).sum())) / total, 0
            while captured < eps:
                captured += float(S[r] ** 2) / total
                r += 1
            self.basis = torch.cat([self.basis, U[:, :r]], dim=1)[:, : len(C)]
        else:
            R = self.basis @ self.basis.T @ C
            U, S, _ = torch.linalg.svd(R)
            residual, r = float((R**2).sum()) / total, 0
            while residual >= 1 - eps:
                residual -= float(S[r] ** 2) / total
                r += 1
            if r:
                rest = (torch.eye(len(C), dtype=torch.float64) - U[:, :r] @ U[:, :r].T) @ self.basis
                self.basis = torch.linalg.svd(rest)[0][:, : self.basis.shape[1] - r]
        if self.dual and self.mode == "remove" and self.basis.shape[1] > len(C) / 2:
            self.basis = torch.linalg.svd(self.basis)[0][:, self.basis.shape[1] :]
            self.mode = "retain"


@pytest.mark.parametrize(("decay", "first"), [(0.4, "remove"), (0.7, "remove"), (0.9, "retain")])
def test_follows_the_released_steps(decay, first):
    subspace, reference, plain = Subspace(DIM).double(), Reference(DIM, dual=True), Reference(DIM, dual=False)
    modes = []
    for task in range(6):
        C, eps = moment(task, decay=decay), 0.9 + 0.1 * task / 6
        subspace.protect(C, eps)
        reference.update(C, eps)
        plain.update(C, eps)
        assert torch.allclose(projector(subspace), reference.projector(), atol=1e-9)
        assert torch.allclose(projector(subspace), plain.projector(), atol=1e-9)  # the dual saves memory, no more
        assert subspace.num_protected == round(float(reference.projector().trace()))
        assert bool(subspace.is_free) == (reference.mode == "retain")
        modes.append(reference.mode)
    assert modes[0] == first
    assert modes[-1] == "retain"


def test_first_task_stops_one_short_but_takes_one():
    C = torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.0, 0.0, 0.0]).double())  # shares of 14: 9, 13, 14
    for eps, count in [(0.95, 2), (0.93, 2), (0.92, 1), (0.5, 1)]:
        subspace = Subspace(6).double()
        subspace.protect(C, eps)
        assert subspace.num_protected == count
        assert torch.allclose(
            projector(subspace), torch.diag(torch.tensor([1.0] * count + [0.0] * (6 - count)).double())
        )


def test_later_tasks_take_the_direction_that_crosses():
    subspace = Subspace(6).double()
    subspace.protect(torch.diag(torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 0.0]).double()), 0.9)
    later = torch.diag(torch.tensor([0.0, 3.0, 2.0, 1.0, 0.0, 0.0]).double())
    subspace.protect(later, 0.92)  # 9 of 14 is too little, 13 of 14 crosses
    assert torch.allclose(projector(subspace).diagonal(), torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]).double())
    subspace.protect(later, 0.92)  # held already
    assert subspace.num_protected == 3


@pytest.mark.parametrize(("eps", "count"), [(0.64, 1), (0.65, 2), (0.92, 2), (0.93, 3)])  # shares of 14: 9, 13, 14
def test_each_share_of_a_later_task_needs_its_directions(eps, count):
    subspace = Subspace(8).double()
    subspace.protect(torch.diag(torch.tensor([1.0] + [0.0] * 7).double()), 0.9)
    subspace.protect(torch.diag(torch.tensor([0.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0]).double()), eps)
    assert projector(subspace).diagonal().round().tolist() == [1.0] * (1 + count) + [0.0] * (7 - count)


@pytest.mark.parametrize(("eps", "lost"), [(0.89, 0), (0.91, 1), (0.96, 1), (0.98, 2)])
def test_free_directions_are_given_up_while_they_hold_too_much(eps, lost):
    subspace = Subspace(6).double()
    subspace.protect(torch.diag(torch.tensor([1.0, 1.0, 1.0, 1.0, 0.1, 0.0]).double()), 0.999)
    assert subspace.is_free
    assert subspace.num_protected == 4
    energies = torch.tensor([0.90, 0.0, 0.0, 0.0, 0.07, 0.03]).double()  # 0.10 is free; of it 0.07, then 0.03 goes
    subspace.protect(torch.diag(energies.sqrt()), eps)
    assert projector(subspace).diagonal().round().tolist() == [1.0] * (4 + lost) + [0.0] * (2 - lost)


def test_second_powers_protect_more():
    C = torch.diag(
        torch.tensor([4.0, 1.0, 1.0, 1.0, 1.0, 0.0]).double()
    )  # 4 / 8 of the energy, but 16 / 20 of its square
    counts = {}
    for energy in ("fourth", "second"):
        subspace = Subspace(6, energy=energy).double()
        subspace.protect(C, 0.95)
        counts[energy] = subspace.num_protected
    assert counts == {"fourth": 3, "second": 4}  # 0.8 0.85 0.9 | 0.95; 0.5 0.625 0.75 0.875 | 1


def test_design_takes_the_leading_free_directions():
    subspace, C = Subspace(6).double(), torch.diag(torch.tensor([6.0, 5.0, 4.0, 3.0, 2.0, 1.0]).double())
    A = subspace.design(C, 2)
    assert torch.allclose(A.abs(), torch.eye(6).double()[:2] / math.sqrt(3))
    subspace.protect(torch.diag(torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0, 0.0]).double()), 0.9)
    A = subspace.design(C, 2)
    assert torch.allclose(A.abs(), torch.eye(6).double()[[0, 2]] / math.sqrt(3))


@pytest.mark.parametrize("decay", [0.4, 0.9])
def test_designed_rows_never_touch_what_is_protected(decay):
    subspace = Subspace(DIM)  # float32, as stored
    for task in range(6):
        C = moment(task, decay=decay)
        A = subspace.design(C, 3)
        free = DIM - subspace.num_protected
        assert torch.allclose(A @ A.T * 3, torch.diag(torch.tensor([1.0] * min(3, free) + [0.0] * (3 - free))).double())
        assert (A @ projector(subspace)).abs().max() < 1e-8
        subspace.protect(C, 0.9 + 0.1 * task / 6)
    assert subspace.num_protected > DIM / 2


def test_rows_without_a_free_direction_are_zero():
    subspace = Subspace(4).double()
    for share in (0.9, 0.999):
        subspace.protect(torch.diag(torch.tensor([4.0, 3.0, 2.0, 0.0]).double()), share)
    assert subspace.num_protected == 3
    A = subspace.design(torch.eye(4).double(), 3)
    assert torch.allclose(A.abs(), torch.tensor([[0, 0, 0, 1.0], [0] * 4, [0] * 4]).double() / math.sqrt(3), atol=1e-12)


@pytest.mark.parametrize("dim", [8, 7])
def test_what_is_stored_never_needs_more_than_half(dim):
    subspace = Subspace(dim)
    shapes = {key: value.shape for key, value in subspace.state_dict().items()}
    assert shapes["columns"] == (dim, dim // 2)
    for task in range(12):
        subspace.protect(moment(task, dim=dim, decay=0.9), 0.999)
        count = int(subspace.count)
        assert {key: value.shape for key, value in subspace.state_dict().items()} == shapes
        assert not subspace.columns[:, count:].any()
        assert torch.allclose(subspace.columns[:, :count].T @ subspace.columns[:, :count], torch.eye(count), atol=1e-6)
    assert subspace.num_protected >= dim - 1
