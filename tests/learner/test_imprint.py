import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lessons import Stripes, everything, learner

from sdlora.errors import DataError
from sdlora.learner.imprint import BLEND


def rows(made):
    head = made.method.head
    return torch.cat([block.weight for block in head.blocks]), torch.cat([block.bias for block in head.blocks])


def mean_feature(made, pictures, turns):
    turned = np.ascontiguousarray(np.rot90(pictures, turns, axes=(1, 2)))
    with torch.no_grad():
        return made.backbone(torch.from_numpy(turned).permute(0, 3, 1, 2).float() / 255).mean(0)


def direction(made, numbers):
    data = Stripes(numbers)
    pictures = np.stack([data[index][0] for index in range(len(data))])
    others = torch.stack([mean_feature(made, pictures, turns) for turns in (1, 2, 3)]).mean(0)
    return F.normalize(mean_feature(made, pictures, 0) - others, dim=0)


@pytest.mark.parametrize("method", ["sdlora", "lora", "inflora", "probe", "finetune"])
def test_a_lesson_of_one_class_adds_its_row_and_moves_nothing_else(method):
    made = learner(method, (0, 1, 2))
    (weight, bias), before = rows(made), made.predict_proba(everything())
    record = made.learn(Stripes((5,)), holdout=0)
    new_weight, new_bias = rows(made)
    assert torch.equal(new_weight[:-1], weight)
    expected = weight.norm(dim=1).mean() * direction(made, (5,))
    torch.testing.assert_close(new_weight[-1], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(new_bias[-1], bias.mean())
    after = made.predict_proba(everything())
    np.testing.assert_allclose(after[:, :3] / after[:, :3].sum(1, keepdims=True), before, atol=1e-6)
    assert (record.epochs, record.is_imprinted, made.num_seen) == (0, True, 4)


@pytest.mark.parametrize("method", ["simplecil", "ranpac", "ease"])
def test_methods_of_class_means_take_one_class_as_they_take_many(method):
    made = learner(method, (0, 1, 2), (5,))
    assert not made.history[-1].is_imprinted
    assert made.predict_proba(everything()).shape[1] == 4


def test_lessons_of_one_and_of_many_follow_each_other(tmp_path):
    made = learner("sdlora", (0, 1), (2,), (3, 4), (5,))
    made.save(tmp_path / "m")
    loaded = type(made).load(tmp_path / "m", device="cpu")
    assert np.array_equal(loaded.predict_proba(everything()), made.predict_proba(everything()))
    loaded.learn(Stripes((6, 7)), epochs=1)
    assert loaded.classes == tuple(f"stripes {number}" for number in (0, 1, 2, 3, 4, 5, 6, 7))


def test_a_method_that_can_do_neither_says_so():
    made = learner("l2p", (0, 1))
    with pytest.raises(DataError, match="one new class alone cannot be learned by this method"):
        made.learn(Stripes((5,)))
    with pytest.raises(DataError, match="known classes cannot be taught again with this method"):
        made.learn(Stripes((1,)), update=True)
    assert made.num_tasks == 1


def test_known_classes_turn_towards_their_new_images():
    made = learner("probe", (0, 1, 2))
    weight, bias = rows(made)
    record = made.learn(Stripes((1,)), update=True, holdout=0)
    new_weight, new_bias = rows(made)
    assert torch.equal(new_weight[[0, 2]], weight[[0, 2]])
    assert torch.equal(new_bias, bias)
    turned = (1 - BLEND) * F.normalize(weight[1], dim=0) + BLEND * direction(made, (1,))
    torch.testing.assert_close(new_weight[1], weight[1].norm() * F.normalize(turned, dim=0), atol=1e-5, rtol=0)
    assert (record.classes, record.updated, record.epochs) == ((), ("stripes 1",), 0)


def test_new_and_known_classes_in_one_lesson():
    made = learner("sdlora", (0, 1))
    record = made.learn(Stripes((1, 2, 3)), epochs=1, update=True)
    assert (record.classes, record.updated) == (("stripes 2", "stripes 3"), ("stripes 1",))
    assert made.num_seen == 4
