import copy
import os
import shutil

import pytest
import torch
from reference.paper_sdlora import PaperLoop
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.per_direction import loop_linear
from sdlora.adapters import folded
from sdlora.adapters.inject import adapters_of
from sdlora.adapters.presets import PRESETS
from sdlora.adapters.ranks import RankSchedule
from sdlora.adapters.sdlora import SDLoRAAdapters
from sdlora.errors import ConfigError, NumericalError

WIDTH, SLICES = 20, ((0, 20), (40, 60))
TARGETS = ["qkv:q", "qkv:v"]
RANKS = [3, 1, 4, 2, 5]


class Layers(nn.Module):
    """A few fused projections one after another."""

    def __init__(self, depth=1, width=WIDTH):
        super().__init__()
        self.blocks = nn.ModuleList(nn.ModuleDict({"qkv": nn.Linear(width, 3 * width)}) for _ in range(depth))

    def forward(self, x):
        for block in self.blocks:
            q, k, v = block["qkv"](x).chunk(3, dim=-1)
            x = torch.tanh(q) * k + v
        return x


def make(preset="continuous", *, model=None, ranks=None, threshold=None):
    torch.manual_seed(0)
    model = model or Layers()
    ranks = ranks or RankSchedule.of(RANKS[0], [[task, RANKS[task % 5]] for task in range(1, 200)])
    adapters = SDLoRAAdapters(model, TARGETS, preset=PRESETS.get(preset), ranks=ranks, distill_threshold=threshold)
    return model, adapters


def learn(adapters, num_tasks, first=0, end=False):
    """Run tasks with made-up pairs; return the pairs of each task by projection."""
    history = [[] for _ in adapters.directions]
    for task in range(first, first + num_tasks):
        adapters.begin_task(task)
        with torch.no_grad():
            for part, pairs in zip(adapters.directions, history, strict=True):
                part.lora_B.normal_(std=0.3)
                pairs.append((part.lora_A.detach().clone(), part.lora_B.detach().clone()))
            adapters.magnitudes.values.normal_(mean=0.5)
        if end:
            adapters.end_task()
    return history


def relative(found, expected):
    return float((found.detach().double() - expected.detach()).norm() / expected.detach().norm())


@pytest.mark.parametrize("form", ["low-rank", "dense"])
@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("num_tasks", [1, 2, 7, 25])
def test_outputs_and_gradients_equal_the_papers_equation_in_float64(num_tasks, preset, form, monkeypatch):
    monkeypatch.setattr(folded, "dense_cost", lambda *_: 0 if form == "dense" else float("inf"))
    model, adapters = make(preset)
    history = learn(adapters, num_tasks)
    x = torch.randn(11, WIDTH, requires_grad=True)
    layer = adapters_of(model)["blocks.0.qkv"]
    y = layer(x)
    G = torch.randn_like(y)
    y.backward(G)

    x64 = x.detach().double().requires_grad_()
    magnitudes = adapters.magnitudes.values.detach().double().requires_grad_()
    exact = [[(A.double(), B.double()) for A, B in pairs] for pairs in history]
    newest = [factor.requires_grad_() for pairs in exact for factor in pairs[-1]]
    slices = [(*rows, pairs) for rows, pairs in zip(SLICES, exact, strict=True)]
    weight, bias = layer.base.weight.double(), layer.base.bias.double()
    expected = loop_linear(preset, x64, weight, bias, slices, magnitudes)
    expected.backward(G.double())

    assert relative(y, expected) <= 1e-5
    assert relative(x.grad, x64.grad) <= 1e-5
    assert relative(adapters.magnitudes.values.grad, magnitudes.grad) <= 1e-5
    pair = [factor for part in adapters.directions for factor in (part.lora_A, part.lora_B)]
    for found, wanted in zip(pair, newest, strict=True):
        assert relative(found.grad, wanted.grad) <= 1e-5


@pytest.mark.parametrize("preset", list(PRESETS))
def test_the_first_task_starts_as_the_preset_says(preset):
    x = torch.randn(5, WIDTH)
    model, adapters = make(preset)
    before = model(x)
    adapters.begin_task(0)
    assert adapters.magnitudes.values.tolist() == pytest.approx([PRESETS.get(preset).start])
    assert torch.equal(model(x), before) == (preset != "paper")


def test_continuous_does_not_jump_between_tasks():
    x = torch.randn(5, WIDTH)
    model, adapters = make("continuous", model=Layers(depth=3), threshold=9e-4)
    learn(adapters, 3, end=True)
    for task in range(3, 6):
        learn(adapters, 1, first=task)
        trained, magnitudes = model(x), adapters.magnitudes.values.detach().clone()
        adapters.end_task()
        assert torch.equal(model(x), trained)
        adapters.begin_task(task + 1)
        assert torch.equal(adapters.magnitudes.values[:-1], magnitudes)
        assert adapters.magnitudes.values[-1].item() == 1
        assert relative(model(x), trained.double()) <= 1e-5


def test_paper_moves_by_the_new_unit_directions_alone():
    model, adapters = make("paper")
    learn(adapters, 2)
    layer = adapters_of(model)["blocks.0.qkv"]
    trained, magnitudes = layer.merged().weight, adapters.magnitudes.values.detach().clone()
    adapters.end_task()
    assert torch.equal(layer.merged().weight, trained)
    adapters.begin_task(2)
    moved = layer.merged().weight - trained
    assert torch.equal(adapters.magnitudes.values[:-1], magnitudes)
    for start, stop in SLICES:
        assert float(moved[start:stop].norm()) == pytest.approx(1, rel=1e-5)


def test_released_jumps_from_the_raw_pair_to_its_direction_and_forgets_magnitudes():
    model, adapters = make("released")
    history = learn(adapters, 2)
    layer = adapters_of(model)["blocks.0.qkv"]
    trained, magnitudes = layer.merged().weight, adapters.magnitudes.values.detach().clone()
    adapters.end_task()
    assert torch.equal(layer.merged().weight, trained)
    adapters.begin_task(2)
    assert adapters.magnitudes.values.tolist() == pytest.approx([0.8] * 3)
    for (start, stop), pairs in zip(SLICES, history, strict=True):
        A1, B1 = pairs[1]
        first, second = (B @ A / (B.norm() * A.norm()) for A, B in pairs)
        expected = (0.8 - magnitudes[0]) * first + 0.8 * second - magnitudes[1] * B1 @ A1
        moved = layer.merged().weight[start:stop] - trained[start:stop]
        assert torch.allclose(moved, expected, atol=1e-5)
        assert float(moved.norm()) > 0.1


def test_only_magnitudes_and_the_newest_pairs_learn():
    model, adapters = make(model=Layers(depth=2))
    learn(adapters, 4)
    trained = adapters.trained()
    rank = RANKS[3]
    assert sum(p.numel() for p in trained) == 4 + 2 * 2 * rank * 2 * WIDTH
    in_modules = {id(p) for m in (model, adapters) for p in m.parameters() if p.requires_grad}
    assert {id(p) for p in trained} == in_modules
    model(torch.randn(3, WIDTH)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in trained)


def step_costs(num_tasks, num_x, width=48, rank=4):
    """Return FLOPs of forward and backward, and bytes saved besides the module's own tensors."""
    model, adapters = make(model=Layers(width=width), ranks=RankSchedule.of(rank))
    learn(adapters, num_tasks)
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    saved = {}

    def pack(tensor):
        if tensor.untyped_storage().data_ptr() not in own:
            saved[tensor.untyped_storage().data_ptr()] = (tensor.untyped_storage().nbytes(), tuple(tensor.shape))
        return tensor

    x = torch.randn(num_x, width, requires_grad=True)
    layer = adapters_of(model)["blocks.0.qkv"]
    with saved_tensors_hooks(pack, lambda t: t), FlopCounterMode(display=False) as forward:
        y = layer(x)
    with FlopCounterMode(display=False) as backward:
        y.sum().backward()
    return forward.get_total_flops(), backward.get_total_flops(), saved.values()


def test_what_a_step_saves_does_not_grow_with_the_tasks():
    first, twentieth = step_costs(1, 1000)[2], step_costs(20, 1000)[2]
    activations = [[shape for _, shape in saved if 1000 in shape] for saved in (first, twentieth)]
    assert activations == [[(1000, 48)], [(1000, 48)]]
    totals = [sum(size for size, _ in saved) for saved in (first, twentieth)]
    assert totals[1] <= 1.01 * totals[0], "only coefficients, a few bytes a task, may be added"


def test_the_forward_pass_costs_a_plain_layer_and_a_fold_that_knows_no_batch():
    per_x = {(step_costs(tasks, 2000)[0] - step_costs(tasks, 1000)[0]) / 1000 for tasks in (1, 20, 100)}
    assert per_x == {2 * 48 * 3 * 48}
    fold = [step_costs(tasks, 1000)[0] - 1000 * 2 * 48 * 3 * 48 for tasks in (1, 20)]
    assert fold == [2 * 2 * 48 * 48 * 4, 20 * 2 * 2 * 48 * 48 * 4]


def test_the_cost_of_the_backward_pass_is_bounded_in_the_tasks():
    per_x = [(step_costs(tasks, 2000)[1] - step_costs(tasks, 1000)[1]) / 1000 for tasks in (1, 20, 100)]
    to_x, dense = 2 * 48 * 3 * 48, 2 * 2 * 48 * 48
    assert per_x[0] == to_x + 2 * 2 * 2 * 2 * 48 * 4  # four thin products for each of two slices
    assert per_x[1] == per_x[2] == to_x + dense


def test_two_hundred_rounds_of_storing_do_not_drift():
    model, adapters = make(model=Layers(depth=2))
    learn(adapters, 5, end=True)
    both = nn.ModuleList([model, adapters])
    state, expected = {k: v.clone() for k, v in both.state_dict().items()}, model(torch.ones(1, WIDTH))
    for _ in range(200):
        again, fresh = make(model=Layers(depth=2))
        for task in range(2):
            fresh.begin_task(task)
        target = nn.ModuleList([again, fresh])
        target.load_state_dict(both.state_dict(), strict=True)
        both = target
    assert all(torch.equal(both.state_dict()[k], v) for k, v in state.items())
    assert torch.equal(both[0](torch.ones(1, WIDTH)), expected)


def test_magnitudes_are_stored_once_and_stay_shared_in_a_copy():
    model, adapters = make(model=Layers(depth=3))
    learn(adapters, 2)
    keys = [key for module in (model, adapters) for key in module.state_dict()]
    assert sum("magnitudes" in key for key in keys) == 2
    assert [key for key in keys if "magnitudes" in key] == ["magnitudes.values", "magnitudes.tasks"]
    twin_model, twin = copy.deepcopy(nn.ModuleList([model, adapters]))
    assert {id(adapter.magnitudes) for adapter in adapters_of(twin_model).values()} == {id(twin.magnitudes)}
    x = torch.randn(3, WIDTH)
    expected = model(x)
    with torch.no_grad():
        twin.magnitudes.values.zero_()
    assert torch.equal(model(x), expected)
    twin.begin_task(2)
    assert len(twin.magnitudes) == 3
    assert len(adapters.magnitudes) == 2


def repeat_first_direction(adapters, which):
    """Make the newest pairs of some projections copies of the first frozen direction."""
    with torch.no_grad():
        for part in [adapters.directions[k] for k in which]:
            part.lora_A.copy_(part.frozen_A[: part.rank])
            part.lora_B.copy_(2 * part.frozen_B[:, : part.rank])


@pytest.mark.parametrize("seed", range(3))
def test_a_stream_in_which_hand_overs_fire_trains_step_by_step_as_the_paper_says(seed):
    """Matrices of 2 x 2 hold four independent directions, so that from the fifth task on old ones explain the new."""
    plain, tau, lr = Layers(width=2).double(), 9e-4, 8e-3
    model, adapters = make("paper", model=copy.deepcopy(plain), ranks=RankSchedule.of(1), threshold=tau)
    torch.manual_seed(seed)
    oracle, x = PaperLoop(2, tau), torch.randn(9, 2, dtype=torch.float64)

    def by_hand(updates):
        weight = plain.blocks[0]["qkv"].weight.detach().clone()
        for (start, stop), added in zip(((0, 2), (4, 6)), updates, strict=True):
            weight = torch.cat([weight[:start], weight[start:stop] + added, weight[stop:]])
        return torch.func.functional_call(plain, {"blocks.0.qkv.weight": weight}, (x,))

    num_kept = []
    for task in range(9):
        adapters.begin_task(task)
        oracle.begin_task([(part.lora_A, part.lora_B) for part in adapters.directions])
        target = torch.randn(9, 2, dtype=torch.float64)
        optimizer = torch.optim.Adam(adapters.trained(), lr=lr)
        for _ in range(20):
            optimizer.zero_grad()
            loss = (model(x) - target).square().mean()
            loss.backward()
            optimizer.step()
            assert loss.item() == pytest.approx(
                oracle.step(lambda updates, y=target: (by_hand(updates) - y).square().mean(), lr), rel=1e-6
            )
        adapters.end_task()
        kept = oracle.end_task()
        assert [part.rank > 0 for part in adapters.directions] == kept
        assert relative(model(x), by_hand(oracle.updates())) <= 1e-6
        num_kept.append(sum(kept))
    assert num_kept[0] == 2
    assert num_kept.count(0) >= 3, num_kept


@pytest.mark.parametrize("preset", ["continuous", "paper"])
def test_distillation_leaves_nothing_of_a_direction_that_all_projections_drop(preset):
    x = torch.randn(5, WIDTH)
    model, adapters = make(preset, model=Layers(depth=2), ranks=RankSchedule.of(3), threshold=9e-4)
    learn(adapters, 2, end=True)
    adapters.begin_task(2)
    repeat_first_direction(adapters, range(4))
    before = model(x)
    adapters.end_task()
    assert relative(model(x), before.double()) <= 1e-5
    assert adapters.magnitudes.tasks.tolist() == [0, 1]
    assert {part.rank for part in adapters.directions} == {0}
    assert [p.shape for p in adapters.trained()] == [(2,)]
    report = adapters.report(3)
    assert report["ranks"] == [3, 3, 0]
    assert report["magnitudes"][2] == 0
    assert max(report["residuals"]) <= 1e-6
    learn(adapters, 1, first=3, end=True)
    assert adapters.magnitudes.tasks.tolist() == [0, 1, 3]
    assert adapters.report(4)["ranks"] == [3, 3, 0, 3]
    assert {len(part.frozen_A) for part in adapters.directions} == {6}


def test_a_direction_that_one_projection_keeps_keeps_its_magnitude():
    x = torch.randn(5, WIDTH)
    model, adapters = make(model=Layers(depth=2), ranks=RankSchedule.of(3), threshold=9e-4)
    learn(adapters, 1, end=True)
    learn(adapters, 1, first=1)
    repeat_first_direction(adapters, [0, 1, 2])
    before = model(x)
    adapters.end_task()
    assert relative(model(x), before.double()) <= 1e-5
    assert [part.rank for part in adapters.directions] == [0, 0, 0, 3]
    assert len(adapters.magnitudes) == 2
    adapters.begin_task(2)
    assert relative(model(x), before.double()) <= 1e-5
    assert [part.ranks.tolist() for part in adapters.directions] == [[3, 0]] * 3 + [[3, 3]]
    assert adapters.report(3)["ranks"] == [3, 0.75, 3]


@pytest.mark.parametrize("moment", ["ended", "begun"])
def test_state_after_distillation_loads_into_a_replay(moment):
    x = torch.randn(5, WIDTH)
    model, adapters = make(model=Layers(depth=2), ranks=RankSchedule.of(3), threshold=9e-4)
    learn(adapters, 2, end=True)
    adapters.begin_task(2)
    repeat_first_direction(adapters, range(4))
    adapters.end_task()
    if moment == "begun":
        learn(adapters, 1, first=3)
    fresh_model, fresh = make(model=Layers(depth=2), ranks=RankSchedule.of(3), threshold=9e-4)
    for task in range(3 if moment == "ended" else 4):
        fresh.begin_task(task)
    nn.ModuleList([fresh_model, fresh]).load_state_dict(nn.ModuleList([model, adapters]).state_dict(), strict=True)
    assert torch.equal(fresh_model(x), model(x))
    assert [p.shape for p in fresh.trained()] == [p.shape for p in adapters.trained()]
    for either in (adapters, fresh):
        torch.manual_seed(1)
        either.begin_task(5)
    assert torch.equal(fresh_model(x), model(x))
    assert fresh.report(6) == adapters.report(6)


def test_an_untrained_task_leaves_nothing():
    model, adapters = make("continuous")
    learn(adapters, 1, end=True)
    before = model(torch.ones(1, WIDTH))
    adapters.begin_task(1)
    adapters.end_task()
    adapters.end_task()
    assert adapters.magnitudes.tasks.tolist() == [0]
    assert adapters.report(2)["ranks"] == [RANKS[0], 0]
    assert relative(model(torch.ones(1, WIDTH)), before.double()) <= 1e-5


def test_the_report_of_continuous_includes_the_norms():
    _, adapters = make("continuous", model=Layers(depth=2))
    history = learn(adapters, 2, end=True)
    norms = torch.tensor([[float((B @ A).norm()) for A, B in pairs] for pairs in history]).mean(0)
    expected = (adapters.magnitudes.values.detach() * norms).tolist()
    assert adapters.report(2)["magnitudes"] == pytest.approx(expected, rel=1e-5)
    adapters.begin_task(2)
    assert adapters.report(3)["magnitudes"] == pytest.approx([*expected, 0], rel=1e-5)
    assert len(adapters.report(3)["residuals"]) == 4


def test_a_magnitude_of_the_other_presets_is_reported_as_it_is():
    _, adapters = make("released")
    learn(adapters, 3, end=True)
    assert adapters.report(3)["magnitudes"] == pytest.approx(adapters.magnitudes.values.tolist())


@pytest.mark.parametrize("where", ["pair", "magnitude"])
def test_what_is_not_finite_stops_the_task_from_ending_before_anything_is_changed(where):
    _, adapters = make(ranks=RankSchedule.of(3), threshold=0.5)
    learn(adapters, 1, end=True)
    learn(adapters, 1, first=1)
    repeat_first_direction(adapters, [0])
    with torch.no_grad():
        broken = adapters.directions[1].lora_A if where == "pair" else adapters.magnitudes.values
        broken[-1] = float("inf")
    state = {key: value.clone() for key, value in adapters.directions[0].state_dict().items()}
    with pytest.raises(NumericalError, match="not finite"):
        adapters.end_task()
    assert all(torch.equal(adapters.directions[0].state_dict()[key], value) for key, value in state.items())


def test_a_preset_that_restarts_its_magnitudes_cannot_distill():
    with pytest.raises(ConfigError, match='choose preset "continuous" or "paper"'):
        make("released", threshold=9e-4)


def test_a_rank_of_any_task_above_the_width_is_refused_at_once():
    with pytest.raises(ConfigError, match="rank 21"):
        make(ranks=RankSchedule.of(2, [[30, 21]]))


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("preset", list(PRESETS))
def test_checkpointing_gives_the_same_gradients(preset, use_reentrant):
    model, adapters = make(preset, model=Layers(depth=2))
    learn(adapters, 3)
    grads = []
    for run in (model, lambda x: torch.utils.checkpoint.checkpoint(model, x, use_reentrant=use_reentrant)):
        run(torch.ones(2, WIDTH, requires_grad=True)).sum().backward()
        grads.append([p.grad for p in adapters.trained()])
        for p in adapters.trained():
            p.grad = None
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


@pytest.mark.parametrize("preset", list(PRESETS))
def test_compiles_without_a_graph_break(preset):
    model, adapters = make(preset)
    learn(adapters, 3)
    x = torch.randn(4, WIDTH)
    expected = torch.autograd.grad(model(x).square().sum(), adapters.trained())
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    found = torch.autograd.grad(compiled(x).square().sum(), adapters.trained())
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


COMPILER = shutil.which(os.environ.get("CXX", "c++"))


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="torch.compile makes machine code with a C++ compiler; there is none here")
def test_compiled_to_machine_code_it_gives_the_same_gradients(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    model, adapters = make("released")
    learn(adapters, 3)
    x = torch.randn(4, WIDTH)
    expected = torch.autograd.grad(model(x).square().sum(), adapters.trained())
    quick = {"compile_threads": 1, "cpp_cache_precompile_headers": False}
    compiled = torch.compile(model, fullgraph=True, options=quick)
    found = torch.autograd.grad(compiled(x).square().sum(), adapters.trained())
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)
    assert len(list(tmp_path.rglob("*.so"))) >= 2, "forward and backward"
