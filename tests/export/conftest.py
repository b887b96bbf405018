"""Exports measure their own speed; tests need no exact figure."""

import pytest

from sdlora.export import check


@pytest.fixture(autouse=True)
def _brief(monkeypatch):
    monkeypatch.setattr(check, "FEWEST", 1)
    monkeypatch.setattr(check, "MOST", 1)
