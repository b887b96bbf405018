import pytest
import torch
from torch import nn

from sdlora.adapters.moments import input_moments


def batches(count: int = 3, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2 + n, 5, 4, generator=generator).to(dtype) + 1 for n in range(count)]


def test_is_the_mean_outer_product_of_every_token():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    first, second = input_moments([model[0], model[2]], lambda: [model(x) for x in batches()])
    tokens = torch.cat([x.flatten(0, 1) for x in batches()]).double()
    expected = sum(torch.outer(x, x) for x in tokens) / len(tokens)
    hidden = model[1](model[0](tokens.float())).detach().double()
    assert first.dtype == torch.float64
    assert torch.allclose(first, expected, rtol=1e-6)
    assert torch.allclose(second, sum(torch.outer(x, x) for x in hidden) / len(hidden), rtol=1e-5)


def test_does_not_depend_on_how_tokens_are_batched():
    layer, x = nn.Linear(4, 4).double(), torch.cat([b.double() for b in batches()])
    (whole,) = input_moments([layer], lambda: layer(x))
    (parts,) = input_moments([layer], lambda: [layer(part) for part in x.split(2)])
    assert torch.allclose(whole, parts, rtol=1e-14)


def test_autocast_does_not_round_the_products():
    layer, x = nn.Linear(4, 4), batches()[0]
    (exact,) = input_moments([layer], lambda: layer(x))
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = input_moments([layer], lambda: layer(x))
    assert torch.equal(found, exact)


def test_leaves_no_hook_even_after_an_error():
    layer = nn.Linear(4, 4)

    def stop() -> None:
        raise RuntimeError("stop")

    input_moments([layer], lambda: layer(torch.ones(1, 4)))
    with pytest.raises(RuntimeError, match="stop"):
        input_moments([layer], stop)
    assert not layer._forward_pre_hooks


def test_takes_no_gradient():
    layer = nn.Linear(4, 4)
    (found,) = input_moments([layer], lambda: layer(torch.ones(1, 4)))
    assert not found.requires_grad
