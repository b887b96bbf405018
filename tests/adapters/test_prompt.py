import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.vision_transformer import VisionTransformer
from vits import strong_vit, tokens_of

from sdlora.adapters.prompt import class_position, cosine, highest, inject_prompt, prompted, uniform, vote
from sdlora.errors import ConfigError

WIDTH = 32


def images(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def small_vit(**options) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(
        img_size=16, patch_size=8, embed_dim=WIDTH, depth=1, num_heads=2, num_classes=0, **options
    ).eval()


def test_tokens_are_those_of_the_equation():
    backbone, plain = strong_vit(), strong_vit().double()
    inject_prompt(backbone.model)
    prompt = torch.randn(3, 6, WIDTH, generator=torch.Generator().manual_seed(1))
    with prompted(prompt + class_position(backbone.model)):
        got = backbone.tokens(images())
    assert got.shape == (3, 1 + 6 + 4, WIDTH)
    for sample, tokens in enumerate(got):
        assert torch.allclose(tokens.double(), tokens_of(plain, images()[sample], prompt=prompt[sample]), atol=1e-5)


def test_without_a_prompt_every_bit_and_key_stays():
    backbone = strong_vit()
    expected, keys = backbone(images()), list(backbone.state_dict())
    inject_prompt(backbone.model)
    inject_prompt(backbone.model)
    assert torch.equal(backbone(images()), expected)
    assert list(backbone.state_dict()) == keys


def test_an_error_leaves_no_prompt_behind():
    backbone = strong_vit()
    inject_prompt(backbone.model)
    with pytest.raises(RuntimeError, match="stop"), prompted(torch.zeros(3, 2, WIDTH)):
        raise RuntimeError("stop")
    assert backbone.tokens(images()).shape == (3, 5, WIDTH)


def test_the_prompt_stands_behind_register_tokens():
    model, seen = small_vit(reg_tokens=2), []
    inject_prompt(model)
    model.norm_pre.register_forward_hook(lambda module, args, output: seen.append(output))
    with prompted(torch.full((3, 4, WIDTH), 9.0)):
        model(images())
    assert seen[0].shape == (3, 3 + 4 + 4, WIDTH)
    assert (seen[0] == 9).all(dim=2).tolist() == [[False] * 3 + [True] * 4 + [False] * 4] * 3


@pytest.mark.parametrize(
    "options",
    [{"no_embed_class": True}, {"pos_embed": "none"}, {"class_token": False, "global_pool": "avg"}],
)
def test_a_class_token_without_position_gives_none(options):
    assert torch.equal(class_position(small_vit(**options)), torch.zeros(1, 1, WIDTH))


def test_class_position_is_the_first():
    model = small_vit()
    assert torch.equal(class_position(model)[0, 0], model.pos_embed[0, 0])


def test_cosine_against_loops():
    torch.manual_seed(0)
    query, keys = torch.randn(3, 7), 5 * torch.randn(4, 7)
    for n, q in enumerate(query.double()):
        for m, k in enumerate(keys.double()):
            expected = sum(a * b for a, b in zip(q, k, strict=True)) / (q.square().sum() * k.square().sum()).sqrt()
            assert float(cosine(query, keys)[n, m]) == pytest.approx(float(expected), abs=1e-6)


def test_cosine_has_float32_in_every_precision():
    torch.manual_seed(0)
    query, keys = torch.randn(3, 64), torch.randn(4, 64)
    with torch.autocast("cpu", torch.bfloat16):
        got = cosine(query, keys)
    assert got.dtype == torch.float32
    assert torch.equal(got, cosine(query, keys))


def test_a_query_of_zeros_is_near_nothing():
    assert torch.equal(cosine(torch.zeros(1, 3), torch.ones(2, 3)), torch.zeros(1, 2))


def test_highest_takes_the_lowest_place_of_equals():
    similarity = torch.tensor([[0.5, 0.9, 0.5, 0.9, 0.1], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert highest(similarity, 3).tolist() == [[1, 3, 0], [0, 1, 2]]


def test_vote_by_hand():
    chosen = torch.tensor([[4, 1], [1, 3], [3, 0]])  # two votes for 1 and 3, one for 0 and 4
    assert vote(chosen, 6).tolist() == [[1, 3]] * 3


@settings(deadline=None)
@given(st.lists(st.permutations(range(6)), min_size=1, max_size=5), st.integers(1, 6))
def test_vote_takes_the_most_frequent(rows, count):
    chosen = torch.tensor(rows)[:, :count]
    votes = [chosen.flatten().tolist().count(place) for place in range(6)]
    expected = sorted(range(6), key=lambda place: (-votes[place], place))[:count]
    assert vote(chosen, 6).tolist() == [expected] * len(rows)
    assert all(votes[place] > 0 for place in expected)


def test_a_prompt_without_entries_is_refused():
    with pytest.raises(ConfigError, match=r"prompts of shape \(10, 0, 4\)"):
        uniform(10, 0, 4, device=torch.device("cpu"))


def test_uniform_fills_minus_one_to_one():
    torch.manual_seed(0)
    prompt = uniform(100, 100, device=torch.device("cpu"))
    assert prompt.requires_grad
    values = prompt.detach()
    assert float(values.min()) >= -1
    assert float(values.max()) <= 1
    assert abs(float(values.mean())) < 0.02  # standard error 0.006
    assert abs(float(values.var()) - 1 / 3) < 0.02
