import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sdlora.adapters.adapter import LinearAdapter
from sdlora.adapters.inject import adapters_of, find_targets, inject, remove, replace_
from sdlora.adapters.lora import LoRALinear
from sdlora.adapters.merge import merge, merge_, unmerge_
from sdlora.backbones.vit import untrained_vit
from sdlora.errors import ConfigError

WIDTH = 6


class Mixer(nn.Module):
    """A fused projection whose thirds are multiplied and added."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return torch.tanh(q) * k + v


class NotPlain(nn.Linear):
    """A Linear that does something else."""

    def forward(self, x):
        return -super().forward(x)


def make(base, rows):
    return LoRALinear(base, rows, rank=2, alpha=2.0)


@st.composite
def models(draw):
    """Trees of layers, with fused projections, layers of other types, and layers that occur twice."""
    pool = []

    def grow(depth):
        kind = draw(st.sampled_from(["linear", "mixer", "gelu", "odd", "again", "many", "many"]))
        if kind == "many" and depth < 3:
            return nn.Sequential(*(grow(depth + 1) for _ in range(draw(st.integers(1, 4)))))
        if kind == "again" and pool:
            return draw(st.sampled_from(pool))
        kinds = {"mixer": Mixer, "gelu": nn.GELU, "odd": lambda: NotPlain(WIDTH, WIDTH)}
        pool.append(kinds.get(kind, lambda: nn.Linear(WIDTH, WIDTH, bias=draw(st.booleans())))())
        return pool[-1]

    torch.manual_seed(draw(st.integers(0, 1000)))
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), *(grow(0) for _ in range(draw(st.integers(0, 3)))), Mixer())


def places(model):
    return [(name, module) for name, module in model.named_modules(remove_duplicate=False)]


TARGETS = st.sampled_from([["qkv:q"], ["qkv:v", "qkv:q"], ["*qkv"], ["*"], ["0"], ["[0-1]", "qkv:k"]])


@settings(max_examples=60, deadline=None)
@given(models(), TARGETS)
def test_inject_and_remove_are_exact_for_any_model(model, targets):
    x = torch.randn(3, WIDTH)
    before, state, y = places(model), copy.deepcopy(model.state_dict()), model(x)
    inject(model, targets, make)
    assert torch.equal(model(x), y), "an adapter that has learned nothing changes nothing"
    bases = [id(adapter.base) for adapter in adapters_of(model).values()]
    assert len(set(bases)) == len(bases), "a layer in two places gets one adapter"
    remaining = [name for name, module in places(model) if type(module) is nn.Linear and not name.endswith(".base")]
    assert not set(remaining) & find_targets_in(before, targets)
    remove(model)
    assert [(name, id(module)) for name, module in places(model)] == [(name, id(module)) for name, module in before]
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())


def find_targets_in(places, targets):
    """Names of plain layers that the targets mean, by the plain reading of the pattern's last component."""
    wanted = set()
    for target in targets:
        end = target.partition(":")[0]
        for name, module in places:
            last = name.rpartition(".")[2]
            if type(module) is nn.Linear and (end == "*" or (last in {"0", "1"} if end == "[0-1]" else last == end)):
                wanted.add(name)
    return wanted


@settings(max_examples=60, deadline=None)
@given(models(), TARGETS)
def test_merge_is_exact_for_any_model(model, targets):
    x = torch.randn(3, WIDTH)
    kinds = [(name, type(module)) for name, module in places(model)]
    state = copy.deepcopy(model.state_dict())
    inject(model, targets, make)
    for adapter in adapters_of(model).values():
        for pair in adapter.pairs:
            nn.init.normal_(pair.lora_B)
    adapted, y = places(model), model(x)
    merged = merge(model)
    assert [(name, id(module)) for name, module in places(model)] == [(name, id(module)) for name, module in adapted]
    assert [(name, type(module)) for name, module in places(merged)] == kinds
    assert list(merged.state_dict()) == list(state)
    assert torch.allclose(merged(x), y, rtol=1e-5, atol=1e-6)
    adapters = merge_(model)
    assert torch.equal(model(x), merged(x))
    unmerge_(model, adapters)
    assert torch.equal(model(x), y)
    remove(model)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())


def test_a_vision_transformers_slices_are_targets_of_their_own():
    model = untrained_vit().model
    found = find_targets(model, ("qkv:v", "qkv:q", "attn.proj", "blocks.1.mlp.fc1"))
    assert [(name, rows) for name, (_, rows) in found.items()] == [
        ("blocks.0.attn.qkv", {"v": (64, 96), "q": (0, 32)}),
        ("blocks.0.attn.proj", {"all": (0, 32)}),
        ("blocks.1.attn.qkv", {"v": (64, 96), "q": (0, 32)}),
        ("blocks.1.attn.proj", {"all": (0, 32)}),
        ("blocks.1.mlp.fc1", {"all": (0, 128)}),
    ]


def test_a_suffix_matches_whole_components():
    model = nn.ModuleDict({"query": nn.Linear(2, 2), "subquery": nn.Linear(2, 2), "a": nn.Sequential(nn.Linear(2, 2))})
    assert list(find_targets(model, ["query"])) == ["query"]
    assert list(find_targets(model, ["a.0"])) == ["a.0"]
    assert list(find_targets(model, ["*query"])) == ["query", "subquery"]


def test_a_layer_in_two_places_is_found_by_either_name():
    linear = nn.Linear(2, 2)
    model = nn.ModuleDict({"first": linear, "second": linear})
    assert list(find_targets(model, ["second"])) == ["first"]
    inject(model, ["second"], make)
    assert model["first"] is model["second"]
    assert isinstance(model["first"], LoRALinear)


def test_an_unknown_target_lists_what_there_is():
    with pytest.raises(ConfigError) as caught:
        find_targets(untrained_vit(depth=3).model, ["qvk:q"])
    assert str(caught.value) == (
        'no linear layer is called "qvk:q"\n'
        "Expected: the end of one of these names: blocks.*.attn.qkv (32 -> 96) x 3, blocks.*.attn.proj (32 -> 32) x 3, "
        "blocks.*.mlp.fc1 (32 -> 128) x 3, blocks.*.mlp.fc2 (128 -> 32) x 3"
    )


def test_a_model_without_linear_layers_says_so():
    with pytest.raises(ConfigError, match="there are none"):
        find_targets(nn.Sequential(nn.GELU(), NotPlain(2, 2)), ["0"])


@pytest.mark.parametrize("target", ["qkv:o", "proj:q"])
def test_a_part_that_does_not_exist_is_refused(target):
    with pytest.raises(ConfigError, match=f'has no part "{target[-1]}"'):
        find_targets(untrained_vit().model, [target])


@pytest.mark.parametrize("targets", [["qkv:q", "qkv:q"], ["qkv", "qkv:q"], ["qkv:q", "attn.qkv"], ["qkv", "*.qkv"]])
def test_the_same_rows_twice_are_refused(targets):
    with pytest.raises(ConfigError, match=r"two targets mean the same rows of layer blocks\.0\.attn\.qkv"):
        find_targets(untrained_vit().model, targets)


def test_a_second_injection_is_refused():
    model = untrained_vit().model
    inject(model, ["qkv:q"], make)
    with pytest.raises(ConfigError, match="holds adapters already"):
        inject(model, ["attn.proj"], make)


def test_no_target_is_refused():
    with pytest.raises(ConfigError, match="no target layers"):
        inject(untrained_vit().model, [], make)


def test_a_failed_injection_changes_nothing():
    model = untrained_vit().model
    before = places(model)
    for targets in (["qkv:q", "nothing"], ["qkv:q", "qkv:q"]):
        with pytest.raises(ConfigError):
            inject(model, targets, make)
    with pytest.raises(ConfigError, match="rank"):
        inject(model, ["qkv:q"], lambda base, rows: LoRALinear(base, rows, rank=33, alpha=1.0))
    assert places(model) == before


def test_adapters_are_found_by_type_not_by_name():
    model = nn.ModuleDict({"lora_A": nn.Linear(2, 2), "base": nn.Linear(2, 2), "x": nn.Linear(2, 2)})
    inject(model, ["x"], make)
    assert list(adapters_of(model)) == ["x"]
    assert isinstance(model["x"], LinearAdapter)
    remove(model)
    assert all(type(module) is nn.Linear for module in model.values())


def test_a_bare_layer_cannot_be_replaced_in_place():
    linear = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="wrap it"):
        replace_(linear, {linear: nn.Linear(2, 2)})


class Apart(nn.Module):
    """The three projections of an attention, each a layer of its own."""

    def __init__(self, names):
        super().__init__()
        for name in names:
            self.add_module(name, nn.Linear(WIDTH, WIDTH))


@pytest.mark.parametrize("names", [("q_proj", "k_proj", "v_proj"), ("query", "key", "value")])
def test_thirds_of_a_fused_projection_also_name_layers_that_stand_apart(names):
    model = nn.ModuleDict({f"block{i}": Apart(names) for i in range(2)})
    found = find_targets(model, ["qkv:q", "qkv:v"])
    assert list(found) == [f"block{i}.{name}" for i in range(2) for name in (names[0], names[2])]
    assert all(rows == {"all": (0, WIDTH)} for _, rows in found.values())
    assert list(find_targets(model, ["block1.qkv:k"])) == [f"block1.{names[1]}"]
    with pytest.raises(ConfigError, match="two targets mean the same rows"):
        find_targets(model, ["qkv:q", names[0]])
    with pytest.raises(ConfigError, match='no linear layer is called "qkv"'):
        find_targets(model, ["qkv"])
