"""E4: after a power cut each file is the old one or the new one, and what was said to be stored is there."""

from __future__ import annotations

import pytest
from reliability.power import Disk, Recorder, put
from reliability.small_run import Case, bits, train

from sdlora import files
from sdlora.engine import checkpoint, run_folder
from sdlora.engine.checkpoint import Checkpoints

pytestmark = pytest.mark.slow


CASE = Case(method="probe", epochs=1)
FILES = ("recipe.toml", "manifest.json", "matrix.json", "confusion.json", "cost.json")


@pytest.fixture
def recorded(place, monkeypatch):
    """All calls of a run that write, and after which of them what was stored for good."""
    recorder = Recorder()
    promises = []  # (number of calls made, "checkpoint" or a file's name, what was stored)

    def promising(write):
        def call(path, value):
            write(path, value)
            name = "checkpoint" if path.parent.name == "checkpoint" else path.name
            kept = path.read_bytes() if path.is_file() else int(path.name)
            promises.append((len(recorder.events), name, kept))

        return call

    with monkeypatch.context() as patch:
        patch.setattr(files, "os", recorder)
        patch.setattr(files, "shutil", recorder)
        patch.setattr(checkpoint, "write_folder", promising(files.write_folder))
        patch.setattr(run_folder, "write_json", promising(files.write_json))
        patch.setattr(run_folder, "write_atomic", promising(files.write_atomic))
        train(place / "disk" / "deep" / "run", CASE)
    return recorder.events, promises


def test_e4_every_cut_leaves_the_old_or_the_new(place, recorded):
    events, promises = recorded
    assert {name for _, name, _ in promises} == {"checkpoint", *FILES}
    disk, seen = Disk(place), set()
    for number, event in enumerate(events, start=1):
        disk.apply(event)
        for title, found in disk.after_a_cut():
            state = (sum(made <= number for made, *_ in promises), tuple(sorted(found.items())))
            if state in seen:
                continue
            seen.add(state)
            put(found, place / "found")
            check(place / "found" / "disk" / "deep" / "run", number, promises, f"{title} after {number}: {event[:2]}")
    assert len(seen) > 80


def check(folder, number, promises, what):
    stored = [number_of for made, name, number_of in promises if name == "checkpoint" and made <= number]
    found, problems = Checkpoints(folder / "checkpoint").newest()
    assert not problems, what
    if stored:
        numbers = [int(path.name) for path in (folder / "checkpoint").iterdir() if path.name.isdecimal()]
        assert max(numbers) >= stored[-1], what
        assert found is not None, what
    for file in FILES:
        versions = [data for _, name, data in promises if name == file]
        kept = [data for made, name, data in promises if name == file and made <= number]
        if (folder / file).exists():
            later = versions[max(0, len(kept) - 1) :]
            assert (folder / file).read_bytes() in later, f"{file}: {what}"
        else:
            assert not kept, f"{file}: {what}"


def test_e4_a_run_goes_on_after_a_cut(place, recorded):
    events, _ = recorded
    train(place / "unbroken", CASE)
    disk = Disk(place)
    for number, event in enumerate(events):
        disk.apply(event)
        if number % 11 == 5:
            for title, found in disk.after_a_cut():
                put(found, place / "found")
                folder = place / "found" / "disk" / "deep" / "run"
                train(folder, CASE)
                assert bits(folder) == bits(place / "unbroken"), (number, title)
