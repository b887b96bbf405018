"""A folder in memory, where flushing costs nothing, a small bundle in it, and the server that forks children."""

from __future__ import annotations

import pytest
from audit import audited
from bundles import description, tensors
from reliability.conftest import in_memory, server

from sdlora.bundle import commit_lesson

__all__ = ["server"]


@pytest.fixture
def tmp_path(tmp_path_factory):
    """An empty folder, in memory where that is possible."""
    with in_memory(tmp_path_factory.mktemp("bundle")) as folder:
        yield folder


@pytest.fixture(autouse=True)
def _nothing_is_executed_or_fetched(request):
    """H5: in whatever these tests do with bundles, but for those whose children are asked of a server."""
    if "server" in request.fixturenames:
        yield
        return
    with audited() as events:
        yield
    assert events == []


@pytest.fixture
def shop(tmp_path):
    """A bundle of two lessons; generation g holds the value g in all its weights."""
    path = tmp_path / "shop"
    commit_lesson(path, description(("rose", "tulip")), tensors(1), parent_generation=None)
    commit_lesson(path, description(("rose", "tulip"), ("fern",)), tensors(2), parent_generation=1)
    return path
