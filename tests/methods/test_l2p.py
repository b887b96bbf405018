import pytest
import torch
from teaching import data_of, has_gradients_everywhere, make_tasks, teach
from vits import glyph_shape, strong_vit, tokens_of, vit_base

from sdlora.errors import ConfigError
from sdlora.methods.l2p import L2P

TASKS = make_tasks(3, 2)


def build(**options) -> L2P:
    torch.manual_seed(0)
    return L2P(strong_vit(), **options)


def images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def chosen_by_loops(method: L2P, pictures: torch.Tensor) -> tuple[list[list[float]], list[list[int]]]:
    """Return the cosines to all keys and the places of the highest, from the definition."""
    plain, cosines, places = strong_vit().double(), [], []
    for picture in pictures:
        q = tokens_of(plain, picture)[0]
        row = [float((q * k).sum() / (q.norm() * k.norm())) for k in method.keys.detach().double()]
        cosines.append(row)
        places.append(sorted(range(len(row)), key=lambda j: (-row[j], j))[: method.num_selected])
    return cosines, places


def features_by_loops(method: L2P, pictures: torch.Tensor, places: list[list[int]]) -> torch.Tensor:
    plain, rows = strong_vit().double(), []
    for picture, own in zip(pictures, places, strict=True):
        prompt = torch.cat([method.prompts[place].detach() for place in own])
        rows.append(tokens_of(plain, picture, prompt=prompt)[1 : 1 + len(prompt)].mean(dim=0))
    return torch.stack(rows)


def test_sizes_at_vit_base():
    method = L2P(vit_base())
    assert method.prompts.shape == (10, 5, 768)
    assert method.keys.shape == (10, 768)
    assert sum(p.numel() for p in method.parameters() if p.requires_grad) == 46_080
    method.begin_task(make_tasks(10)[0])
    assert sum(p.numel() for p in method.parameters() if p.requires_grad) == 46_080 + 10 * 769
    lengths = []
    handle = method.backbone.model.norm.register_forward_hook(lambda m, args, out: lengths.append(out.shape[1]))
    assert method(torch.rand(1, 3, 224, 224)).shape == (1, 10)
    handle.remove()
    assert lengths == [197, 222]


def test_starts_as_published():
    method = build(pool_size=200)
    method.begin_task(TASKS[0])
    for values in (method.prompts.detach(), method.keys.detach()):
        assert float(values.abs().max()) <= 1
        assert abs(float(values.var()) - 1 / 3) < 0.02
    block = method.head.blocks[0]
    assert 0.01 < float(block.weight.detach().std()) < 0.03
    assert not block.bias.any()


def test_logits_against_loops():
    method = teach(build(), TASKS)
    _, places = chosen_by_loops(method, images())
    assert len({tuple(own) for own in places}) > 1, "the pictures must differ in their prompts"
    weight = torch.cat([block.weight for block in method.head.blocks]).double()
    bias = torch.cat([block.bias for block in method.head.blocks]).double()
    expected = features_by_loops(method, images(), places) @ weight.T + bias
    assert torch.allclose(method(images()).double(), expected, atol=1e-5)


def test_losses_against_loops():
    method = teach(build(pull=0.3), TASKS[:1])
    method.begin_task(TASKS[1])
    labels = torch.tensor([3, 4, 4, 3])
    cosines, places = chosen_by_loops(method, images())
    pull = sum(cosines[b][j] for b in range(4) for j in places[b]) / 4  # a sum over keys, a mean over images
    block = method.head.blocks[1]
    logits = features_by_loops(method, images(), places) @ block.weight.double().T + block.bias.double()
    entropy = sum(logits[b].exp().sum().log() - logits[b, labels[b] - 3] for b in range(4)) / 4
    terms = method.losses(images(), labels)
    assert terms["pull"].item() == pytest.approx(-0.3 * pull, abs=1e-5)
    assert terms["cross_entropy"].item() == pytest.approx(entropy.item(), abs=1e-5)


def test_keys_learn_from_the_pull_alone():
    method = build()
    method.begin_task(TASKS[0])
    terms = method.losses(images(), torch.tensor([0, 1, 2, 0]))
    (gone,) = torch.autograd.grad(terms["cross_entropy"], method.keys, retain_graph=True, allow_unused=True)
    assert gone is None
    (gone,) = torch.autograd.grad(terms["pull"], method.prompts, retain_graph=True, allow_unused=True)
    assert gone is None
    assert torch.autograd.grad(terms["pull"], method.keys)[0].any()


def test_what_was_not_chosen_keeps_its_bits():
    method = teach(build(pool_size=20, num_selected=2), TASKS[:1])
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method.begin_task(TASKS[1])
    assert torch.equal(method.prompts, before["prompts"]), "nothing is copied between tasks"
    optimizer = torch.optim.Adam([p for group in method.param_groups() for p in group["params"]], lr=0.01)
    used: set[int] = set()
    for pictures, labels in data_of(TASKS[1]).train:
        used |= set(method._choose(pictures)[1].flatten().tolist())
        optimizer.zero_grad()
        sum(method.losses(pictures, labels).values()).backward()
        optimizer.step()
    idle = sorted(set(range(20)) - used)
    assert idle
    for name in ("prompts", "keys"):
        after = method.get_parameter(name)
        assert torch.equal(after[idle], before[name][idle]), name
        assert not any(torch.equal(after[place], before[name][place]) for place in used), name
    assert torch.equal(method.head.blocks[0].weight, before["head.blocks.0.weight"])
    for name, value in method.backbone.state_dict().items():
        assert torch.equal(value, before[f"backbone.{name}"]), name


def test_the_pull_brings_keys_nearer():
    method = build(pull=1.0)
    method.begin_task(TASKS[0])
    optimizer = torch.optim.Adam([method.keys], lr=0.05)
    first = method.losses(images(), torch.tensor([0, 1, 2, 0]))["pull"].item()
    for _ in range(20):
        optimizer.zero_grad()
        last = method.losses(images(), torch.tensor([0, 1, 2, 0]))["pull"]
        last.backward()
        optimizer.step()
    assert last.item() < first - 0.5
    assert last.item() >= -5.0 - 1e-5  # five cosines


def test_a_voting_batch_shares_its_prompts():
    alone, voting = teach(build(), TASKS), build(batch_vote=True)
    for task in TASKS:
        voting.begin_task(task)
    voting.load_state_dict(alone.state_dict())
    _, places = chosen_by_loops(alone, images(8))
    votes = [sum(own.count(j) for own in places) for j in range(10)]
    shared = sorted(range(10), key=lambda j: (-votes[j], j))[:5]
    assert voting._choose(images(8))[1].tolist() == [shared] * 8
    assert not torch.allclose(voting(images(8)), alone(images(8)), atol=1e-4)
    assert torch.allclose(voting(images(1)), alone(images(1)), atol=1e-6)


def test_the_loss_of_a_voting_batch_is_over_the_prompts_it_shares():
    method = teach(build(batch_vote=True), TASKS[:1])
    cosines, places = chosen_by_loops(method, images(8))
    votes = [sum(own.count(j) for own in places) for j in range(10)]
    shared = sorted(range(10), key=lambda j: (-votes[j], j))[:5]
    assert any(sorted(own) != sorted(shared) for own in places)
    block, labels = method.head.blocks[0], torch.arange(8) % 3
    logits = features_by_loops(method, images(8), [shared] * 8) @ block.weight.double().T + block.bias.double()
    entropy = sum(logits[b].exp().sum().log() - logits[b, labels[b]] for b in range(8)) / 8
    terms = method.losses(images(8), labels)
    assert terms["pull"].item() == pytest.approx(-0.1 * sum(row[j] for row in cosines for j in shared) / 8, abs=1e-5)
    assert terms["cross_entropy"].item() == pytest.approx(entropy.item(), abs=1e-5)


@pytest.mark.parametrize("count", [0, 11])
def test_more_prompts_than_there_are(count):
    with pytest.raises(ConfigError, match=f"num_selected = {count}"):
        build(num_selected=count)


def test_defaults_fit_the_shipped_backbone():
    method = L2P(glyph_shape())
    for task in TASKS[:2]:
        method.begin_task(task)
    assert method.prompts.shape == (10, 5, 192)
    assert has_gradients_everywhere(method)


def test_facts():
    assert (L2P.facts.rehearsal_free, L2P.facts.one_pass, L2P.facts.end_to_end) == (True, False, False)
