"""A folder in memory, where flushing costs nothing, and the server that forks children of tests/reliability."""

from __future__ import annotations

import pytest
from reliability.conftest import in_memory, server

__all__ = ["server"]


@pytest.fixture
def tmp_path(tmp_path_factory):
    """An empty folder, in memory where that is possible."""
    with in_memory(tmp_path_factory.mktemp("bundle")) as folder:
        yield folder
