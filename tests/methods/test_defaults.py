"""Options that nobody sets have the values that each method's source trains with on CIFAR-100.

A recipe that leaves an option out relies on these.
"""

import inspect

import pytest

from sdlora.heads.alignment import align
from sdlora.heads.centroids import Centroids
from sdlora.heads.identity import IdentityHead
from sdlora.methods import METHODS

HEAD = {"head": "linear", "head_init": "default", "head_lr_scale": 1.0}
LAYERS = {"layers": None, "max_features": 4096, "adapt_tasks": None}

PUBLISHED = {
    "l2p": {"pool_size": 10, "prompt_length": 5, "num_selected": 5, "pull": 0.1, "batch_vote": False, **HEAD},
    "dualprompt": {
        "g_layers": (0, 1),
        "e_layers": (2, 3, 4),
        "g_length": 5,
        "e_length": 5,
        "pull": 1.0,
        "batch_vote": False,
        **HEAD,
    },
    "coda_prompt": {
        "layers": (0, 1, 2, 3, 4),
        "num_components": 10,
        "prompt_length": 8,
        "orthogonality": 0.0,
        **HEAD,
    },
    "hide_prompt": {
        "layers": (0, 1, 2, 3, 4),
        "prompt_length": 5,
        "momentum": 0.01,
        "contrastive": 0.1,
        "head_lr_scale": 0.1,
        "identity_lr": 5e-4 * 24 / 256,
        "port_layout": False,
    },
    "inflora": {
        "targets": ("qkv:k", "qkv:v"),
        "rank": 10,
        "threshold": 0.95,
        "num_tasks": None,
        "energy": "fourth",
        **HEAD,
        **LAYERS,
    },
    "sdlora": {
        "targets": ("qkv:q", "qkv:v"),
        "rank": 10,
        "preset": "released",
        "rank_schedule": None,
        "distill_threshold": None,
        **HEAD,
        **LAYERS,
    },
    "lora": {
        "targets": ("qkv:q", "qkv:v"),
        "rank": 10,
        "alpha": 10.0,
        **HEAD,
        **LAYERS,
    },
    "ranpac": {"adaptation": "adapter", "adapter_width": None, "projection_dim": None, "dropout": 0.1},
    "ease": {"adapter_width": None, "alpha": 0.1, "refresh": True, "dropout": 0.1},
    "simplecil": {},
}


def defaults(function) -> dict[str, object]:
    """Return the options of a function that have a default, with it."""
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}


@pytest.mark.parametrize("name", PUBLISHED)
def test_of_a_method(name):
    assert defaults(METHODS.get(name)) == PUBLISHED[name]


def test_of_the_fits_inside_hide_prompt():
    assert defaults(align) == {"epochs": 30}
    assert defaults(IdentityHead.fit) == {"epochs": 20}
    assert defaults(Centroids) == {"num_centroids": 10}
