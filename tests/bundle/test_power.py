"""E4: after a power cut a bundle is the old one or the new one, and a lesson that was said to be saved is there."""

import pytest
from bundle.writers import is_consistent, lesson
from bundles import give_base, tensors, with_base
from reliability.power import Disk, Recorder, put

from sdlora import files
from sdlora.bundle import commit_lesson, is_bundle

pytestmark = pytest.mark.slow

GENERATIONS = 4


@pytest.mark.parametrize("place", ["backbone elsewhere", "backbone in the bundle"])
def test_e4_every_cut_leaves_the_old_or_the_new(place, tmp_path, monkeypatch):
    recorder, saved = Recorder(), []
    described = lesson if place == "backbone elsewhere" else lambda number: with_base(lesson(number))
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", recorder)
        for number in range(1, GENERATIONS + 1):
            parent = number - 1 or None
            commit_lesson(
                tmp_path / "disk" / "shop",
                described(number),
                tensors(number),
                parent_generation=parent,
                give_base=give_base,
            )
            saved.append(len(recorder.events))
    assert sum(event[0] == "link" for event in recorder.events) == GENERATIONS
    disk, seen = Disk(tmp_path), set()
    for number, event in enumerate(recorder.events, start=1):
        disk.apply(event)
        for title, found in disk.after_a_cut():
            promised = sum(calls <= number for calls in saved)
            state = (promised, tuple(sorted(found.items())))
            if state in seen:
                continue
            seen.add(state)
            put(found, tmp_path / "found")
            shop, what = tmp_path / "found" / "disk" / "shop", f"{title} after {number}: {event[:2]}"
            generation = is_consistent(shop) if is_bundle(shop) else 0
            assert promised <= generation <= promised + 1, what
    assert len(seen) > 50
