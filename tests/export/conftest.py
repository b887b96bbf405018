"""Exports measure their own speed; tests need no exact figure."""

import pytest

from sdlora.export import latency


@pytest.fixture(autouse=True)
def _brief(monkeypatch):
    monkeypatch.setattr(latency, "FEWEST", 1)
    monkeypatch.setattr(latency, "MOST", 1)
