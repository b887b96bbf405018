"""What every method must hold, whatever it does; a new method inherits all of it by registering."""

from __future__ import annotations

import copy
from fnmatch import fnmatchcase

import pytest
import torch
from teaching import SIZE, data_of, make_tasks, teach

from sdlora.backbones.vit import load_backbone
from sdlora.costs import measure, teach_made_up
from sdlora.costs.kept import KEPT, origin_of
from sdlora.methods import METHODS, Method
from sdlora.methods.linear_classifier import LinearClassifier
from sdlora.task import Task

# Options besides the defaults under which the contract must hold too.
VARIANTS: dict[str, list[dict[str, object]]] = {
    "sdlora": [
        {"preset": "paper"},
        {"preset": "released"},
        {"preset": "continuous"},
        {"rank": 4, "rank_schedule": [[1, 2]]},
        {"preset": "continuous", "distill_threshold": 0.9},
        {"head_init": "discriminant"},
        {"head": "discriminant", "head_init": "discriminant"},
        {"head": "discriminant", "layers": "all", "adapt_tasks": 1},
        {"head": "ridge", "layers": 1},
    ],
    "lora": [{"head_init": "discriminant"}, {"head": "discriminant", "layers": "all"}, {"head": "ridge"}],
    "probe": [
        {"head_init": "discriminant"},
        {"head": "discriminant"},
        {"head": "discriminant", "layers": "all", "max_features": 50},
    ],
    "inflora": [
        {"num_tasks": 3},
        {"energy": "second"},
        {"head_init": "discriminant"},
        {"head": "discriminant", "adapt_tasks": 2},
    ],
    "l2p": [{"head_init": "discriminant"}, {"head": "discriminant"}],
    "dualprompt": [{"head_init": "discriminant"}, {"head": "discriminant"}],
    "coda_prompt": [{"head_init": "discriminant"}, {"head": "ridge"}],
    "ranpac": [{"adaptation": "ssf"}],
    "ease": [{"refresh": False}, {"dropout": 0.0}],
}
# Methods that train on the first task alone: afterwards there is nothing to train and no loss.
FIRST_TASK_ONLY = {"ranpac"}


def is_trained(case: tuple[str, dict[str, object]], task: Task) -> bool:
    name, options = case
    if name == "probe" and "head" in options:  # nothing that it trains would predict
        return False
    return task.index < options.get("adapt_tasks", 1 if name in FIRST_TASK_ONLY else task.index + 1)


CASES = [(name, {}) for name in METHODS] + [(name, o) for name, options in VARIANTS.items() for o in options]
TASKS = make_tasks(3, 2, 4)


def build(name: str, options: dict[str, object]) -> Method:
    torch.manual_seed(0)
    return METHODS.get(name)(load_backbone("untrained_vit"), **options)


def pictures(count: int = 5, seed: int = 7) -> torch.Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=CASES, ids=lambda case: case[0] + "".join(f"-{k}={v}" for k, v in case[1].items()))
def case(request):
    return request.param


def test_every_method_is_here():
    assert {name for name, _ in CASES} == set(METHODS.names())
    assert len(METHODS.names()) >= 6


def test_is_final_and_says_what_it_is(case):
    kind = METHODS.get(case[0])
    assert not [child for child in kind.__subclasses__() if child.__module__.startswith("sdlora")], (
        "methods share code by functions, adapters and the one abstract class"
    )
    assert kind.__mro__[1] in (Method, LinearClassifier)
    assert kind.__doc__
    assert kind.facts.source
    assert isinstance(kind.mergeable, bool)


def test_logits_cover_the_classes_seen(case):
    method = build(*case)
    for task in TASKS:
        teach(method, [task])
        assert method(pictures()).shape == (5, task.num_seen)


def test_losses_are_finite_scalars_with_gradient(case):
    method = build(*case)
    if method.num_epochs == 0:
        assert not [p for p in method.parameters() if p.requires_grad]
        return
    seen: dict[int, bool] = {}
    for task in TASKS[:2]:
        data = data_of(task)
        method.begin_task(task)
        method.prepare(data)
        params = [p for group in method.param_groups() for p in group["params"]]
        if not params:
            assert not is_trained(case, task)
            assert all(method.losses(images, labels) == {} for images, labels in data.train)
            method.end_task(data)
            continue
        assert len({id(p) for p in params}) == len(params)
        assert {id(p) for p in params} == {id(p) for p in method.parameters() if p.requires_grad}
        seen = {id(p): False for p in params}
        optimizer = torch.optim.SGD(params, lr=0.05)
        for images, labels in data.train:
            optimizer.zero_grad()
            terms = method.losses(images, labels)
            assert terms
            assert all(term.ndim == 0 and torch.isfinite(term) for term in terms.values())
            sum(terms.values()).backward()
            for p in params:
                seen[id(p)] |= p.grad is not None and bool(p.grad.any())
            optimizer.step()
        assert all(seen.values()), "every trained parameter must get a gradient from the loss"
        method.end_task(data)


def test_what_is_frozen_keeps_its_bits(case):
    method = build(*case)
    teach(method, TASKS[:1])
    task = TASKS[1]
    data = data_of(task)
    method.begin_task(task)
    method.prepare(data)
    trained = {id(p) for group in method.param_groups() for p in group["params"]}
    before = {n: p.detach().clone() for n, p in method.named_parameters() if id(p) not in trained}
    if method.num_epochs != 0 and trained:
        optimizer = torch.optim.AdamW([p for g in method.param_groups() for p in g["params"]], lr=0.1, weight_decay=0.1)
        for images, labels in data.train:
            optimizer.zero_grad()
            sum(method.losses(images, labels).values()).backward()
            optimizer.step()
    after = dict(method.named_parameters())
    for name, value in before.items():
        assert torch.equal(after[name], value), name


def test_same_seed_same_bits(case):
    first, second = (teach(build(*case), TASKS, seed=3) for _ in range(2))
    state = second.state_dict()
    for key, value in first.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert torch.equal(first(pictures()), second(pictures()))


def test_replay_and_strict_load_restore(case):
    taught = teach(build(*case), TASKS)
    fresh = build(*case)
    for task in TASKS:
        fresh.begin_task(task)
    fresh.load_state_dict(taught.state_dict(), strict=True)
    assert torch.equal(fresh(pictures()), taught(pictures()))


def test_only_begin_task_changes_keys(case):
    method = build(*case)
    for task in TASKS:
        data = data_of(task)
        method.begin_task(task)
        keys = set(method.state_dict())
        method.prepare(data)
        if method.num_epochs != 0 and any(group["params"] for group in method.param_groups()):
            sum(method.losses(*data.train.batches[0]).values()).backward()
        method(pictures())
        method.end_task(data)
        assert set(method.state_dict()) == keys


def test_restored_in_the_middle_it_goes_on_alike(case):
    straight = teach(build(*case), TASKS)
    halfway = teach(build(*case), TASKS[:2])
    fresh = build(*case)
    for task in TASKS[:2]:
        fresh.begin_task(task)
    fresh.load_state_dict(halfway.state_dict(), strict=True)
    teach(fresh, TASKS[2:])
    for key, value in straight.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[key]), key


def test_a_prediction_does_not_depend_on_its_neighbours(case):
    method = teach(build(*case), TASKS)
    method.requires_grad_(False)
    images = pictures(8)
    together = method(images)
    alone = torch.cat([method(image[None]) for image in images])
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    shuffled = method(images[order])
    rounding = 1e-5 * max(1.0, float(together.abs().max()))
    assert torch.allclose(together, alone, atol=rounding)
    assert torch.allclose(together[order], shuffled, atol=rounding)
    assert torch.equal(together.argmax(1), alone.argmax(1))


def test_forward_changes_nothing(case):
    method = teach(build(*case), TASKS[:2])
    method.requires_grad_(False)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    first = method(pictures())
    method.train()
    assert torch.equal(method(pictures()), first)
    method.eval()
    assert torch.equal(method(pictures()), first)
    for key, value in method.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_a_copy_is_independent(case):
    method = teach(build(*case), TASKS[:2])
    expected = method(pictures())
    twin = copy.deepcopy(method)
    assert torch.equal(twin(pictures()), expected)
    teach(twin, TASKS[2:])
    assert torch.equal(method(pictures()), expected)


def test_every_tensor_moves_with_the_method(case):
    method = teach(build(*case), TASKS[:2])
    loose = [name for part in method.modules() for name, value in vars(part).items() if isinstance(value, torch.Tensor)]
    assert not loose, "a tensor that is neither parameter nor buffer stays behind when the method changes its device"


def test_bfloat16_autocast(case):
    method = build(*case)
    teach(method, TASKS[:2], lr=0.01, autocast=True)
    method.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        logits = method(pictures()).float()
    exact = method(pictures())
    assert torch.isfinite(logits).all()
    assert torch.allclose(logits, exact, atol=0.05 * float(exact.abs().max()) + 0.02)


def test_one_class_a_task_and_uneven_tasks(case):
    method = teach(build(*case), make_tasks(2, 1, 5))
    assert method(pictures()).shape == (5, 8)
    assert torch.isfinite(method(pictures())).all()


def joined(tasks: list[Task]) -> Task:
    return Task(0, tuple(name for task in tasks for name in task.classes), 0)


def test_what_is_declared_of_it_is_measured(case):
    kind, method = METHODS.get(case[0]), build(*case)
    assert method.facts == kind.facts_with(case[1])
    torch.manual_seed(0)
    images, labels = teach_made_up(method, [joined(TASKS)] if kind.joint else TASKS)
    sample_bytes = 9 * SIZE * SIZE if kind.joint else 0  # whoever trains tasks together keeps the pictures of each
    cost = measure(method, build(*case).backbone, images, labels, sample_bytes=sample_bytes)
    declared = method.facts
    assert cost.rehearsal_free == declared.rehearsal_free, cost.kept
    assert cost.one_pass == declared.one_pass, cost.passes
    assert cost.end_to_end == declared.end_to_end, cost.reach


def flipped(value: torch.Tensor) -> torch.Tensor:
    return value.flip(0, -1) if value.ndim > 1 else value.flip(0) if value.ndim else value


def teach_values(method: Method, tasks: list[Task], data_seed: int, *, spoilt: str = "") -> tuple[Method, list[float]]:
    """Run every hook on pictures of `data_seed`, with values for what is trained that do not depend on them.

    Before the last task the state entry `spoilt` is flipped. Returns the loss of the last task at its start, too.
    """
    losses: list[float] = []
    for task in tasks:
        if spoilt and task is tasks[-1]:
            method.state_dict()[spoilt].copy_(flipped(method.state_dict()[spoilt]))
        data = data_of(task, data_seed)
        torch.manual_seed(task.index)
        method.begin_task(task)
        method.prepare(data)
        torch.manual_seed(100 + task.index)
        with torch.no_grad():
            for parameter in (p for group in method.param_groups() for p in group["params"]):
                parameter.copy_(0.1 * torch.randn(parameter.shape))
        losses = [
            float(term.detach()) for images, labels in data.train for term in method.losses(images, labels).values()
        ]
        method.end_task(data)
    return method, losses


def is_learned_from(case: tuple[str, dict[str, object]], name: str) -> bool:
    """Whether the last task is learned otherwise, once a state entry of the tasks before it holds other values."""
    early = teach_values(build(*case), TASKS[:2], 1)[0].state_dict()[name]
    (clean, loss), (spoilt, other_loss) = (teach_values(build(*case), TASKS, 1, spoilt=s) for s in ("", name))
    before, after = clean.state_dict(), spoilt.state_dict()
    carried = before[name].clone()
    carried[tuple(slice(size) for size in early.shape)] = flipped(early)
    others = (key for key in before if key != name)
    is_left_alone = torch.equal(after[name], carried) or torch.equal(after[name], before[name])
    return loss != other_loss or not is_left_alone or any(not torch.equal(after[k], before[k]) for k in others)


@pytest.fixture
def no_optimiser_moves(monkeypatch):
    for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        monkeypatch.setattr(kind, "step", lambda *_: None)


def test_nothing_but_what_it_names_depends_on_data_except_through_gradients(case, no_optimiser_moves):
    one, other = (teach_values(build(*case), TASKS, data_seed)[0] for data_seed in (1, 2))
    state = other.state_dict()
    depends = {name for name, value in one.state_dict().items() if not torch.equal(value, state[name])}
    assert {name for name in depends if origin_of(one, name) is None} == set()
    assert bool(depends) == bool(one.from_data)
    assert all(any(fnmatchcase(name, glob) for name in state) for glob in one.from_data)


def test_weights_predict_and_no_later_task_is_learned_from_them(case, no_optimiser_moves):
    """Those inside the backbone are part of every forward pass; those outside must leave all learning alone."""
    method = teach_values(build(*case), TASKS[:2], 1)[0]
    logits = method(pictures())
    for name, value in method.state_dict().items():
        if origin_of(method, name) == "weights":
            twin = copy.deepcopy(method)
            twin.state_dict()[name].copy_(-value)
            assert not torch.equal(twin(pictures()), logits), f"{name} has no part in a prediction"
            assert name.startswith("backbone.") or not is_learned_from(case, name), name


def test_what_it_keeps_of_old_tasks_is_what_it_learns_new_ones_from(case, no_optimiser_moves):
    method = teach_values(build(*case), TASKS[:2], 1)[0]
    kept = [name for name in method.state_dict() if origin_of(method, name) in KEPT]
    assert bool(kept) != (method.facts.rehearsal_free or method.joint)
    assert not kept or any(is_learned_from(case, name) for name in kept)
