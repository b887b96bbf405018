"""A folder in memory."""

from __future__ import annotations

import pytest
from reliability.conftest import in_memory


@pytest.fixture
def tmp_path(tmp_path_factory):
    """An empty folder, in memory where that is possible."""
    with in_memory(tmp_path_factory.mktemp("learner")) as folder:
        yield folder
