"""Servers that tests talk to, stopped when they end."""

from __future__ import annotations

import sys
import tempfile
import threading
from dataclasses import replace

import pytest
from server.browsing import CAMERA, Pages, running_browser
from server.fakes import FakeModels, InProcess, Site, write_generation

from sdlora.server.guard import Guard
from sdlora.server.limits import Limits
from sdlora.server.service import Service


@pytest.fixture
def make_site(tmp_path):
    """Return a function that starts a server, which decodes in this process; they are all stopped at the end."""
    sites = []

    def make(
        classes=("dark", "middle", "red"), guard=None, models=None, prepare=lambda service: None, **limits
    ) -> Site:
        path = tmp_path / "shop"
        if not path.exists() and classes:
            write_generation(path, list(classes))
        models = models or FakeModels()
        service = Service(
            path, models.load, guard=guard or Guard(host="127.0.0.1"), limits=replace(Limits(), **limits), device="cpu"
        )
        service.decoders = InProcess(1, service.limits)
        prepare(service)
        sites.append(Site(service, models))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """One server with decoding processes, for all tests that change nothing."""
    path = tmp_path_factory.mktemp("site") / "shop"
    write_generation(path, ["dark", "middle", "red"])
    models = FakeModels()
    made = Site(Service(path, models.load, guard=Guard(host="127.0.0.1"), limits=Limits(), device="cpu"), models)
    yield made
    made.close()


@pytest.fixture(scope="module")  # its driver keeps an event loop in this thread, which other modules cannot have
def browser():
    with running_browser(*CAMERA) as made:
        yield made


@pytest.fixture
def open_page(browser):
    """Return a function that opens a page of a site; at the end none may have asked others or raised an error."""
    pages = Pages(browser)
    yield pages
    pages.close()


@pytest.fixture
def empty_temporary_folder(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="session")
def _connecting():
    """Hears which threads open connections; an audit hook stays for ever, so there is one."""
    heard: list[tuple[str, object]] = []

    def hook(event, arguments):
        if event == "socket.connect":
            heard.append((threading.current_thread().name, arguments))

    sys.addaudithook(hook)
    return heard


@pytest.fixture
def no_connections(_connecting):
    """Fail if a thread of a server opens a connection during the test; the test's own thread is the client."""
    _connecting.clear()
    yield
    assert [name for name, _ in _connecting if name != threading.current_thread().name] == []
    assert _connecting  # it does hear
