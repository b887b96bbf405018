import pytest

from sdlora.backbones.vit import SHIPPED
from sdlora.learner.defaults import FEWEST_EPOCHS, MOST_EPOCHS, STEPS, augment_for, default_epochs, lesson_options
from sdlora.methods import METHODS


@pytest.mark.parametrize("method", [name for name in METHODS if not METHODS.get(name).joint])
def test_every_method_has_settings_for_letters_and_for_photographs(method):
    for backbone in (SHIPPED, "vit_base_patch16_224.augreg2_in21k_ft_in1k"):
        options = lesson_options(backbone, method, seed=7, device="cpu")
        assert (options.seed, options.device, options.precision) == (7, "cpu", "float32")
        assert options.batch_size >= 1
        assert options.optim.lr > 0 or METHODS.get(method).num_epochs == 0


def test_a_lesson_takes_about_as_many_steps_whatever_its_size():
    for images in (100, 200, 400, 800):
        steps = default_epochs(images, 32) * -(-images // 32)
        assert abs(steps - STEPS) <= 0.15 * STEPS
    assert default_epochs(5, 32) == MOST_EPOCHS
    assert default_epochs(100_000, 32) == FEWEST_EPOCHS


def test_letters_are_not_mirrored_and_photographs_are():
    assert not augment_for(SHIPPED).flip
    assert augment_for("vit_base_patch16_224.augreg2_in21k_ft_in1k").flip
