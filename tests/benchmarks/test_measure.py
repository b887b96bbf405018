import pytest
import torch

from benchmarks.measure import alternate, peak_bytes, seconds

CPU = torch.device("cpu")


def test_rounds_alternate_and_the_first_does_not_count():
    calls = []
    times = alternate({name: lambda name=name: calls.append(name) for name in "ab"}, CPU, 3)
    assert calls == ["a", "b"] * 4
    assert {name: len(found) for name, found in times.items()} == {"a": 3, "b": 3}
    assert all(found >= 0 for own in times.values() for found in own)


def test_a_peak_is_what_is_held_at_once():
    def one_after_another():
        for _ in range(3):
            torch.ones(1000, 1000)

    def together():
        return [torch.ones(1000, 1000) for _ in range(3)]

    assert peak_bytes(one_after_another, CPU) == pytest.approx(4e6, rel=0.01)
    assert peak_bytes(together, CPU) == pytest.approx(12e6, rel=0.01)
    assert peak_bytes(lambda: None, CPU) == 0


def test_seconds_come_from_events_on_cuda(monkeypatch):
    log = []

    class Event:
        def __init__(self, **options):
            assert options == {"enable_timing": True}

        def record(self):
            log.append("record")

        def elapsed_time(self, other):
            assert isinstance(other, Event)
            return 250.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: log.append("wait"))
    assert seconds(lambda: log.append("run"), torch.device("cuda")) == 0.25
    assert log == ["record", "run", "record", "wait"]
