import math

import pytest
import torch
from teaching import changed_by_steps, has_gradients_everywhere, make_tasks, teach
from vits import glyph_shape, strong_vit, tokens_of, vit_base

from sdlora.errors import ConfigError
from sdlora.methods.coda_prompt import CODAPrompt

TASKS = make_tasks(3, 2, 2)
PARTS = ("prompts", "keys", "attentions")


def build(**options) -> CODAPrompt:
    torch.manual_seed(0)
    return CODAPrompt(strong_vit(depth=3), **{"layers": (0, 2), "num_components": 3, "prompt_length": 4, **options})


def images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def rows_of(method: CODAPrompt, part: str, block: int) -> torch.Tensor:
    """Return the rows of all tasks in a block, (F, ...), float64."""
    return torch.cat([tensor[block] for tensor in getattr(method, part)]).detach().double()


def prefixes_by_loops(method: CODAPrompt, image: torch.Tensor) -> tuple[dict[int, torch.Tensor], list[float]]:
    """Return a prefix for each block and all weights, from the equation."""
    q = tokens_of(strong_vit(depth=3).double(), image)[0]
    prefixes, weights = {}, []
    for block, layer in enumerate(method.layers):
        total: torch.Tensor = torch.zeros(1)
        for P, K, A in zip(*(rows_of(method, part, block) for part in PARTS), strict=True):
            masked = q * A
            weight = float((masked / masked.norm() * K / K.norm()).sum())
            total = total + weight * P
            weights.append(weight)
        half = len(total) // 2
        prefixes[layer] = torch.stack([total[:half], total[half:]])
    return prefixes, weights


def gram_schmidt_by_loops(old: torch.Tensor, count: int, width: int) -> torch.Tensor:
    rows, first = list(old.double()), len(old)
    for _ in range(count):
        v = torch.randn(width).double()
        u = v.clone()
        for row in rows:
            u -= (v @ row) / (row @ row) * row  # of the draw itself: classical, not modified
        rows.append(u)
    return torch.stack([row / row.norm() for row in rows[first:]])


def test_sizes_at_vit_base():
    method = CODAPrompt(vit_base())
    assert method.layers == (0, 1, 2, 3, 4)
    for task in make_tasks(*[10] * 10):
        method.begin_task(task)
    assert [p.shape for p in method.prompts] == [(5, 10, 8, 768)] * 10
    assert [p.shape for p in (*method.keys, *method.attentions)] == [(5, 10, 768)] * 20
    assert sum(p.numel() for part in PARTS for p in getattr(method, part)) == 3_840_000
    trained = sum(p.numel() for p in method.parameters() if p.requires_grad)
    assert trained == 384_000 + 10 * 769


def test_the_first_rows_are_orthonormal():
    method = build()
    method.begin_task(TASKS[0])
    for part in PARTS:
        for block in (0, 1):
            rows = rows_of(method, part, block).flatten(1)
            assert torch.allclose(rows @ rows.T, torch.eye(3).double(), atol=1e-5)
    assert not torch.equal(method.keys[0], method.attentions[0])
    assert not torch.equal(method.keys[0][0], method.keys[0][1])


def test_later_rows_against_loops():
    method = teach(build(), TASKS[:1])
    for part in PARTS:  # as if training had taken the rows far from orthogonal
        getattr(method, part)[0].data.add_(0.3 * torch.randn(getattr(method, part)[0].shape)).mul_(2)
    old = {part: [rows_of(method, part, block).flatten(1) for block in (0, 1)] for part in PARTS}
    torch.manual_seed(11)
    expected = {part: [gram_schmidt_by_loops(rows, 3, rows.shape[1]) for rows in old[part]] for part in PARTS}
    torch.manual_seed(11)
    method.begin_task(TASKS[1])
    for part in PARTS:
        for block in (0, 1):
            new = getattr(method, part)[1][block].detach().flatten(1).double()
            assert torch.allclose(new, expected[part][block], atol=1e-5)
            assert torch.equal(rows_of(method, part, block)[:3].flatten(1), old[part][block])


def test_rows_beyond_the_width_and_collapsed_rows():
    method = build(num_components=20)  # width 32
    method.begin_task(TASKS[0])
    method.keys[0].data[0, 4].zero_()
    method.begin_task(TASKS[1])
    method.begin_task(TASKS[2])
    for tensor in (*method.keys[1:], *method.attentions[1:]):
        assert torch.allclose(tensor.norm(dim=2), torch.ones(2, 20), atol=1e-5)


def test_logits_against_loops():
    method = teach(build(), TASKS)
    weight = torch.cat([block.weight for block in method.head.blocks]).double()
    bias = torch.cat([block.bias for block in method.head.blocks]).double()
    for row, image in zip(method(images()), images(), strict=True):
        prefixes, weights = prefixes_by_loops(method, image)
        assert len(weights) == 2 * 9
        assert min(weights) < 0 < max(weights), "weights are cosines, not shares"
        feature = tokens_of(strong_vit(depth=3).double(), image, prefixes=prefixes)[0]
        assert torch.allclose(row.double(), feature @ weight.T + bias, atol=1e-5)


def test_keys_and_values_are_the_two_halves():
    method = teach(build(), TASKS[:1])
    image = images()[0]
    prefixes, _ = prefixes_by_loops(method, image)
    swapped = {layer: prefix.flip(0) for layer, prefix in prefixes.items()}
    plain, block = strong_vit(depth=3).double(), method.head.blocks[0]
    right, wrong = (tokens_of(plain, image, prefixes=p)[0] @ block.weight.double().T for p in (prefixes, swapped))
    got = method(image[None])[0].double() - block.bias
    assert torch.allclose(got, right, atol=1e-5)
    assert not torch.allclose(got, wrong, atol=1e-4)


def test_only_the_newest_rows_learn():
    method = teach(build(), TASKS[:2])
    method.begin_task(TASKS[2])
    assert changed_by_steps(method, TASKS[2]) == {
        "prompts.2",
        "keys.2",
        "attentions.2",
        "head.blocks.2.weight",
        "head.blocks.2.bias",
    }


def test_loss_is_cross_entropy_alone_by_default():
    method = teach(build(), TASKS[:1])
    method.begin_task(TASKS[1])
    labels = torch.tensor([3, 4, 4, 3])
    terms = method.losses(images(), labels)
    assert set(terms) == {"cross_entropy"}
    logits = method(images())[:, 3:].double()
    expected = sum(row.exp().sum().log() - row[label - 3] for row, label in zip(logits, labels, strict=True)) / 4
    assert terms["cross_entropy"].item() == pytest.approx(expected.item(), abs=1e-5)


def test_orthogonality_against_loops():
    method = teach(build(orthogonality=0.1), TASKS[:1])
    method.begin_task(TASKS[1])
    expected = 0.0
    for part in PARTS:
        for tensor in getattr(method, part):  # as if training had taken the rows from orthogonal
            tensor.data += 0.1 * torch.randn(tensor.shape)
        for block in (0, 1):
            rows = rows_of(method, part, block).flatten(1)
            off = [float(a @ b - float(i == j)) ** 2 for i, a in enumerate(rows) for j, b in enumerate(rows)]
            assert len(off) == 36
            expected += sum(off) / 36
    term = method.losses(images(), torch.tensor([3, 4, 4, 3]))["orthogonality"]
    assert term.item() == pytest.approx(0.1 * expected, abs=1e-5)
    assert expected > 0.1
    with torch.autocast("cpu", torch.bfloat16):
        same = method.losses(images(), torch.tensor([3, 4, 4, 3]))["orthogonality"]
    assert torch.equal(term, same)


def test_the_head_starts_as_torch_makes_it():
    method = CODAPrompt(strong_vit())
    method.begin_task(make_tasks(200)[0])
    bound = 1 / math.sqrt(32)
    for values in (method.head.blocks[0].weight.detach(), method.head.blocks[0].bias.detach()):
        assert float(values.abs().max()) <= bound
        assert float(values.var()) == pytest.approx(bound**2 / 3, rel=0.2)


@pytest.mark.parametrize(("name", "value"), [("prompt_length", 5), ("prompt_length", 0), ("num_components", 0)])
def test_sizes_that_make_no_sense(name, value):
    with pytest.raises(ConfigError, match=f"{name} = {value}"):
        build(**{name: value})


def test_defaults_fit_the_shipped_backbone():
    method = CODAPrompt(glyph_shape())
    for task in TASKS[:2]:
        method.begin_task(task)
    assert method.layers == (0, 1, 2, 3, 4)
    assert has_gradients_everywhere(method)


def test_facts():
    facts = CODAPrompt.facts
    assert (facts.rehearsal_free, facts.one_pass, facts.end_to_end) == (True, False, True)
