import pytest
import torch
import torch.nn.functional as F
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from sdlora.adapters import folded
from sdlora.adapters.folded import Factor, dense_cost, fold, folded_linear, low_rank_cost

D_IN, D_OUT = 24, 36
ROWS = [(0, 12), (24, 36)]


def make_factors(ranks, dtype=torch.float32, seed=0):
    """Return one factor a rank, alternating between two slices; every second one is frozen but for its coef."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator).to(dtype)  # noqa: E731
    factors = []
    for k, rank in enumerate(ranks):
        learns = k % 2 == 0
        coef, A, B = draw(rank).requires_grad_(), draw(rank, D_IN), draw(12, rank)
        factors.append(Factor(ROWS[k // 2 % 2], coef, A.requires_grad_(learns), B.requires_grad_(learns)))
    return factors


def make_layer(dtype=torch.float32):
    generator = torch.Generator().manual_seed(99)
    weight = torch.randn(D_OUT, D_IN, generator=generator).to(dtype)
    bias = torch.randn(D_OUT, generator=generator).to(dtype)
    return weight, bias


def inputs(*shape, dtype=torch.float32, needs=True):
    return torch.randn(*shape, D_IN, generator=torch.Generator().manual_seed(5)).to(dtype).requires_grad_(needs)


def leaves(factors):
    return [tensor for factor in factors for tensor in factor[1:] if tensor.requires_grad]


def oracle(x, weight, bias, factors):
    """The same equation in float64 by autograd, factor by factor in activation space."""
    y = F.linear(x, weight, bias)
    pieces = [y]
    for (start, stop), coef, A, B in factors:
        added = ((x @ A.T) * coef) @ B.T
        pieces.append(F.pad(added, (start, D_OUT - stop)))
    return sum(pieces)


@pytest.fixture(params=["low-rank", "dense", "cheaper"])
def form(request, monkeypatch):
    if request.param != "cheaper":
        monkeypatch.setattr(folded, "dense_cost", lambda *_: 0 if request.param == "dense" else float("inf"))
    return request.param


def relative(found, expected):
    return float((found.detach().double() - expected.detach()).norm() / expected.detach().norm())


@pytest.mark.parametrize("ranks", [[1], [3, 5, 2, 4], [20, 12, 7, 1, 2]])
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (2, 3, 4)])
def test_outputs_and_gradients_equal_float64_autograd(form, ranks, shape):
    weight, bias = make_layer()
    factors, x = make_factors(ranks), inputs(*shape)
    exact = [Factor(f.rows, *(t.detach().double().requires_grad_(t.requires_grad) for t in f[1:])) for f in factors]
    exact_x = x.detach().double().requires_grad_()
    y, expected = folded_linear(x, weight, bias, factors), oracle(exact_x, weight.double(), bias.double(), exact)
    assert relative(y, expected) <= 1e-5
    G = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    y.backward(G)
    expected.backward(G.double())
    assert relative(x.grad, exact_x.grad) <= 1e-5
    for kind in ("coef", "A", "B"):  # each as one vector over all factors
        found, wanted = ([t for t in (getattr(f, kind) for f in fs) if t.requires_grad] for fs in (factors, exact))
        assert all(t.grad.dtype == torch.float32 for t in found)
        joined = (torch.cat([t.grad.flatten() for t in ts]) for ts in (found, wanted))
        assert relative(*joined) <= 1e-5


def test_gradcheck(form):
    weight, bias = make_layer(torch.float64)
    factors = make_factors([2, 3, 1], torch.float64)
    tensors = [t for f in factors for t in f[1:]]

    def function(x, *tensors):
        return folded_linear(
            x, weight, bias, [Factor(f.rows, *tensors[3 * k : 3 * k + 3]) for k, f in enumerate(factors)]
        )

    assert torch.autograd.gradcheck(function, (inputs(4, dtype=torch.float64), *tensors))


def test_without_bias_and_without_factors():
    weight, bias = make_layer()
    assert torch.equal(folded_linear(inputs(3), weight, None, []), F.linear(inputs(3), weight))
    assert torch.equal(folded_linear(inputs(3), weight, bias, []), F.linear(inputs(3), weight, bias))


def test_fold_leaves_the_weight_alone():
    weight, _ = make_layer()
    before, factors = weight.clone(), make_factors([3])
    W = fold(weight, factors)
    _, coef, A, B = factors[0]
    assert torch.equal(weight, before)
    assert not W.requires_grad
    assert torch.allclose(W[:12], weight[:12] + B @ torch.diag(coef) @ A, atol=1e-5)
    assert torch.equal(W[12:], weight[12:])
    assert fold(weight.bfloat16(), factors).dtype == torch.float32
    assert fold(weight.double(), factors).dtype == torch.float64


def counted(function):
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


@pytest.mark.parametrize("ranks", [[1], [6, 6], [20, 9], [12, 12, 12, 1]])
@pytest.mark.parametrize("num_x", [2, 40])
def test_the_costs_are_the_multiplications_done(form, ranks, num_x):
    weight, bias = make_layer()
    factors, x = make_factors(ranks), inputs(num_x)
    y = folded_linear(x, weight, bias, factors)
    found = counted(lambda: y.backward(torch.ones_like(y)))
    expected = num_x * D_IN * D_OUT  # the gradient of x
    for rows in ROWS:
        members = [f for f in factors if f.rows == rows]
        sizes = (
            num_x,
            D_IN,
            12,
            [len(f.coef) for f in members],
            [(f.A.requires_grad, f.B.requires_grad) for f in members],
        )
        costs = {"low-rank": low_rank_cost(*sizes), "dense": dense_cost(*sizes)}
        costs["cheaper"] = min(costs.values())
        expected += costs[form] if members else 0
    assert found == 2 * expected


def test_both_forms_get_chosen():
    few, many = [(False, False)], [(False, False)]
    assert low_rank_cost(1000, 64, 64, [10], few) < dense_cost(1000, 64, 64, [10], few)
    assert low_rank_cost(1000, 64, 64, [100], many) > dense_cost(1000, 64, 64, [100], many)


def saved_shapes(function):
    shapes = []

    def pack(tensor):
        shapes.append(tuple(tensor.shape))
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        y = function()
    return y, shapes


def test_saves_x_and_the_folded_weight_and_nothing_of_both_sizes():
    weight, bias = make_layer()
    factors = make_factors([3, 5, 2, 4])
    _, shapes = saved_shapes(lambda: folded_linear(inputs(50), weight, bias, factors))
    small = [tuple(t.shape) for f in factors for t in f[1:]]
    assert sorted(shapes) == sorted([(50, D_IN), (D_OUT, D_IN), *small])


def test_no_gradient_of_x_where_x_needs_none():
    weight, bias = make_layer()
    factors = make_factors([3])
    y, shapes = saved_shapes(lambda: folded_linear(inputs(50, needs=False), weight, bias, factors))
    assert (D_OUT, D_IN) not in shapes
    assert counted(lambda: y.sum().backward()) == 2 * low_rank_cost(50, D_IN, 12, [3], [(True, True)])


def test_only_the_gradient_of_x_where_nothing_else_learns():
    weight, bias = make_layer()
    factors = [Factor(f.rows, *(t.detach() for t in f[1:])) for f in make_factors([3])]
    x = inputs(50)
    y, shapes = saved_shapes(lambda: folded_linear(x, weight, bias, factors))
    assert (50, D_IN) not in shapes
    assert counted(lambda: y.sum().backward()) == 2 * 50 * D_IN * D_OUT
    assert torch.allclose(x.grad, torch.ones(50, D_OUT) @ fold(weight, factors), atol=1e-5)


def test_no_graph_where_nothing_needs_a_gradient():
    weight, bias = make_layer()
    factors = [Factor(f.rows, *(t.detach() for t in f[1:])) for f in make_factors([3])]
    assert folded_linear(inputs(4, needs=False), weight, bias, factors).grad_fn is None
    with torch.no_grad():
        assert folded_linear(inputs(4), weight, bias, make_factors([3])).grad_fn is None


def test_gradients_accumulate_over_parts_of_a_batch(form):
    weight, bias = make_layer()
    whole, parts, x = make_factors([3, 5, 2, 4]), make_factors([3, 5, 2, 4]), inputs(12, needs=False)
    folded_linear(x, weight, bias, whole).square().sum().backward()
    for part in x.chunk(3):
        folded_linear(part, weight, bias, parts).square().sum().backward()
    for found, expected in zip(leaves(parts), leaves(whole), strict=True):
        assert relative(found.grad, expected.grad.double()) <= 1e-5


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing_gives_the_same_bits(use_reentrant):
    weight, bias = make_layer()
    plain, again = make_factors([3, 5, 2, 4]), make_factors([3, 5, 2, 4])
    x, x2 = inputs(6), inputs(6)
    y = folded_linear(x, weight, bias, plain)
    y.square().sum().backward()
    y2 = checkpoint(lambda x: folded_linear(x, weight, bias, again), x2, use_reentrant=use_reentrant)
    y2.square().sum().backward()
    assert torch.equal(y, y2)
    for found, expected in zip([x2, *leaves(again)], [x, *leaves(plain)], strict=True):
        assert torch.equal(found.grad, expected.grad)


def test_autocast_folds_in_float32_and_multiplies_in_bfloat16():
    weight, bias = make_layer()
    factors, x = make_factors([3, 5]), inputs(6)
    expected = F.linear(x.bfloat16(), fold(weight, factors).bfloat16(), bias.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        y = folded_linear(x, weight, bias, factors)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, expected)


@pytest.mark.parametrize("large", [True, False])
def test_a_large_fold_under_autocast_rounds_less_than_the_cast_that_follows(large, monkeypatch):
    monkeypatch.setattr(folded, "LARGE_FOLD", 0 if large else 2**60)
    weight, _ = make_layer()
    factors = [Factor(rows, coef, 0.2 * A, 0.2 * B) for rows, coef, A, B in make_factors([3, 5, 2, 4])]
    exact = weight.double()
    for (start, stop), coef, A, B in factors:
        exact[start:stop] += (B.double() * coef.double() @ A.double()).detach()
    x = torch.eye(D_IN)
    with torch.autocast("cpu", torch.bfloat16):
        found = folded_linear(x, weight, None, factors)
    rounded = relative(exact.bfloat16(), exact)
    assert relative(found.T, exact) <= (1.3 if large else 1.0001) * rounded
    assert torch.equal(fold(weight, factors, torch.bfloat16), fold(weight, factors)) == (not large)
    assert torch.equal(fold(weight, factors, torch.float32), fold(weight, factors))


def test_a_large_fold_is_one_of_a_wide_layer():
    wide, narrow = 768, 192  # the width of ViT-B and of the shipped backbone, rank 10 at the twentieth task
    assert wide * wide * 190 >= folded.LARGE_FOLD > narrow * narrow * 1000


def test_autocast_leaves_float64_alone():
    weight, bias = make_layer(torch.float64)
    factors, x = make_factors([3], torch.float64), inputs(6, dtype=torch.float64)
    expected = folded_linear(x, weight, bias, factors)
    with torch.autocast("cpu", torch.bfloat16):
        y = folded_linear(x, weight, bias, factors)
    assert y.dtype == torch.float64
    assert torch.equal(y, expected)


def test_autocast_gradients_are_close_and_the_same_inside_and_outside(form):
    weight, bias = make_layer()
    exact, x = make_factors([3, 5, 2, 4]), inputs(64)
    folded_linear(x, weight, bias, exact).square().mean().backward()
    runs = []
    for backward_inside in (False, True):
        factors, x_low = make_factors([3, 5, 2, 4]), inputs(64)
        with torch.autocast("cpu", torch.bfloat16):
            loss = folded_linear(x_low, weight, bias, factors).float().square().mean()
            if backward_inside:
                loss.backward()
        if not backward_inside:
            loss.backward()
        runs.append([t.grad for t in (x_low, *leaves(factors))])
    for outside, inside, tensor in zip(*runs, [x, *leaves(exact)], strict=True):
        assert outside.dtype == torch.float32
        assert torch.equal(outside, inside)
        assert relative(outside, tensor.grad.double()) <= 0.03


def test_half_precision_layers_keep_their_type():
    weight, bias = make_layer(torch.bfloat16)
    factors, x = make_factors([3]), inputs(6, dtype=torch.bfloat16)
    y = folded_linear(x, weight, bias, factors)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == torch.bfloat16
    assert factors[0].A.grad.dtype == torch.float32


def test_an_empty_batch_gives_zero_gradients(form):
    weight, bias = make_layer()
    factors, x = make_factors([3]), inputs(0)
    folded_linear(x, weight, bias, factors).sum().backward()
    assert x.grad.shape == (0, D_IN)
    assert all(not tensor.grad.any() for tensor in leaves(factors))


def test_a_second_derivative_is_refused():
    weight, bias = make_layer()
    factors, x = make_factors([3]), inputs(4)
    (grad,) = torch.autograd.grad(folded_linear(x, weight, bias, factors).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_compiles_without_a_graph_break():
    weight, bias = make_layer()
    plain, compiled = make_factors([3, 5]), make_factors([3, 5])
    x, x2 = inputs(6), inputs(6)
    y = folded_linear(x, weight, bias, plain)
    y.square().sum().backward()
    function = torch.compile(lambda x: folded_linear(x, weight, bias, compiled), backend="aot_eager", fullgraph=True)
    y2 = function(x2)
    y2.square().sum().backward()
    assert torch.allclose(y, y2, atol=1e-6)
    for found, expected in zip([x2, *leaves(compiled)], [x, *leaves(plain)], strict=True):
        assert torch.allclose(found.grad, expected.grad, rtol=1e-5, atol=1e-5)
