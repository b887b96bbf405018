import torch

from sdlora.costs import latency
from sdlora.costs.latency import side_by_side


def test_turns_and_medians(monkeypatch):
    """The clock moves by what each prediction is said to take; the first round does not count."""
    now, calls = [0.0], []
    durations = {"first": iter([90, 1, 5, 2]), "second": iter([70, 8, 8, 80])}

    def predict(name):
        def call(images):
            assert not torch.is_grad_enabled()
            calls.append(name)
            now[0] += next(durations[name])
            return images

        return call

    monkeypatch.setattr(latency.time, "perf_counter", lambda: now[0])
    found = side_by_side(predict("first"), predict("second"), torch.rand(4, 3, 2, 2), rounds=3)
    assert found == (2 / 4, 8 / 4)
    assert calls == ["first", "second"] * 4
