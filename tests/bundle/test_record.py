"""A measurement on record: a new generation of the same weights."""

import pytest
import torch
from bundles import contents

from sdlora.bundle import MeasuredTask, Measurement, read_bundle, read_config, record, undo
from sdlora.bundle import commit as module
from sdlora.bundle.config import MAX_MEASURED
from sdlora.errors import BusyError


def measurement(name="test", accuracy=0.75):
    part = MeasuredTask(task=1, num_images=8, accuracy=accuracy)
    return Measurement(name=name, sha256="0" * 64, num_images=8, accuracy=accuracy, tasks=(part,), date="2026-01-02")


def test_it_changes_nothing_else(shop):
    before = read_bundle(shop)
    config = record(shop, 2, measurement())
    after = read_bundle(shop)
    assert config == after.config
    assert after.config.measured == (measurement(),)
    assert after.config.generation == 3
    assert after.config.tasks == before.config.tasks
    assert after.config.weights == before.config.weights
    assert all(torch.equal(after.tensors[name], value) for name, value in before.tensors.items())


def test_the_card_shows_it_and_only_what_was_not_measured_is_unknown(shop):
    record(shop, 2, measurement())
    card = (shop / "README.md").read_text()
    assert "| test (sha256 00000000) | 8 | 75.0 % | 2026-01-02 | lesson 2 |" in card
    assert "lesson 1: its accuracy after lesson 2 was not measured" not in card


def test_one_measurement_a_name_and_the_oldest_goes(shop):
    for index in range(MAX_MEASURED + 2):
        record(shop, 2 + index, measurement(f"data {index}"))
    names = [found.name for found in read_config(shop).measured]
    assert names == [f"data {index}" for index in range(2, MAX_MEASURED + 2)]
    record(shop, 2 + MAX_MEASURED + 2, measurement("data 5", 0.5))
    found = read_config(shop).measured
    assert len(found) == MAX_MEASURED
    assert found[-1] == measurement("data 5", 0.5)


def test_a_lesson_before_it_can_still_be_undone(shop):
    record(shop, 2, measurement())
    config = undo(shop)
    assert config.classes == ("rose", "tulip")
    assert config.measured == ()


def test_what_has_changed_gets_no_record(shop):
    record(shop, 2, measurement())
    before = contents(shop)
    with pytest.raises(BusyError):
        record(shop, 2, measurement("other"))
    assert contents(shop) == before


def test_a_record_that_cannot_be_written_leaves_the_bundle(shop, monkeypatch):
    before = contents(shop)

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_new", fail)
    with pytest.raises(OSError, match="No space"):
        record(shop, 2, measurement())
    assert contents(shop) == before
