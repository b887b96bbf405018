"""Servers that tests talk to, stopped when they end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from server.fakes import FakeModels, Site, write_generation

from sdlora.server.guard import Guard
from sdlora.server.limits import Limits
from sdlora.server.service import Service


@pytest.fixture
def make_site(tmp_path):
    """Return a function that starts a server; they are all stopped at the end."""
    sites = []

    def make(classes=("dark", "middle", "red"), guard=None, models=None, **limits) -> Site:
        path = tmp_path / "shop"
        if not path.exists():
            write_generation(path, list(classes))
        models = models or FakeModels()
        service = Service(
            path, models.load, guard=guard or Guard(host="127.0.0.1"), limits=replace(Limits(), **limits), device="cpu"
        )
        sites.append(Site(service, models))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One server for all tests of a file that change nothing."""
    path = tmp_path_factory.mktemp("site") / "shop"
    write_generation(path, ["dark", "middle", "red"])
    models = FakeModels()
    made = Site(Service(path, models.load, guard=Guard(host="127.0.0.1"), limits=Limits(), device="cpu"), models)
    yield made
    made.close()
