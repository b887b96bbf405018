"""A folder in memory, where flushing costs nothing, and a server that forks children with everything imported."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path

import pytest
from reliability import worker


@pytest.fixture
def place(tmp_path):
    """An empty folder, in memory where that is possible: kills are about what was written, not about the disk."""
    with in_memory(tmp_path) as folder:
        yield folder


@contextmanager
def in_memory(otherwise):
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < 2**28:
        yield otherwise
        return
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def module_place(tmp_path_factory):
    """Like `place`, for all tests of a file."""
    with in_memory(tmp_path_factory.mktemp("place")) as folder:
        yield folder


@pytest.fixture(scope="session")
def server():
    """Start processes that have imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["reliability.server"])
    with pytest.MonkeyPatch.context() as patch:  # Python 3.11 hands its import path to the server, which ignores it
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        forkserver.ensure_running()
    check = context.Process(target=worker.exit_with_preload)
    check.start()
    check.join()
    assert check.exitcode == 0, "the server did not import what its children need; each would take seconds to start"
    return context
