"""Pictures in, predictions out, and the errors of one picture; many at once are in test_load."""

import asyncio
import concurrent.futures
import json
import time

import pytest
from server.fakes import FakeModels, form, png, until, write_generation

pytestmark = pytest.mark.slow


RED, GREY, BLACK = png((255, 0, 0)), png((128, 0, 0)), png((0, 0, 0))


def test_a_raw_picture_is_named(site):
    reply = site.predict(RED, "?top_k=2")
    assert reply.status == 200
    (prediction,) = reply.json["predictions"]
    assert prediction["label"] == prediction["top"][0]["label"] == "red"
    assert prediction["task"] == 3
    assert len(prediction["top"]) == 2
    assert prediction["image"] is None
    assert prediction["error"] is None
    assert reply.json["model_version"] == reply.headers["x-model-version"] == "1-fake"


@pytest.mark.parametrize("kind", ["image/jpeg", "application/octet-stream", ""])
def test_the_content_counts_not_its_type(site, kind):
    assert site.predict(RED, Content_Type=kind).status == 200


def test_a_form_is_answered_in_order_and_a_bad_picture_harms_no_other(site):
    body, kind = form(("a.png", RED), ("b.txt", b"no picture"), ("c.png", BLACK), ("d.png", GREY))
    reply = site.predict(body, Content_Type=kind)
    assert reply.status == 200
    found = reply.json["predictions"]
    assert [entry["label"] for entry in found] == ["red", None, "dark", "middle"]
    assert [entry["image"] for entry in found] == ["a.png", "b.txt", "c.png", "d.png"]
    assert found[1]["error"]["code"] == "not_an_image"
    assert {tuple(entry) for entry in found} == {tuple(found[0])}  # keys never disappear


@pytest.mark.parametrize(
    ("data", "kind", "status", "code"),
    [
        (b"no picture", "image/png", 415, "not_an_image"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "image/heic", 415, "not_an_image"),
        (RED[:50], "image/png", 422, "undecodable"),
        (b"", "image/png", 400, "no_picture"),
        (b"{}", "application/json", 415, "not_an_image_type"),
        (bytes(10_000_001), "image/png", 413, "too_large"),
        (b"--x", "multipart/form-data", 400, "malformed"),
        (b"--x", "multipart/form-data; boundary=y", 400, "malformed"),
        (*form(("a.png", RED), name="other"), 400, "no_picture"),
        (*form(*[("a.png", b"x")] * 65), 413, "too_many_pictures"),
        (*form(("a.png", b"x")), 415, "not_an_image"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(site, data, kind, status, code):
    reply = site.predict(data, Content_Type=kind)
    assert (reply.status, reply.json["code"]) == (status, code)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json["detail"]


@pytest.mark.parametrize("query", ["?top_k=0", "?top_k=x", "?threshold=2", "?threshold=nan", "?top_k=999999"])
def test_options_out_of_range_are_refused(site, query):
    reply = site.predict(RED, query)
    assert (reply.status, reply.json["code"]) == (400, "malformed")


def test_the_threshold_decides_what_is_unsure(site):
    (prediction,) = site.predict(GREY, "?threshold=1").json["predictions"]
    assert prediction["is_unsure"] is True
    assert prediction["label"] == "middle"


def test_a_request_larger_than_the_queue_has_no_room(make_site):
    site = make_site(queue=3)
    body, kind = form(*[("a.png", RED)] * 4)
    assert site.predict(body, Content_Type=kind).status == 503


def test_who_waits_too_long_is_told_and_costs_no_forward_pass(make_site):
    site = make_site(models=FakeModels(delay=1.5), max_batch=1, timeout=1.0)
    before = len(site.models.batches)
    with concurrent.futures.ThreadPoolExecutor(4) as clients:
        replies = list(clients.map(lambda _: site.predict(RED), range(4)))
    assert {(reply.status, reply.json["code"]) for reply in replies} == {(504, "timeout")}
    until(lambda: site.service.meters.dropped._value.get() == 3)
    assert len(site.models.batches) - before <= 1
    assert site.service.room.waiting == 0


def test_every_answer_is_of_one_model_and_says_which(make_site):
    models = FakeModels(delay=0.02)
    site = make_site(models=models, max_batch=2)
    body, kind = form(*[("a.png", RED)] * 9)
    seen = set()
    for lesson in range(4, 7):
        write_generation(site.service.path, [f"class{i}" for i in range(lesson)])
        site.call(lambda: asyncio.ensure_future(site.service.refresh()))
        end = time.monotonic() + 10
        while time.monotonic() < end:
            reply = site.predict(body, Content_Type=kind)
            version = reply.json["model_version"]
            assert version == reply.headers["x-model-version"]
            seen.add(version)
            for entry in reply.json["predictions"]:
                assert entry["label"] == ("red" if version == "1-fake" else f"class{int(version[0]) + 1}")
            if version == f"{lesson - 2}-fake":
                break
    assert {"2-fake", "3-fake", "4-fake"} <= seen


def test_a_broken_model_is_an_error_with_an_id_that_the_log_has(make_site, caplog):
    site = make_site()
    site.models.failing = True
    reply = site.predict(RED)
    assert (reply.status, reply.json["code"]) == (500, "internal")
    name = reply.json["detail"].rpartition(" ")[2].rstrip(".")
    assert f"error {name} at /v1/predict" in caplog.text
    site.models.failing = False
    assert site.predict(RED).status == 200


def test_nothing_is_predicted_before_the_first_lesson(make_site):
    site = make_site(models=FakeModels(is_new=True), classes=())
    reply = site.predict(RED)
    assert (reply.status, reply.json["code"]) == (409, "not_taught")
    assert json.loads(site.get("/v1/model").body)["num_seen"] == 0
