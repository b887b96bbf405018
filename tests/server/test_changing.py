"""Renaming and undoing, with a real bundle."""

import pytest
from lessons import Levels
from server.fakes import InProcess, Site, png

from sdlora import Learner
from sdlora.server.guard import Guard
from sdlora.server.limits import Limits
from sdlora.server.served import load_bundle
from sdlora.server.service import Service


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    path = tmp_path_factory.mktemp("real") / "levels"
    learner = Learner(device="cpu")
    for classes in (("dark", "light"), ("night", "day")):
        learner.learn(Levels(*classes), epochs=1)
        learner.save(path)
    service = Service(path, lambda p: load_bundle(p, device="cpu"), guard=Guard(host="127.0.0.1"), limits=Limits())
    service.decoders = InProcess(1, service.limits)
    site = Site(service, None)
    yield site
    site.close()


def labels(site):
    return [entry["label"] for entry in site.get("/v1/model").json["classes"]]


def test_rename_then_undo(real):
    assert labels(real) == ["dark", "light", "night", "day"]
    reply = real.post("/v1/rename", {"names": {"dark": "black"}})
    assert reply.status == 200
    assert labels(real) == ["black", "light", "night", "day"]
    assert real.predict(png()).json["model_version"] == reply.json["model_version"]
    for names in ({"nobody": "x"}, {"light": "black"}, {"light": "../x"}):
        refused = real.post("/v1/rename", {"names": names})
        assert (refused.status, refused.json["code"]) == (422, "refused")
    assert real.get("/v1/model").json["can_undo"] is True
    assert real.post("/v1/undo").status == 200
    assert labels(real) == ["black", "light"]
    assert real.get("/v1/model").json["can_undo"] is False
    again = real.post("/v1/undo")
    assert (again.status, again.json["code"]) == (422, "refused")
    assert len(real.predict(png(), "?top_k=9").json["predictions"][0]["top"]) == 2
