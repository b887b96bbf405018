"""Requests made up from what the server says of itself: whatever comes, no answer is 500 or above: S5, S11, S12.

`SDLORA_TEST_SCALE=10` multiplies the counts.
"""

import json
import sys
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server.fakes import form, png, scaled
from server.test_teaching import SCRIPT

from sdlora.server import teacher

pytestmark = pytest.mark.slow

PICTURE = png()
FORM, FORM_TYPE = form(("a.png", PICTURE), ("b.png", b"none"))
TYPES = ["image/png", "image/jpeg", "application/json", "text/plain", "", FORM_TYPE, "multipart/form-data", ";=\"'"]
STEPS = [
    "..",
    ".",
    "%2e%2e",
    "..%2f..",
    "..%5c..",
    "%252e%252e",
    "....//",
    "\\..",
    "%00",
    "%c0%ae%c0%ae",
    "~",
    "%0d%0aX:%20y",
]
GOALS = ["etc/passwd", "app.py", "config.json", "history/1.json", "http://example.org/x"]
ROOTS = ["/", "/page/", "/v1/model/", "/v1/lessons/"]
PAYLOADS = [f"{root}{step}/{goal}" for root in ROOTS for step in STEPS for goal in GOALS]

words = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "names", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def damaged(draw, whole):
    """Bytes with a few places cut out, doubled or overwritten."""
    made = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(made)))
        made[start : start + draw(st.integers(0, 12))] = draw(st.binary(max_size=12))
    return bytes(made)


bodies = (
    st.none()
    | st.binary(max_size=200)
    | st.sampled_from([PICTURE, FORM, b"NaN", b"[" * 5000, b'{"name":' * 5000, b'{"name": NaN}', b"\xff\xfe{}"])
    | values.map(lambda value: json.dumps(value).encode())
    | damaged(PICTURE)
    | damaged(FORM)
    | damaged(b'{"name": "rose", "names": {"red": "scarlet"}}')
)
headers = st.dictionaries(
    st.sampled_from(["Origin", "Authorization", "Sec-Fetch-Site", "Accept", "Range", "X"]), words, max_size=2
)


@st.composite
def requests(draw, method, path, names, known):
    """A request to one route: path and query as it declares them, mostly of what exists."""
    url = path
    for name in names["path"]:
        value = draw(st.sampled_from(known.get(name, ["1"])) | st.text(min_size=1, max_size=20))
        url = url.replace("{" + name + "}", quote(value, safe="", errors="replace"))
    query = [
        f"{name}={quote(draw(words | st.sampled_from(['3', '0.5', 'rose'])))}"
        for name in names["query"]
        if draw(st.booleans())
    ]
    kind = draw(st.sampled_from(TYPES))
    return method, url + "?" * bool(query) + "&".join(query), draw(bodies), {"Content_Type": kind, **draw(headers)}


def routes(site):
    """Return method, path and names of the parameters of every route the server describes."""
    found = []
    for path, methods in site.get("/openapi.json").json["paths"].items():
        for method, about in methods.items():
            names = {
                place: [each["name"] for each in about.get("parameters", ()) if each["in"] == place]
                for place in ("path", "query")
            }
            found.append((method.upper(), path, names))
    return found


def known_names(site):
    """Return an existing lesson with a class and a picture, made when it is gone."""
    lessons = site.get("/v1/lessons").json["lessons"] or [site.post("/v1/lessons").json]
    if not lessons[0]["classes"]:
        site.ask("POST", f"/v1/lessons/{lessons[0]['id']}/images?class=rose", PICTURE)
        lessons = site.get("/v1/lessons").json["lessons"]
    keys = [entry["key"] for entry in lessons[0]["classes"]]
    return {"lesson": [lessons[0]["id"]], "key": keys or ["0"], "number": ["1"], "document": ["card", "config"]}


def check(reply, asked):
    """Return the status of an answer that is as it should be."""
    assert reply.status < 500 or (reply.status == 503 and "retry-after" in reply.headers), asked
    if reply.status >= 400:
        assert reply.headers["content-type"] == "application/problem+json", asked
    assert "x-model-version" in reply.headers, asked
    return reply.status


def test_no_generated_request_breaks_a_route(make_site, no_connections, empty_temporary_folder, monkeypatch):
    """S5 and S12: 300 requests a route with SDLORA_TEST_SCALE=10; some of them start lessons."""
    monkeypatch.setattr(teacher, "COMMAND", (sys.executable, "-c", SCRIPT))
    site = make_site()
    described, statuses = routes(site), set()
    assert len(described) >= 18
    for method, path, names in described:
        known = known_names(site)

        @settings(
            max_examples=scaled(30),
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(requests(method, path, names, known))
        def ask(asked):
            method, url, body, head = asked
            statuses.add(check(site.ask(method, url, body, **head), asked))

        ask()
    assert statuses >= {200, 201, 204, 400, 403, 404, 415, 422}  # they are not all turned away at the door
    assert site.predict(PICTURE).status == 200
    assert list(empty_temporary_folder.iterdir()) == []


def test_no_path_leads_out(site, no_connections):
    """S11."""
    assert len(PAYLOADS) >= 60 * len(ROOTS)
    for path in PAYLOADS:
        reply = site.get(path)
        assert reply.status in (400, 403, 404), path
        assert reply.json["code"], path
