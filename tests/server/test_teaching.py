"""Lessons over HTTP, with a process that teaches the fake bundle: S8 and S9."""

import sys

import pytest
from server.fakes import FakeModels, form, png, until, write_generation

from sdlora.server import teacher
from sdlora.server.guard import Guard
from sdlora.server.service import drafts_folder

pytestmark = pytest.mark.slow


TOKEN = "t" * 20
SCRIPT = """
import json, os, sys, time
job = json.loads(sys.stdin.readline())
def tell(**event): print(json.dumps(event), flush=True)
def commit(classes):
    history = os.path.join(job["model"], "history")
    last = max(int(name.partition(".")[0]) for name in os.listdir(history) if name[0] != ".")
    known = json.load(open(os.path.join(history, f"{last}.json")))["classes"]
    with open(os.path.join(history, ".new"), "w") as file: json.dump({"classes": known + classes}, file)
    os.rename(os.path.join(history, ".new"), os.path.join(history, f"{last + 1}.json"))
tell(event="progress", epoch=1, num_epochs=2, fraction=0.5, seconds_left=7.0, held_out_accuracy=0.92)
name = job["classes"][0]
if name.startswith("wait"):
    sys.stdin.read(); tell(event="cancelled")
elif name.startswith("crash"): os._exit(9)
elif name.startswith("fail"): tell(event="failed", detail="the pictures are all alike", fix="take others")
elif name.startswith("stubborn"): time.sleep(600)
elif name.startswith("silent"): commit(job["classes"])
else:
    commit(job["classes"])
    weakest = {"label": job["classes"][-1], "accuracy": 0.75, "taken_for": "red"}
    retests = [{"name": "shelf", "num_images": 40, "before": 0.975, "after": 0.95}]
    tell(event="done", record={"classes": job["classes"], "held_out_accuracy": 0.9, "pictures": job["pictures"],
                               "weakest": weakest, "retests": retests})
"""


@pytest.fixture(autouse=True)
def _script(monkeypatch):
    monkeypatch.setattr(teacher, "COMMAND", (sys.executable, "-c", SCRIPT))


def prepare(site, *names, **headers):
    """Make a draft of classes with two pictures each; return its address."""
    url = f"/v1/lessons/{site.post('/v1/lessons', **headers).json['id']}"
    for place, name in enumerate(names):
        for shade in range(2):
            data = png((40 * place + 10 * shade, 200, 7))
            assert site.ask("POST", f"{url}/images?class={name}", data, **headers).status == 201
    return url


def teach(site, *names):
    url = prepare(site, *names)
    reply = site.post(f"{url}/start")
    assert reply.status == 202
    assert reply.json["state"] == "running"
    return url


def ended(site, url):
    return until(lambda: (found := site.get(url).json)["state"] != "running" and found)


def test_a_lesson_from_the_first_picture_to_the_answer(make_site):
    site = make_site()
    url = teach(site, "fern", "moss")
    lesson = ended(site, url)
    assert lesson["state"] == "done"
    assert lesson["record"]["pictures"] == [["1.png", "2.png"], ["3.png", "4.png"]]
    assert [entry["label"] for entry in site.get("/v1/model").json["classes"]][-2:] == ["fern", "moss"]
    (prediction,) = site.predict(png((255, 0, 0))).json["predictions"]
    assert prediction["label"] == "moss"
    until(lambda: not drafts_folder(site.service.path).exists())
    until(lambda: site.service.meters.lessons.labels("done")._value.get() == 1)


def test_the_old_model_answers_until_the_end_and_there_is_one_lesson_at_a_time(make_site):
    site = make_site()
    url = teach(site, "wait")
    other = prepare(site, "moss")
    assert site.predict(png()).json["model_version"] == "1-fake"
    until(lambda: site.get("/v1/model").json["running"] == {"seconds_left": 7.0})
    for reply in (
        site.post(f"{other}/start"),
        site.post("/v1/undo"),
        site.post("/v1/rename", {"names": {"red": "rot"}}),
    ):
        assert (reply.status, reply.json["code"]) == (409, "lesson_running")
        assert "7 s left" in reply.json["detail"]
    assert site.ask("POST", f"{url}/images?class=fern", png()).status == 409
    assert site.ask("DELETE", url).status == 204
    lesson = site.get(url).json
    assert lesson["state"] == "cancelled"
    assert lesson["num_images"] == 2
    assert site.predict(png()).json["model_version"] == "1-fake"


@pytest.mark.parametrize(
    ("name", "cause"), [("fail", "the pictures are all alike"), ("crash", "The process that taught was ended.")]
)
def test_a_failure_changes_nothing(make_site, name, cause):
    site = make_site()
    before = sorted(site.service.path.rglob("*"))
    url = teach(site, name)
    lesson = ended(site, url)
    assert lesson["state"] == "failed"
    assert lesson["failure"]["detail"] == cause
    assert lesson["num_images"] == 2
    assert sorted(site.service.path.rglob("*")) == before
    assert site.predict(png()).json["model_version"] == "1-fake"
    assert site.get("/health/ready").status == 200
    assert site.post(f"{url}/start").status == 202
    ended(site, url)


def test_what_the_bundle_holds_counts_not_what_the_process_said(make_site):
    site = make_site()
    assert ended(site, teach(site, "silent"))["state"] == "done"


def test_a_process_that_does_not_listen_is_ended(make_site, monkeypatch):
    monkeypatch.setattr(teacher, "GRACE_SECONDS", 0.2)
    site = make_site()
    url = teach(site, "stubborn")
    until(lambda: site.get(url).json["progress"])
    assert site.ask("DELETE", url).status == 204
    assert site.get(url).json["state"] == "cancelled"


def test_stopping_the_server_ends_the_lesson_and_a_restart_finds_the_draft(make_site):
    site = make_site()
    url = teach(site, "wait")
    until(lambda: site.get(url).json["progress"])
    process = site.service.teacher.lesson.process
    site.close()
    assert process.returncode is not None
    again = make_site()
    assert again.get(url).json["num_images"] == 2
    assert again.get(url).json["state"] == "draft"
    site.close = lambda: None


def test_a_draft_can_be_changed_until_it_is_right(make_site):
    site = make_site()
    url = f"/v1/lessons/{site.post('/v1/lessons').json['id']}"
    key = site.post(f"{url}/classes", {"name": "red"}).json["key"]
    body, kind = form(("a.png", png((1, 2, 3))), ("b.txt", b"none"), ("c.png", png((3, 2, 1))))
    reply = site.ask("POST", f"{url}/images?key={key}", body, Content_Type=kind)
    assert [entry["number"] for entry in reply.json["images"]] == ["1", None, "2"]
    assert reply.json["images"][1]["error"]["code"] == "not_an_image"
    assert [flaw["code"] for flaw in site.get(url).json["flaws"]] == ["known"]
    refused = site.post(f"{url}/start")
    assert (refused.status, refused.json["code"], refused.json["field"]) == (422, "known", key)
    renamed = site.ask("PATCH", f"{url}/classes/{key}", b'{"name": "rose"}', Content_Type="application/json")
    assert renamed.json["flaws"] == []
    picture = site.get(f"{url}/images/1")
    assert picture.headers["content-type"] == "image/png"
    assert picture.body.startswith(b"\x89PNG")
    assert site.ask("DELETE", f"{url}/images/1").status == 204
    assert site.get(f"{url}/images/1").status == 404
    assert site.ask("DELETE", f"{url}/classes/{key}").status == 204
    assert site.get(url).json["classes"] == []
    assert [lesson["id"] for lesson in site.get("/v1/lessons").json["lessons"]] == [url.rpartition("/")[2]]
    assert site.ask("DELETE", url).status == 204
    assert site.get(url).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/images", b"x", 400),
        ("POST", "/images?class=a&key=b", b"x", 400),
        ("POST", "/images?key=none", png(), 404),
        ("POST", "/images?class=a", b"x", 415),
        ("PATCH", "/classes/none", b'{"name": "x"}', 404),
        ("PATCH", "/classes/none", b'{"name": 5}', 400),
        ("POST", "/classes", b"[" * 5000, 400),
        ("POST", "/classes", b'{"name": "x", "more": 1}', 400),
        ("POST", "/classes", b'{"name": "%s"}' % (b"x" * 300), 400),
        ("DELETE", "/images/9", None, 404),
        ("POST", "/start", None, 422),
        ("GET", "/../../etc/passwd", None, 404),
    ],
)
def test_wrong_requests_are_told_so(make_site, method, path, body, status):
    site = make_site()
    url = f"/v1/lessons/{site.post('/v1/lessons').json['id']}"
    headers = {"Content_Type": "application/json"} if body and body[:1] in b"{[" else {}
    reply = site.ask(method, url + path, body, **headers)
    assert reply.status == status
    assert reply.json["code"]


def test_the_first_lesson_begins_a_model(make_site, tmp_path):
    site = make_site(models=FakeModels(is_new=True), classes=())
    assert site.get("/v1/model").json["model_version"] == "0"
    url = prepare(site, "fern")
    assert [flaw["code"] for flaw in site.get(url).json["flaws"]] == ["too_few_classes"]
    write_generation(tmp_path / "shop", ["fern", "moss"])  # as a lesson would
    until(lambda: site.get("/v1/model").json["num_seen"] == 2)
    assert site.predict(png()).status == 200


def test_another_process_teaches(make_site):
    site = make_site()
    write_generation(site.service.path, ["dark", "middle", "red", "new"])
    until(lambda: site.get("/v1/model").json["model_version"] == "2-fake")
    assert site.get("/v1/model").json["changed"]


def test_the_token_is_asked_for_and_never_told(make_site, capfd, caplog):
    caplog.set_level("DEBUG")
    site = make_site(guard=Guard(host="127.0.0.1", token=TOKEN))
    told = [site.post("/v1/lessons"), site.post("/v1/lessons", Authorization="Bearer wrong"), site.get("/v1/lessons")]
    assert [reply.status for reply in told] == [401] * 3
    url = prepare(site, "wait", Authorization=f"Bearer {TOKEN}")
    told += [site.post(f"{url}/start", Authorization=f"Bearer {TOKEN}"), site.get("/v1/model"), site.get("/metrics")]
    told += [site.get("/"), site.get("/openapi.json"), site.predict(png()), site.get("/nothing")]
    for reply in told:
        assert TOKEN not in reply.body.decode() + str(reply.headers)
    site.close()
    site.close = lambda: None
    captured = capfd.readouterr()
    assert TOKEN not in captured.out + captured.err + caplog.text
    assert TOKEN not in "".join(path.name for path in site.service.path.parent.rglob("*"))


def test_teaching_can_be_off(make_site):
    site = make_site(guard=Guard(host="127.0.0.1", can_teach=False))
    assert site.post("/v1/lessons").json["code"] == "teaching_off"
    assert site.get("/v1/model").json["can_teach"] is False
