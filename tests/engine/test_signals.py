"""Signals are remembered inside, and only inside; real ones to real processes are in tests/reliability."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch

from sdlora.engine.signals import StopError, StopSignals, Watched


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_remembered(number):
    before = signal.getsignal(number)
    with StopSignals() as signals:
        assert signals.received is None
        os.kill(os.getpid(), number)
        assert signals.received == number
    assert signal.getsignal(number) is before


def test_the_second_signal_ends_the_process(monkeypatch):
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    with StopSignals():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert codes == [130]


def test_other_threads_hear_nothing():
    found = []

    def work():
        with StopSignals() as signals:
            found.append(signals.received)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [None]


def test_watched_batches_stop_between_two():
    batches = [(torch.zeros(1), torch.zeros(1))] * 3
    seen = []

    def stop():
        if len(seen) == 2:
            raise StopError

    watched = Watched(batches, stop)
    assert len(watched) == 3
    iterator = iter(watched)
    seen += [next(iterator), next(iterator)]
    with pytest.raises(StopError):
        next(iterator)
