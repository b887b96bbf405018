"""A trainer that is killed changes nothing, and the right model goes on answering: S8.

`SDLORA_TEST_SCALE=10` multiplies the counts, to 20 kills of real training.
"""

import hashlib
import os
import random
import signal
import sys
import threading
import time
from contextlib import suppress

import pytest
from lessons import Levels
from server.fakes import InProcess, Site, png, scaled, until
from server.test_teaching import SCRIPT, ended, prepare

from sdlora import Learner
from sdlora.bundle import read_bundle
from sdlora.server import teacher
from sdlora.server.guard import Guard
from sdlora.server.limits import Limits
from sdlora.server.served import load_bundle
from sdlora.server.service import Service, drafts_folder

pytestmark = pytest.mark.slow

SLOWLY = SCRIPT.replace("os.rename(", "time.sleep(0.02); os.rename(").replace(
    "    commit(job", "    time.sleep(0.05); commit(job"
)


def content(path):
    """Return a digest of every file of a bundle, without what a killed writer left for the next one to sweep."""
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    }


class Asking(threading.Thread):
    """Asks one picture again and again, and keeps which version answered how."""

    def __init__(self, site):
        super().__init__(daemon=True)
        self.site, self.seen, self.is_over = site, [], threading.Event()
        self.start()

    def run(self):
        while not self.is_over.is_set():
            try:
                reply = self.site.predict(png())
            except OSError:  # the server is gone, and the test with it
                return
            self.seen.append((reply.status, reply.json.get("model_version")))
            time.sleep(0.005)

    def end(self):
        self.is_over.set()
        self.join(60)
        return self.seen


def kill(site, seconds):
    """Kill the process of the lesson under way after some time."""
    lesson = site.service.teacher.lesson
    until(lambda: lesson.process is not None)
    time.sleep(seconds)
    with suppress(ProcessLookupError):  # it was quicker than we were
        os.kill(lesson.process.pid, signal.SIGKILL)


def test_a_kill_at_any_time_is_all_or_nothing(make_site, monkeypatch):
    """Kills of a quick stand-in for the trainer, before, during and after its commit."""
    monkeypatch.setattr(teacher, "COMMAND", (sys.executable, "-c", SLOWLY))
    site, place = make_site(), random.Random(0)
    asking, ends = Asking(site), []
    for number in range(scaled(25)):
        before, version = content(site.service.path), site.get("/v1/model").json["model_version"]
        url = prepare(site, f"class{number}")
        assert site.post(f"{url}/start").status == 202
        if number % 5:  # every fifth lesson is let to its end
            kill(site, place.choice([0, place.uniform(0, 0.4)]))
        lesson = ended(site, url)
        ends.append(lesson["state"])
        model = site.get("/v1/model").json
        if lesson["state"] == "done":
            assert model["model_version"] == f"{int(version.partition('-')[0]) + 1}-fake"
            assert model["classes"][-1]["label"] == f"class{number}"
        else:
            assert lesson["state"] == "failed"
            assert content(site.service.path) == before
            assert model["model_version"] == version
            assert lesson["num_images"] == 2  # the draft is kept
            assert site.ask("DELETE", url).status == 204
        assert site.predict(png()).json["model_version"] == model["model_version"]
    assert set(ends) == {"done", "failed"}
    versions = [int(version.partition("-")[0]) for status, version in asking.end() if status == 200]
    assert len(versions) == len(asking.seen)  # nobody was refused meanwhile
    assert versions == sorted(versions)
    assert site.get("/health/ready").status == 200


@pytest.fixture
def real(tmp_path):
    """A server of a real bundle, taught by real trainers."""
    path = tmp_path / "levels"
    learner = Learner(device="cpu")
    learner.learn(Levels(), epochs=1)
    learner.save(path)
    service = Service(
        path, lambda p: load_bundle(p, device="cpu"), guard=Guard(host="127.0.0.1"), limits=Limits(), device="cpu"
    )
    service.decoders = InProcess(1, service.limits)
    site = Site(service, None)
    yield site
    site.close()


def test_a_killed_trainer_leaves_the_bundle_as_it_was(real):
    """Real training, killed while it starts, trains or saves; after the last kill it is let to its end."""
    path, place = real.service.path, random.Random(1)
    before, version = content(path), read_bundle(path).config.version
    asking = Asking(real)
    url = prepare(real, "night", "day")
    for _ in range(scaled(2)):
        assert real.post(f"{url}/start").status == 202
        until(lambda: real.get(url).json["progress"] or real.get(url).json["state"] != "running")
        kill(real, place.uniform(0, 0.5))
        lesson = ended(real, url)
        if lesson["state"] == "done":  # it was quicker than we were
            break
        assert lesson["state"] == "failed"
        assert lesson["failure"]["detail"] == "The process that taught was ended."
        assert content(path) == before
        assert real.predict(png()).json["model_version"] == version
    else:
        assert real.post(f"{url}/start").status == 202
        assert ended(real, url)["state"] == "done"
    assert [entry["label"] for entry in real.get("/v1/model").json["classes"]] == ["dark", "light", "night", "day"]
    until(lambda: asking.seen[-1] != (200, version))  # an answer that was under way may still be the old model's
    found = asking.end()
    assert {status for status, _ in found} == {200}
    assert list(dict.fromkeys(version for _, version in found)) == [version, read_bundle(path).config.version]
    until(lambda: not drafts_folder(path).exists())
