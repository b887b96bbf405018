"""B3, B5, B8, B10: bundles of real learners: loaded, only readable, served while they change, taught in turn."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle import writers
from bundles import contents
from lessons import Stripes, everything, learner, write_stripes
from reliability import worker

from sdlora.bundle import read_config
from sdlora.learner import Learner
from sdlora.methods import METHODS

pytestmark = pytest.mark.slow

OPEN_ENDED = [name for name in METHODS.names() if not METHODS.get(name).joint]
SMALL = {
    "coda_prompt": {"layers": (0, 1)},
    "hide_prompt": {"layers": (0, 1)},
    "dualprompt": {"g_layers": (0,), "e_layers": (1,)},
}


@pytest.mark.parametrize("name", OPEN_ENDED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_b3_a_loaded_model_has_the_same_bits_in_either_precision(name, dtype, place):
    made = learner(name, (0, 1, 2), (3, 4), **SMALL.get(name, {}))
    made.save(place / "m")
    loaded = Learner.load(place / "m", device="cpu")
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        assert np.array_equal(made.predict_proba(everything()), loaded.predict_proba(everything()))


def test_b5_whoever_may_only_read_a_model_can_use_it(place, server):
    """The commands that use a model, run by another user on a folder without a single bit to write."""
    learner("sdlora", (0, 1, 2), (3, 4)).save(place / "m")
    write_stripes(place / "pictures", (0, 1, 2), "test")
    place.chmod(0o755)
    (place / "out").mkdir()
    (place / "out").chmod(0o777)
    (place / "m" / ".lock").unlink()
    for path in [place / "m", *(place / "m").rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = state_of(place / "m")
    ours, theirs = server.Pipe(duplex=False)
    process = server.Process(target=worker.use_model, args=(place / "m", place / "pictures", place / "out", theirs))
    process.start()
    codes = ours.recv()
    process.join()
    assert codes == {"predict": 0, "inspect": 0, "evaluate": 0, "export": 0, "serve": 5}, codes
    assert state_of(place / "m") == before


def state_of(folder: Path) -> dict[str, object]:
    """Return contents, times and modes of all that is in a folder."""
    return {
        path.name: (path.stat().st_mtime_ns, path.stat().st_mode, path.is_file() and path.read_bytes())
        for path in [folder, *folder.rglob("*")]
    }


@pytest.mark.parametrize("damage", ["truncate", "overwrite", "delete"])
def test_b8_a_served_model_does_not_notice_what_happens_to_its_files(place, damage):
    from sdlora.server.served import load_bundle

    learner("sdlora", (0, 1, 2), (3, 4)).save(place / "m")
    served, other = load_bundle(place / "m", device="cpu"), Learner.load(place / "m", device="cpu")
    batch = torch.from_numpy(everything()[:4])
    before = served.probabilities(batch)
    for path in [path for path in (place / "m").rglob("*") if path.is_file()]:
        if damage == "delete":
            path.unlink()
        else:  # in place: whoever had mapped the file would see it, or die
            with path.open("r+b") as file:
                if damage == "overwrite":
                    file.write(os.urandom(path.stat().st_size))
                else:
                    file.truncate(1)
    for _ in range(200):
        assert np.array_equal(served.probabilities(batch), before)
    assert np.array_equal(other.probabilities(batch), before)


@pytest.mark.parametrize("name", ["sdlora", "inflora", "l2p", "ranpac"])
def test_b10_five_processes_teaching_a_lesson_each_equal_one_that_teaches_five(name, place, server):
    lessons = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
    for numbers in lessons:
        ours, theirs = server.Pipe(duplex=False)
        process = server.Process(target=writers.teach_one, args=(place / "m", name, numbers, theirs))
        process.start()
        assert ours.recv() == "taught"
        process.join()
    whole = Learner("untrained_vit", method=name, device="cpu")
    for numbers in lessons:
        whole.learn(Stripes(numbers), epochs=1)
    assert [task.weights for task in read_config(place / "m").tasks] == [task.weights for task in whole.history]
    loaded = Learner.load(place / "m", device="cpu")
    assert np.array_equal(loaded.predict_proba(everything()), whole.predict_proba(everything()))
    whole.save(place / "whole")
    newest = read_config(place / "m").weights.file
    assert contents(place / "whole")[newest] == contents(place / "m")[newest]
