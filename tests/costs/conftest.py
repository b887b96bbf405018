import pytest
import torch
from teaching import make_tasks

from sdlora.backbones.vit import load_backbone
from sdlora.costs import teach_made_up
from sdlora.methods import METHODS

TASKS = make_tasks(2, 2, 2)


@pytest.fixture
def taught():
    """Make a method that has learned three tasks of two made-up classes, with images and labels of the last."""

    def make(name, **options):
        torch.manual_seed(0)
        method = METHODS.get(name)(load_backbone("untrained_vit"), **options)
        return method, *teach_made_up(method, TASKS)

    return make
