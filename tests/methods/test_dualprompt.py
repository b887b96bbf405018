import pytest
import torch
from teaching import changed_by_steps, has_gradients_everywhere, make_tasks, teach
from vits import glyph_shape, strong_vit, tokens_of, vit_base

from sdlora.methods.dualprompt import DualPrompt
from sdlora.task import Task

TASKS = make_tasks(3, 2, 2, 3)


def build(**options) -> DualPrompt:
    torch.manual_seed(0)
    return DualPrompt(strong_vit(depth=3), **{"g_layers": (0, 1), "e_layers": (1, 2), **options})


def images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def taught() -> DualPrompt:
    """Return a method whose experts, near copies of each other after so few steps, are far apart."""
    method = teach(build(), TASKS)
    for expert in method.e_prompts:
        expert.data.uniform_(-3, 3)
    return method


def queries() -> torch.Tensor:
    plain = strong_vit(depth=3).double()
    return torch.stack([tokens_of(plain, image)[0] for image in images()])


def features_by_loops(method: DualPrompt, experts: list[int]) -> torch.Tensor:
    """Return each image's class token with the general prefix in blocks 0, 1 and its expert in 1, 2."""
    plain, rows = strong_vit(depth=3).double(), []
    for image, expert in zip(images(), experts, strict=True):
        g, e = method.g_prompt.detach(), method.e_prompts[expert].detach()
        own = {0: g[0], 1: torch.cat([g[1], e[0]], dim=1), 2: e[1]}
        rows.append(tokens_of(plain, image, prefixes=own)[0])
    return torch.stack(rows)


def head_by_loops(method: DualPrompt, features: torch.Tensor) -> torch.Tensor:
    weight = torch.cat([block.weight for block in method.head.blocks]).detach().double()
    return features @ weight.T + torch.cat([block.bias for block in method.head.blocks]).detach().double()


@pytest.mark.parametrize(("length", "total"), [(5, 253_440), (20, 944_640)])
def test_sizes_at_vit_base(length, total):
    method = DualPrompt(vit_base(), e_length=length)
    assert (method.g_layers, method.e_layers) == ((0, 1), (2, 3, 4))
    for task in make_tasks(*[10] * 10):
        method.begin_task(task)
    assert method.g_prompt.shape == (2, 2, 5, 768)
    assert [e.shape for e in method.e_prompts] == [(3, 2, length, 768)] * 10
    assert [k.shape for k in method.keys] == [(768,)] * 10
    parts = (method.g_prompt, *method.e_prompts, *method.keys)
    assert sum(p.numel() for p in parts) == total
    assert sum(p.numel() for p in method.head.parameters()) == 100 * 769


def test_starts_as_published():
    method = build(g_length=300, e_length=300)
    method.begin_task(TASKS[0])
    for values in (method.g_prompt, method.e_prompts[0]):
        assert float(values.detach().abs().max()) <= 1
        assert abs(float(values.detach().var()) - 1 / 3) < 0.02
    method.begin_task(Task(1, tuple(str(k) for k in range(200)), 3))
    block = method.head.blocks[1]
    assert float(block.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert not block.bias.any()


def test_a_new_expert_is_a_copy_and_a_new_key_is_not():
    method = teach(build(), TASKS[:2])
    keys = [key.clone() for key in method.keys]
    method.begin_task(TASKS[2])
    assert torch.equal(method.e_prompts[2], method.e_prompts[1])
    assert method.e_prompts[2].data_ptr() != method.e_prompts[1].data_ptr()
    assert not torch.equal(method.e_prompts[1], method.e_prompts[0])
    assert all(torch.equal(new, old) for new, old in zip(method.keys, keys, strict=False))
    assert not any(torch.equal(method.keys[2], key) for key in keys)
    assert float(method.keys[2].detach().abs().max()) <= 1


def test_only_the_newest_expert_learns_and_the_general_prefix():
    method = teach(build(), TASKS[:2])
    method.begin_task(TASKS[2])
    assert changed_by_steps(method, TASKS[2]) == {
        "g_prompt",
        "e_prompts.2",
        "keys.2",
        "head.blocks.2.weight",
        "head.blocks.2.bias",
    }


def test_each_image_gets_its_own_expert():
    method = taught()
    wanted = [2, 0, 3, 1]
    for image, expert in enumerate(wanted):  # the query itself is the nearest key there is
        method.keys[expert].data.copy_(queries()[image])
    expected = head_by_loops(method, features_by_loops(method, wanted))
    assert torch.allclose(method(images()).double(), expected, atol=1e-5)
    for wrong in ([2, 2, 2, 2], [0, 0, 3, 1], [2, 0, 1, 3]):
        assert not torch.allclose(expected, head_by_loops(method, features_by_loops(method, wrong)), atol=1e-3)


def test_logits_against_loops():
    method = taught()
    keys = torch.stack([*method.keys]).detach().double()
    experts = [max(range(4), key=lambda j: float((q @ keys[j]) / (q.norm() * keys[j].norm()))) for q in queries()]
    expected = head_by_loops(method, features_by_loops(method, experts))
    assert torch.allclose(method(images()).double(), expected, atol=1e-5)


def test_losses_against_loops():
    method = teach(build(pull=0.7), TASKS[:1])
    method.begin_task(TASKS[1])
    method.keys[0].data.copy_(queries()[0])  # an older key is nearer, yet training takes the task's own expert
    method.e_prompts[1].data.mul_(-1)
    labels, key = torch.tensor([3, 4, 4, 3]), method.keys[1].detach().double()
    pull = sum(float((q @ key) / (q.norm() * key.norm())) for q in queries()) / 4
    logits = head_by_loops(method, features_by_loops(method, [1] * 4))[:, 3:]
    entropy = sum(logits[b].exp().sum().log() - logits[b, labels[b] - 3] for b in range(4)) / 4
    terms = method.losses(images(), labels)
    assert terms["pull"].item() == pytest.approx(-0.7 * pull, abs=1e-5)
    assert terms["cross_entropy"].item() == pytest.approx(entropy.item(), abs=1e-5)


def test_keys_learn_from_the_pull_alone():
    method = build()
    method.begin_task(TASKS[0])
    terms = method.losses(images(), torch.tensor([0, 1, 2, 0]))
    key = method.keys[0]
    (gone,) = torch.autograd.grad(terms["cross_entropy"], key, retain_graph=True, allow_unused=True)
    assert gone is None
    assert torch.autograd.grad(terms["pull"], key)[0].any()


def test_a_voting_batch_takes_the_most_frequent_expert():
    alone, voting = taught(), build(batch_vote=True)
    for image, expert in enumerate([2, 3, 2, 1]):
        alone.keys[expert].data.copy_(queries()[image])
    alone.keys[2].data.copy_(queries()[0] / queries()[0].norm() + queries()[2] / queries()[2].norm())
    for task in TASKS:
        voting.begin_task(task)
    voting.load_state_dict(alone.state_dict())
    expected = head_by_loops(voting, features_by_loops(voting, [2] * 4))
    assert torch.allclose(voting(images()).double(), expected, atol=1e-5)
    assert not torch.allclose(alone(images()).double(), expected, atol=1e-3)


def test_published_blocks_on_a_shallow_backbone():
    method = DualPrompt(strong_vit())
    assert (method.g_layers, method.e_layers) == ((0, 1), (1,))
    teach(method, TASKS[:2])
    assert torch.isfinite(method(images())).all()


def test_defaults_fit_the_shipped_backbone():
    method = DualPrompt(glyph_shape())
    for task in TASKS[:2]:
        method.begin_task(task)
    assert (method.g_layers, method.e_layers) == ((0, 1), (2, 3, 4))
    assert has_gradients_everywhere(method)


def test_facts():
    facts = DualPrompt.facts
    assert (facts.rehearsal_free, facts.one_pass, facts.end_to_end) == (True, False, False)
