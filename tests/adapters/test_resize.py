import pytest
import torch
from torch import nn

from sdlora.adapters.resize import adopt_shapes_


class Growing(nn.Module):
    def __init__(self, rows, columns=3):
        super().__init__()
        self.learned = nn.Parameter(torch.randn(rows, columns))
        self.register_buffer("kept", torch.randn(columns, rows))

    def _load_from_state_dict(self, state_dict, prefix, *args):
        adopt_shapes_(self, state_dict, prefix, {"learned": 0, "kept": 1})
        super()._load_from_state_dict(state_dict, prefix, *args)


@pytest.mark.parametrize("rows", [0, 2, 5])
def test_takes_over_the_stored_number_of_rows(rows):
    source, target = nn.Sequential(Growing(rows)), nn.Sequential(Growing(4))
    target.load_state_dict(source.state_dict(), strict=True)
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value)
    assert isinstance(target[0].learned, nn.Parameter)
    assert target[0].learned.requires_grad == (rows > 0)


def test_an_unchanged_shape_keeps_the_parameter():
    target = Growing(4)
    learned = target.learned
    target.load_state_dict(Growing(4).state_dict())
    assert target.learned is learned


def test_other_dimensions_stay_strict():
    with pytest.raises(RuntimeError, match="size mismatch for learned"):
        Growing(4).load_state_dict(Growing(2, columns=5).state_dict())


def test_missing_keys_stay_strict():
    state = Growing(2).state_dict()
    del state["kept"]
    with pytest.raises(RuntimeError, match=r'Missing key.*"kept"'):
        Growing(4).load_state_dict(state)
