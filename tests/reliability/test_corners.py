"""N6, T1: data at the edge of sense gives a result or a clear refusal; other processes compute the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reliability.small_run import IMAGE_SIZE, Case, bits, manifest, train

from sdlora.backbones.vit import load_backbone
from sdlora.datasets.base import AugmentOptions, Dataset, Split
from sdlora.engine import fit
from sdlora.errors import SDLoRAError
from sdlora.methods import METHODS
from sdlora.streams import make_stream

pytestmark = pytest.mark.slow


def dataset(sizes, images=None):
    """A dataset with so many training images in each class; one test image in each."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    generator = np.random.default_rng(0)

    def pictures(count):
        if images is not None:
            return np.broadcast_to(images, (count, IMAGE_SIZE, IMAGE_SIZE, 3))
        return generator.integers(0, 256, (count, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)

    names = tuple(f"class {index}" for index in range(len(sizes)))
    train_split = Split(pictures(len(labels)), labels)
    test_split = Split(pictures(len(sizes)), np.arange(len(sizes)))
    return Dataset("corner", names, train_split, test_split, AugmentOptions(test_crop=1.0))


CORNERS = {
    "one class": lambda: make_stream(dataset([5]), num_tasks=1),
    "one class a task": lambda: make_stream(dataset([4, 4]), num_tasks=2),
    "one image": lambda: make_stream(dataset([1]), num_tasks=1),
    "one image a class": lambda: make_stream(dataset([1, 1, 1, 1]), num_tasks=2),
    "black": lambda: make_stream(dataset([4, 4], np.uint8(0)), num_tasks=2),
    "white": lambda: make_stream(dataset([4, 4], np.uint8(255)), num_tasks=2),
    "all labels but one equal": lambda: make_stream(dataset([15, 1]), num_tasks=1),
    "an empty class": lambda: make_stream(dataset([4, 0, 4]), num_tasks=1),
}


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("method", METHODS.names())
def test_n6_corner_data(place, method, corner):
    case = Case(method=method, epochs=1)
    try:
        stream = CORNERS[corner]()
        result = fit(case.make_method, stream, case.options(), place / "run", recipe=case.recipe())
    except SDLoRAError as error:
        assert error.exit_code == 2  # noqa: PT017, one of two outcomes
        assert corner == "an empty class"
        return
    assert result.status == "finished"
    assert result.totals[-1] == [group.num_classes for group in stream.groups]


@pytest.mark.parametrize("method", ["lora", "sdlora", "simplecil"])
def test_n6_two_thousand_classes(place, method):
    many = make_stream(dataset([1] * 2000), num_tasks=2)
    case = Case(method=method, epochs=1, batch_size=500)
    result = fit(case.make_method, many, case.options(), place / "run", recipe=case.recipe())
    assert result.totals == [[1000, None], [1000, 1000]]


SCRIPT = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
from reliability.small_run import Case, train
train(Path(sys.argv[1]), Case())
"""


def test_t1_other_processes_compute_the_same_bits(place):
    """Three fresh interpreters, each with another hash seed, home, locale and level of optimisation."""
    train(place / "here", Case())
    root = Path(__file__).parents[2]
    for number, options in enumerate(([], ["-O"], ["-X", "utf8=0"])):
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{root / 'src'}:{root / 'tests'}",
            "PYTHONHASHSEED": str(number),
            "LC_ALL": ("C", "C.UTF-8", "POSIX")[number],
            "HOME": str(place / "no home"),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, *options, "-c", SCRIPT, str(place / f"there{number}")]
        done = subprocess.run(
            command, env=environment, cwd=place, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert bits(place / f"there{number}") == bits(place / "here")
        assert _lasting(place / f"there{number}") == _lasting(place / "here")


def _lasting(folder):
    """Return the manifest without the times."""
    told = manifest(folder)
    return {key: value for key, value in told.items() if key not in ("started", "finished", "seconds")}


def test_images_become_what_the_backbone_takes(place):
    stream = make_stream(dataset([4, 4]), num_tasks=2)
    probe = METHODS.get("probe")
    options = Case().options()
    result = fit(
        lambda: probe(load_backbone("untrained_vit", image_size=32)), stream, options, place / "run", recipe={}
    )
    assert result.status == "finished"
