import copy
from types import SimpleNamespace

import pytest
import torch
from export.taught import small, taught

from sdlora.adapters.inject import adapters_of
from sdlora.datasets.base import AugmentOptions
from sdlora.errors import ConfigError
from sdlora.export import parts_of
from sdlora.export.parts import Parts, plain_backbone

CROP = AugmentOptions(test_crop=1.0)


def test_of_a_learner_they_are_its_own():
    method = taught().method
    learner = SimpleNamespace(method=method, classes=("a", "b"), augment=CROP)
    parts = parts_of(learner, "# Card")
    assert parts.method is method
    assert (parts.classes, parts.augment, parts.card) == (("a", "b"), CROP, "# Card")
    assert parts.shorter_side == 16
    assert parts_of(parts) is parts


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_what_lives_elsewhere_is_copied_to_the_cpu():
    method = copy.deepcopy(taught().method).cuda()
    parts = parts_of(SimpleNamespace(method=method, classes=("a", "b"), augment=CROP))
    assert {value.device.type for value in parts.method.state_dict().values()} == {"cpu"}
    assert {value.device.type for value in method.state_dict().values()} == {"cuda"}
    assert parts.method(torch.rand(1, 3, 16, 16)).shape == (1, 5)


def test_the_plain_backbone_has_the_bits_of_the_pretrained_one():
    parts = taught()
    plain = plain_backbone(parts)
    assert not adapters_of(plain)
    assert adapters_of(parts.backbone.model)
    expected = small("untrained_vit").model.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in plain.state_dict().items())


def test_without_classes_there_is_nothing_to_export():
    with pytest.raises(ConfigError, match="no class was taught yet"):
        Parts(taught().method, ())
