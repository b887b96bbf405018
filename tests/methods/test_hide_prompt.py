import copy

import pytest
import torch
from teaching import SIZE, FixedBatches, data_of, has_gradients_everywhere, make_tasks, teach
from vits import glyph_shape, strong_vit, tokens_of, vit_base

from sdlora.errors import ConfigError
from sdlora.methods import hide_prompt
from sdlora.methods.hide_prompt import HiDePrompt
from sdlora.task import Task, TaskData

TASKS = make_tasks(3, 2, 2)


def build(**options) -> HiDePrompt:
    torch.manual_seed(0)
    return HiDePrompt(strong_vit(), **{"layers": (0, 1), **options})


def images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


def feature_by_loops(image: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
    """Return the class token of an image under a prompt (S, 2, P, D) in blocks 0 and 1."""
    return tokens_of(strong_vit().double(), image, prefixes={0: prompt[0], 1: prompt[1]})[0]


def head_by_loops(method: HiDePrompt, features: torch.Tensor) -> torch.Tensor:
    weight = torch.cat([block.weight for block in method.head.blocks]).detach().double()
    return features @ weight.T + torch.cat([block.bias for block in method.head.blocks]).detach().double()


def rows(method: HiDePrompt) -> list[torch.Tensor]:
    """Return the means of the stored centroids of prompted features."""
    store = method.prompted_centroids
    return [store.means[k, m].double() for k in range(len(store.counts)) for m in range(int(store.counts[k]))]


class Many:
    """Thirty pictures of each class in one batch; the colour tells the class."""

    def __init__(self, task: Task) -> None:
        labels = task.class_offset + torch.arange(30 * task.num_classes) % task.num_classes
        noise = torch.rand(len(labels), 3, SIZE, SIZE, generator=torch.Generator().manual_seed(task.index))
        hue = torch.stack([labels % 2, labels // 2 % 2, labels // 4], dim=1)[:, :, None, None]
        self.batches = [(0.4 * noise + 0.6 * hue, labels)]

    def __iter__(self):
        return iter(self.batches)

    def __len__(self) -> int:
        return 1


def many(task: Task) -> TaskData:
    return TaskData(train=Many(task), plain=Many(task))


@pytest.mark.parametrize(("length", "numbers"), [(5, 38_400), (20, 153_600)])
def test_sizes_at_vit_base(length, numbers):
    method = HiDePrompt(vit_base(), prompt_length=length)
    assert method.layers == (0, 1, 2, 3, 4)
    for task in make_tasks(10, 10):
        method.begin_task(task)
        assert sum(p.numel() for p in method.parameters() if p.requires_grad) == numbers + 10 * 769
    assert [p.shape for p in method.prompts] == [(5, 2, length, 768)] * 2
    assert sum(p.numel() for p in method.identity.parameters()) == 2_363_136 + 20 * 769
    assert sum(p.numel() for p in method.head.parameters()) == 20 * 769


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_a_momentum_is_a_share(momentum):
    with pytest.raises(ConfigError, match=f"momentum = {momentum}"):
        build(momentum=momentum)


def test_a_new_prefix_is_a_copy_of_the_last_as_it_acts():
    method = build(momentum=0.25)
    for task in TASKS:
        method.begin_task(task)
        for prompt in method.prompts[:-1]:
            assert not prompt.requires_grad
        method.prompts[-1].data += torch.randn(method.prompts[-1].shape)  # as if trained
        if task.index == 0:
            acting = [method.prompts[0].detach().clone()]
        else:
            mean = sum(acting) / len(acting)
            acting.append(0.75 * method.prompts[-1].detach() + 0.25 * mean)
        assert torch.allclose(method._prompt(), acting[-1], atol=1e-6)
    method.begin_task(Task(3, ("one more",), 7))
    for prompt, expected in zip(method.prompts, [*acting, acting[-1]], strict=True):
        assert torch.allclose(prompt, expected, atol=1e-6)


def test_the_first_prefix_starts_as_published():
    method = build(prompt_length=300)
    method.begin_task(TASKS[0])
    values = method.prompts[0].detach()
    assert float(values.abs().max()) <= 1
    assert abs(float(values.var()) - 1 / 3) < 0.02
    method.begin_task(Task(1, tuple(str(k) for k in range(200)), 3))
    for block in (method.head.blocks[1], method.identity.head.blocks[1]):
        assert float(block.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
        assert not block.bias.any()


def test_older_prefixes_take_part_without_gradient():
    method = teach(build(momentum=0.25), TASKS[:2])
    method.requires_grad_(True).zero_grad()
    method._prompt().sum().backward()
    assert method.prompts[0].grad is None
    assert torch.equal(method.prompts[1].grad, torch.full_like(method.prompts[1], 0.75))


def test_losses_against_loops():
    method = build(momentum=0.25, contrastive=0.5)
    method = teach(method, TASKS[:1])
    method.begin_task(TASKS[1])
    method.prompts[1].data += torch.randn(method.prompts[1].shape)
    labels = torch.tensor([3, 4, 4, 3])
    prompt = (0.75 * method.prompts[1] + 0.25 * method.prompts[0]).detach()
    features = torch.stack([feature_by_loops(image, prompt) for image in images()])
    logits = head_by_loops(method, features)[:, 3:]
    entropy = sum(logits[b].exp().sum().log() - logits[b, labels[b] - 3] for b in range(4)) / 4
    M = [*rows(method), *features]
    assert len(M) > 4, "centroids of the first task must take part"
    contrast = 0.0
    for i, row in enumerate(M):
        products = torch.stack([row @ other for other in M]) / 0.8
        contrast += float(products.logsumexp(0) - products[i])
    terms = method.losses(images(), labels)
    assert terms["cross_entropy"].item() == pytest.approx(entropy.item(), abs=1e-5)
    assert terms["contrastive"].item() == pytest.approx(0.5 * contrast / len(M), rel=1e-5)


def test_on_the_first_task_the_batch_alone_is_contrasted():
    method = build()
    method.begin_task(TASKS[0])
    assert method.losses(images(1), torch.tensor([0]))["contrastive"].item() == pytest.approx(0, abs=1e-6)


def test_without_the_contrastive_term():
    method = build(contrastive=0.0)
    method.begin_task(TASKS[0])
    assert set(method.losses(images(), torch.tensor([0, 1, 2, 0]))) == {"cross_entropy"}


def test_head_and_prefix_learn_at_different_rates():
    method = teach(build(head_lr_scale=0.1), TASKS[:1])
    method.begin_task(TASKS[1])
    prefix, head = method.param_groups()
    assert prefix["params"][0] is method.prompts[1]
    assert prefix.get("lr_scale", 1.0) == 1.0
    assert [id(p) for p in head["params"]] == [id(p) for p in method.head.blocks[1].parameters()]
    assert head["lr_scale"] == 0.1


def test_prepare_learns_who_is_who():
    method = build(identity_lr=0.01)
    for task in TASKS[:2]:
        learned = {name: value.clone() for name, value in method.identity.state_dict().items()}
        method.begin_task(task)
        assert all(torch.equal(method.identity.state_dict()[name], value) for name, value in learned.items())
        before = copy.deepcopy(method.state_dict())
        method.prepare(many(task))
        changed = {
            name.split(".")[0] for name, value in method.state_dict().items() if not torch.equal(value, before[name])
        }
        assert changed == {"identity", "plain_centroids"}
    assert method.plain_centroids.counts.tolist() == [10] * 5
    assert method.prompted_centroids.counts.tolist() == [0] * 5
    pictures, labels = Many(TASKS[1]).batches[0]
    among_its_own = method.identity(method.backbone(pictures))[:, 3:].argmax(dim=1) + 3
    assert float((among_its_own == labels).float().mean()) > 0.9


def test_the_identity_head_learns_from_augmented_images_and_statistics_are_of_plain_ones(monkeypatch):
    seen = {}
    monkeypatch.setattr(hide_prompt.IdentityHead, "fit", lambda self, f, y, **options: seen.update(identity=f))
    monkeypatch.setattr(hide_prompt.Centroids, "fit", lambda self, f, y: seen.update({id(self): f}))
    method, (task, *_) = build(), TASKS
    train, plain = FixedBatches(task, seed=1), FixedBatches(task, seed=2)
    method.begin_task(task)
    method.prepare(TaskData(train=train, plain=plain))
    method.end_task(TaskData(train=train, plain=plain))
    augmented, centred = (torch.cat([images for images, _ in batches]) for batches in (train, plain))
    prompted = torch.stack([feature_by_loops(image, method.prompts[0].detach()) for image in centred])
    assert torch.equal(seen["identity"], torch.cat([strong_vit()(images) for images, _ in train]))
    assert torch.allclose(seen[id(method.plain_centroids)], strong_vit()(centred), atol=1e-5)
    assert torch.allclose(seen[id(method.prompted_centroids)].double(), prompted, atol=1e-5)
    assert not torch.equal(augmented, centred)


def test_plain_statistics_are_of_the_frozen_features():
    method = build()
    method.begin_task(TASKS[0])
    method.prepare(many(TASKS[0]))
    pictures, labels = Many(TASKS[0]).batches[0]
    total = tokens_of(strong_vit().double(), pictures[0])[0] * 0
    own = [picture for picture, label in zip(pictures, labels, strict=True) if label == 1]
    for picture in own:
        total += tokens_of(strong_vit().double(), picture)[0] / len(own)
    means, _, labels = method.plain_centroids.rows()
    inside = means[labels == 1].double()
    assert (inside.amin(dim=0) - 1e-5 <= total).all()  # the mean of all lies among the means of the parts
    assert (total <= inside.amax(dim=0) + 1e-5).all()


def test_prompted_statistics_are_under_the_prefix_of_the_task():
    method = build(momentum=0.25)
    method.begin_task(TASKS[0])
    task = make_tasks(3, 1)[1]
    method.begin_task(task)
    method.prompts[1].data += torch.randn(method.prompts[1].shape)
    prompt = (0.75 * method.prompts[1] + 0.25 * method.prompts[0]).detach()
    picture = images(1)
    batches = [(picture, torch.tensor([3]))]
    method.prompted_centroids.counts[:3] = 0
    method.end_task(TaskData(train=batches, plain=batches))  # one picture: its feature is the centroid
    (mean,), (variance,), (label,) = method.prompted_centroids.rows()
    assert label == 3
    assert torch.allclose(mean.double(), feature_by_loops(picture[0], prompt), atol=1e-5)
    assert not variance.any()


def test_only_the_end_of_a_later_task_moves_old_rows_of_the_head():
    method = build()
    for task in TASKS[:2]:
        method.begin_task(task)
        method.prepare(many(task))
        before = copy.deepcopy(method.state_dict())
        method.end_task(many(task))
        changed = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
        stored = {f"prompted_centroids.{name}" for name in ("means", "variances", "counts")}
        blocks = {f"head.blocks.{k}.{name}" for k in range(2) for name in ("weight", "bias")} if task.index else set()
        assert changed == stored | blocks
    assert [block.weight.requires_grad for block in method.head.blocks] == [False, True]


def test_alignments_draw_what_the_source_draws(monkeypatch):
    calls = []
    monkeypatch.setattr(
        hide_prompt, "align", lambda head, parameters, centroids, **options: calls.append((head, centroids, options))
    )
    method = build()
    for task in TASKS:
        method.begin_task(task)
        method.prepare(many(task))
        method.end_task(many(task))
    assert [options["num_old"] for _, _, options in calls] == [0, 0, 3, 3, 5, 5]
    for identity, head in zip(calls[::2], calls[1::2], strict=True):
        assert identity[:2] == (method.identity, method.plain_centroids)
        assert identity[2]["num_draws"] == 24
        assert identity[2]["lr"] == pytest.approx(4.69e-4, rel=1e-3)
        assert head[:2] == (method.head, method.prompted_centroids)
        assert (head[2]["num_draws"], head[2]["lr"]) == (120, 0.005)
    assert len(method.prompted_centroids.rows()[0]) == 7 * 10  # 70 * 120 draws to choose from, 5 * 120 used an epoch


def test_the_identity_head_learns_at_the_published_rate(monkeypatch):
    rates = []
    monkeypatch.setattr(hide_prompt.IdentityHead, "fit", lambda self, f, y, **options: rates.append(options))
    method = build()
    method.begin_task(TASKS[0])
    method.prepare(data_of(TASKS[0]))
    assert rates == [{"lr": pytest.approx(4.69e-5, rel=1e-3), "batch_size": 6}]


def test_each_image_gets_the_prefix_of_the_task_it_seems_to_be_of():
    method = teach(build(momentum=0.25), TASKS)
    for prompt in method.prompts:
        prompt.data.uniform_(-3, 3)
    plain, wanted = strong_vit().double(), [4, 0, 6, 3]  # classes of tasks 1, 0, 2, 1
    queries = torch.stack([tokens_of(plain, image)[0] for image in images()])
    method.identity.forward = lambda features: torch.eye(7)[
        [wanted[int((queries - feature).square().sum(dim=1).argmin())] for feature in features.double()]
    ]
    prompts = [p.detach() for p in method.prompts]
    prompts[2] = 0.75 * prompts[2] + 0.25 * (prompts[0] + prompts[1]) / 2
    features = [feature_by_loops(image, prompts[task]) for image, task in zip(images(), (1, 0, 2, 1), strict=True)]
    expected = head_by_loops(method, torch.stack(features))
    assert torch.allclose(method(images()).double(), expected, atol=1e-5)
    for task in range(3):
        wrong = torch.stack([feature_by_loops(image, prompts[task]) for image in images()])
        assert not torch.allclose(expected, head_by_loops(method, wrong), atol=1e-3)


def test_the_released_layout_mixes_a_batch_up():
    method = build(port_layout=True)
    method.begin_task(TASKS[0])
    prompts = torch.rand(5, 2, 2, 3, 32)  # (N, S, 2, P, D)
    with torch.no_grad():
        got = method._features(images(5), prompts)
    for image in range(5):
        mixed = []
        for block in (0, 1):
            flat = [prompts[b, block, d] for d in (0, 1) for b in range(5)]  # all keys, then all values
            mixed.append(torch.stack([flat[2 * image], flat[2 * image + 1]]))
        expected = feature_by_loops(images(5)[image], torch.stack(mixed))
        assert torch.allclose(got[image].double(), expected, atol=1e-5)
    right = build()
    right.begin_task(TASKS[0])
    assert not torch.allclose(right._features(images(5), prompts), got, atol=1e-3)


def sorted_by_class(batch_size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return 50 numbered images of class 0, then 30 of class 1, in batches."""
    numbers, labels = torch.arange(80), (torch.arange(80) >= 50).long()
    pictures = numbers[:, None, None, None].expand(-1, 3, SIZE, SIZE).float() / 80
    return list(zip(pictures.split(batch_size), labels.split(batch_size), strict=True))


@pytest.mark.parametrize("batch_size", [7, 24, 256])
def test_under_the_released_layout_statistics_are_of_passes_of_24_shuffled_images_of_a_class(batch_size):
    method, passes = build(port_layout=True), []
    method.begin_task(TASKS[0])
    right = method._features

    def watching(pictures, prompts):
        passes.append((pictures[:, 0, 0, 0] * 80).round().long().tolist())
        return right(pictures, prompts)

    method._features = watching
    plain = sorted_by_class(batch_size)
    method.end_task(TaskData(train=plain, plain=plain))
    assert sorted(len(numbers) for numbers in passes) == [2, 6, 24, 24, 24]
    assert all(len({number >= 50 for number in numbers}) == 1 for numbers in passes)
    assert sorted(number for numbers in passes for number in numbers) == list(range(80))
    assert all(numbers != sorted(numbers) for numbers in passes if len(numbers) == 24)
    assert method.prompted_centroids.counts.tolist() == [10, 10, 0]


def test_without_it_statistics_take_the_batches_as_they_come():
    method, sizes = build(), []
    method.begin_task(TASKS[0])
    right = method._features
    method._features = lambda pictures, prompts: sizes.append(len(pictures)) or right(pictures, prompts)
    plain = sorted_by_class(256)
    method.end_task(TaskData(train=plain, plain=plain))
    assert sizes == [80]


def test_statistics_are_part_of_the_state_and_counted():
    method = build()
    method.begin_task(TASKS[0])
    method.prepare(many(TASKS[0]))
    method.end_task(many(TASKS[0]))
    state = method.state_dict()
    for store in ("plain_centroids", "prompted_centroids"):
        assert state[f"{store}.means"].shape == (3, 10, 32)
        assert state[f"{store}.counts"].tolist() == [10] * 3
    assert method.report() == {"stored_statistics": 3 * 2 * 10 * 2 * 32}


def test_defaults_fit_the_shipped_backbone():
    method = HiDePrompt(glyph_shape())
    for task in TASKS[:2]:
        method.begin_task(task)
    assert method.layers == (0, 1, 2, 3, 4)
    assert has_gradients_everywhere(method)


def test_facts():
    facts = HiDePrompt.facts
    assert (facts.rehearsal_free, facts.one_pass, facts.end_to_end) == (False, False, True)
