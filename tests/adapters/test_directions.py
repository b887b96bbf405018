import pytest
import torch
from torch import nn

from sdlora.adapters.directions import Directions
from sdlora.adapters.folded import fold, folded_linear
from sdlora.adapters.presets import PRESETS
from sdlora.errors import ConfigError, NumericalError

ROWS = (0, 10)
SIZES = [
    (preset, size_A, size_B)
    for preset in PRESETS
    for size_A in (0.0, 1e-30, 1.0, 1e30)
    for size_B in (0.0, 1e-30, 1.0, 1e30)
    if preset == "paper" or size_A * size_B <= 1e30  # a raw product of 1e60 is no float32 number
]


def make(preset="continuous", ranks=(2, 3), seed=0):
    """Return directions of a 10 x 14 weight with pairs of the given ranks, the last one learning."""
    torch.manual_seed(seed)
    part = Directions(nn.Linear(14, 10), 10, PRESETS.get(preset))
    for k, rank in enumerate(ranks):
        if k:
            part.freeze()
        part.begin(rank)
        with torch.no_grad():
            part.lora_B.normal_()
    return part


def update(part, magnitudes):
    return fold(torch.zeros(10, 14), part.factors(ROWS, magnitudes))


def dependent(preset, noise, magnitudes=(0.7, -1.3, 0.9), seed=0):
    """Return directions whose newest is half the first plus twice the second, up to noise."""
    part = make(preset, (2, 3, 5), seed)
    with torch.no_grad():
        part.lora_A.copy_(torch.cat([0.5 * part.frozen_A[:2], 2 * part.frozen_A[2:]]))
        part.lora_B.copy_(part.frozen_B + noise * torch.randn(10, 5))
    return part, torch.tensor(magnitudes)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_frozen_direction_is_normalised_and_keeps_its_norm_where_it_should(preset):
    part = make(preset, (3,))
    A, B = part.lora_A.detach().double(), part.lora_B.detach().double()
    dense = B @ A
    part.freeze()
    divisor = B.norm() * A.norm() if preset == "released" else dense.norm()
    assert torch.allclose((part.frozen_B @ part.frozen_A).double(), dense / divisor, atol=1e-6)
    assert float(part.scales) == pytest.approx(float(dense.norm()) if preset == "continuous" else 1, rel=1e-6)
    assert part.rank == 0
    assert part.ranks.tolist() == [3]


@pytest.mark.parametrize("preset", ["continuous", "paper"])
def test_freezing_does_not_move_the_update(preset):
    part, magnitudes = make(preset, (2, 3, 1)), torch.tensor([0.7, -1.3, 0.9])
    before = update(part, magnitudes)
    part.freeze()
    part.begin(2)
    after = update(part, torch.cat([magnitudes, torch.zeros(1)]))
    assert float((after - before).norm() / before.norm()) <= 1e-6


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_new_pair_adds_nothing_unless_it_trains_normalised(preset):
    part = make(preset, (2,))
    part.freeze()
    frozen = update(part, torch.tensor([0.7]))
    part.begin(3)
    added = float((update(part, torch.tensor([0.7, 1.0])) - frozen).norm())
    assert added == pytest.approx(1.0 if preset == "paper" else 0.0, abs=1e-6)


def test_only_the_newest_pair_learns():
    part = make(ranks=(2, 3, 4))
    assert {name for name, p in part.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}
    assert sum(p.numel() for p in part.parameters()) == 4 * (10 + 14)
    assert part.frozen_A.shape == (5, 14)
    assert part.frozen_B.shape == (10, 5)


@pytest.mark.parametrize("noise", [0.0, 1e-4, 1e-2, 0.05])
@pytest.mark.parametrize("preset", ["continuous", "paper"])
def test_handing_over_moves_the_update_by_what_the_residual_says(noise, preset):
    part, magnitudes = dependent(preset, noise)
    before, size = update(part, magnitudes), part.size()
    part.finish(magnitudes, threshold=0.05)
    assert part.rank == 0
    after = update(part, magnitudes)
    bound = abs(float(magnitudes[-1])) * size * float(part.residual) ** 0.5
    assert float((after - before).norm()) <= bound + 1e-5 * float(before.norm())
    if noise:
        assert float((after - before).norm()) >= 0.9 * bound - 1e-5 * float(before.norm())
    without = update(part, magnitudes[:-1])
    assert torch.equal(after, without), "once dropped, the newest magnitude has no say"


def test_a_direction_of_its_own_is_kept():
    part, magnitudes = make(ranks=(2, 3)), torch.tensor([0.7, 1.2])
    before = update(part, magnitudes)
    part.finish(magnitudes, threshold=9e-4)
    assert float(part.residual) > 0.5
    assert part.rank == 3
    assert torch.equal(update(part, magnitudes), before)


def test_without_a_threshold_nothing_is_handed_over_but_the_residual_is_known():
    part, magnitudes = dependent("continuous", 1e-4)
    part.finish(magnitudes, threshold=None)
    assert part.rank == 5
    assert float(part.residual) < 1e-6


@pytest.mark.parametrize("old", [1.0, 0.05, 0.002, 0.0])
@pytest.mark.parametrize(("share", "newest"), [(1.0, 1.0), (-1.0, 1.0), (0.5, -0.7)])
def test_after_a_hand_over_a_step_of_a_magnitude_moves_the_update_by_that_step(old, share, newest):
    part = make("paper", (2, 2))
    with torch.no_grad():  # D_2 = +-D_1; with share -1 and both magnitudes 1 nothing is left of the coefficient
        part.lora_A.copy_(part.frozen_A)
        part.lora_B.copy_(share * part.frozen_B)
    magnitudes, sign = torch.tensor([old, newest]), 1 if share > 0 else -1
    before = update(part, magnitudes)
    part.finish(magnitudes, threshold=9e-4)
    assert part.rank == 0
    assert torch.allclose(update(part, magnitudes), before, atol=1e-6)
    assert part.coefficients(magnitudes[:1]) == pytest.approx([old + sign * newest], abs=1e-6)
    moved = update(part, magnitudes[:1] + 8e-3) - update(part, magnitudes[:1])
    assert float(moved.norm()) == pytest.approx(8e-3, rel=1e-3)
    learning = magnitudes[:1].clone().requires_grad_()
    (part.factors(ROWS, learning)[0].coef.sum() / 2).backward()
    assert learning.grad.item() == pytest.approx(1), "a coefficient learns as fast as before"


def test_the_coefficients_of_continuous_include_norms_and_what_was_handed_over():
    part, magnitudes = dependent("continuous", 0.0)
    before = part.coefficients(magnitudes)
    norms = [*part.scales.tolist(), part.size()]
    assert before == pytest.approx([m * n for m, n in zip(magnitudes.tolist(), norms, strict=True)])
    part.finish(magnitudes, threshold=9e-4)
    first, second, newest = part.coefficients(magnitudes)
    assert (first, second) == pytest.approx((before[0] + 0.9 * 0.5, before[1] + 0.9 * 2), rel=1e-4)
    assert newest == 0
    assert part.scales.tolist() == norms[:2]


def test_what_a_preset_cannot_hand_over_is_not_stored():
    assert "offsets" not in make("released").state_dict()
    source, target = make("released", (2, 3, 1)), make("released", (1, 1), seed=1)
    target.load_state_dict(source.state_dict())
    assert target.offsets.tolist() == [0, 0]


@pytest.mark.parametrize(("preset", "size_A", "size_B"), SIZES)
@pytest.mark.parametrize("equal_rows", [False, True])
def test_finite_for_zero_tiny_and_huge_pairs(preset, size_A, size_B, equal_rows):
    part = make(preset, (2, 3))
    with torch.no_grad():
        part.lora_A.copy_(size_A * (part.lora_A[:1] if equal_rows else part.lora_A))
        part.lora_B.copy_(size_B * (part.lora_B[:, :1] if equal_rows else part.lora_B))
    magnitudes = torch.tensor([0.7, 1.1], requires_grad=True)
    for num_x in (1, 100):  # low-rank and dense gradients
        y = folded_linear(torch.randn(num_x, 14), torch.randn(10, 14), None, part.factors(ROWS, magnitudes))
        y.sum().backward()
        assert torch.isfinite(y).all()
    assert torch.isfinite(update(part, magnitudes)).all()
    for tensor in (part.lora_A, part.lora_B, magnitudes):
        assert torch.isfinite(tensor.grad).all()
    is_zero = part.size() <= 1e-12
    part.finish(magnitudes.detach(), threshold=9e-4 if PRESETS.get(preset).carries else None)
    assert part.rank == (0 if is_zero else 3)
    assert part.all_ranks() == [2, 0 if is_zero else 3]
    part.freeze()
    part.begin(1)
    assert torch.isfinite(update(part, torch.tensor([0.7, 1.1, 1.0]))).all()
    assert torch.isfinite(torch.tensor(part.coefficients(torch.tensor([0.7, 1.1, 1.0])))).all()


def test_what_is_not_finite_is_refused_before_it_is_stored():
    part = make()
    with torch.no_grad():
        part.lora_B[0, 0] = float("nan")
    with pytest.raises(NumericalError, match="not finite"):
        part.finish(torch.tensor([1.0, 1.0]), threshold=9e-4)


def test_rank_above_the_width_is_refused():
    with pytest.raises(ConfigError, match="rank 11"):
        make().begin(11)


@pytest.mark.parametrize("dropped", [False, True])
def test_state_of_another_size_loads(dropped):
    source, magnitudes = dependent("continuous", 0.0)
    if dropped:
        source.finish(magnitudes, threshold=9e-4)
    target = make(ranks=(1, 1, 1, 1), seed=5)
    target.load_state_dict(source.state_dict(), strict=True)
    assert torch.equal(update(target, magnitudes), update(source, magnitudes))
    assert target.lora_A.requires_grad == (not dropped)


@pytest.mark.parametrize("key", ["ranks", "scales", "offsets", "frozen_A", "lora_A"])
def test_state_that_does_not_fit_together_is_refused(key):
    state = make(ranks=(2, 3, 1)).state_dict()
    state[key] = state[key][:-1]
    with pytest.raises(RuntimeError, match="do not fit together"):
        make(ranks=(2, 3, 1)).load_state_dict(state)
