"""Whatever comes, an answer below 500 goes back, and nothing stays: S5."""

import json

import numpy as np
import pytest
from server.fakes import form, png, scaled

FIELD = b'--x-boundary\r\nContent-Disposition: form-data; name="text"\r\n\r\n'


def mutations(data, number, seed):
    rng = np.random.default_rng(seed)
    for _ in range(number):
        made = bytearray(data)
        for _ in range(rng.integers(1, 12)):
            kind, place = rng.integers(3), int(rng.integers(0, max(len(made), 1)))
            if kind == 0 and made:
                made[place] = rng.integers(256)
            elif kind == 1:
                made[place:place] = bytes(rng.integers(0, 256, rng.integers(1, 20)).astype(np.uint8))
            else:
                del made[place : place + int(rng.integers(1, 20))]
        yield bytes(made)


def test_broken_forms_are_the_fault_of_who_sent_them(make_site, empty_temporary_folder):
    site = make_site()
    body, kind = form(("a.png", png()), ("b.png", png((1, 2, 3))))
    replies = [site.predict(each, Content_Type=kind) for each in mutations(body, scaled(1000), 1)]
    assert {reply.status for reply in replies} <= {200, 400, 413, 415, 422}
    assert len({reply.status for reply in replies}) > 1
    assert list(empty_temporary_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (form(*[("", b"")] * 2000)[0], form()[1]),
        (form(("x" * 1_000_000, b"x"))[0], form()[1]),
        (FIELD + b"x" * 3_000_000 + b"\r\n--x-boundary--\r\n", form()[1]),
        (b"--x-boundary\r\n" + b"X-Head: y\r\n" * 5000 + b"\r\n\r\n", form()[1]),
        (b"", "multipart/form-data; boundary=" + "x" * 5000),
        (b"x", "multipart/form-data; boundary=\x80"),
    ],
)  # fmt: skip
def test_absurd_forms_are_refused(site, body, kind):
    assert 400 <= site.predict(body, Content_Type=kind).status < 500


def test_broken_json_is_the_fault_of_who_sent_it(make_site):
    site = make_site()
    url = f"/v1/lessons/{site.post('/v1/lessons').json['id']}/classes"
    bodies = [
        b"NaN",
        b"[" * 5000,
        b'{"name": NaN}',
        b'{"name": 1e999}',
        b"\xff",
        b'"',
        b"{}" * 9,
        b'{"names": {"a": null}}',
    ]
    bodies += list(mutations(b'{"name": "rose", "names": {"a": "b"}}', scaled(100), 2))
    for body in bodies:
        for path in (url, "/v1/rename"):
            status = site.ask("POST", path, body, Content_Type="application/json").status
            assert status in (201, 400, 409, 413, 422), (path, body)


def test_every_problem_is_a_problem_document(site):
    for reply in (
        site.get("/nothing"),
        site.ask("PUT", "/", b""),
        site.predict(b"x"),
        site.get("/", Host="evil.example"),
    ):
        document = reply.json
        assert reply.headers["content-type"] == "application/problem+json"
        assert set(document) == {"type", "title", "status", "code", "detail", "fix", "field"}
        assert document["status"] == reply.status
        assert reply.headers["x-model-version"] == "1-fake"


def test_names_are_data(site):
    hostile = ['"><img src=x onerror=alert(1)>.png', "\x1b[31mred.png", "=cmd().png", "../../x.png"]
    body, kind = form(*[(name.replace('"', "%22"), png()) for name in hostile])
    reply = site.predict(body, Content_Type=kind)
    assert reply.headers["content-type"] == "application/json"
    assert b"\x1b" not in reply.body
    assert len(json.loads(reply.body)["predictions"]) == 4
