"""The model described, health, metrics and the page: S11, S12, S13."""

import re
from pathlib import Path

import pytest
from server.fakes import png, write_generation

import sdlora.server
from sdlora.server.app import make_app

PAGE = Path(sdlora.server.__file__).parent / "page"
REMOTE = re.compile(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", re.IGNORECASE)


def test_health(site):
    assert (site.get("/health/live").status, site.get("/health/ready").status) == (200, 200)


def test_the_model_tells_all_that_the_page_needs(site):
    model = site.get("/v1/model").json
    assert model["classes"][0] == {"label": "dark", "task": 1}
    assert model["limits"]["image_bytes"] == 10_000_000
    assert (model["name"], model["can_teach"], model["running"], model["waiting"]) == ("shop", True, None, 0)


def test_ready_follows_the_model(make_site):
    site = make_site()
    (site.service.path / "history" / "2.json").write_text("{")
    site.call(lambda: None)
    while site.get("/health/ready").status == 200:
        pass
    reply = site.get("/health/ready")
    assert (reply.status, reply.json["code"]) == (503, "not_ready")
    assert site.predict(png()).status == 200
    write_generation(site.service.path, ["a", "b"])
    while site.get("/health/ready").status == 503:
        pass
    site.service.decoders.pids = set()
    assert "decoding" in site.get("/health/ready").json["detail"]
    site.service.decoders.pids = {0}
    site.service.is_stopping = True
    assert site.get("/health/ready").status == 503
    assert site.predict(png()).status == 503
    assert site.get("/health/live").status == 200


def test_a_dead_model_thread_ends_the_server(make_site):
    site = make_site()

    def deadly(batch):
        raise SystemExit

    object.__setattr__(site.service.served.model, "probabilities", deadly)
    site.ask("POST", "/v1/predict", png())
    site._thread.join(20)
    assert not site._thread.is_alive()
    assert site.runner.is_broken


def test_metrics_count(site):
    before = site.get("/metrics").body.decode()
    site.predict(png())
    after = site.get("/metrics").body.decode()

    def read(text):
        found = re.search(r'sdlora_answers_total\{method="POST",route="/v1/predict",status="200"\} (\d+)', text)
        return int(found[1]) if found else 0

    assert read(after) == read(before) + 1
    assert "sdlora_batch_pictures_bucket" in after


@pytest.mark.parametrize("name", sorted(path.name for path in PAGE.iterdir()))
def test_every_file_of_the_page_is_served_and_asks_nobody_else(site, name):
    reply = site.get(f"/page/{name}")
    assert reply.status == 200
    assert reply.body == (PAGE / name).read_bytes()
    found = {url for url in REMOTE.findall(reply.body.decode()) if url != "http://www.w3.org"}
    assert not found
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", reply.body.decode()) or not name.endswith("html")


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_page_may_load_nothing_from_elsewhere(site, path):
    reply = site.get(path)
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?:|\*", policy)
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "path",
    [
        *("/page/..", "/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2fapp.py", "/page/%00", "/page//etc/passwd"),
        *("/page/", "/page/index.html/x", "/page/http://example.org/", "/page/\\..\\app.py", "//etc/passwd", "/docs/"),
        *(
            "/v1/model/..",
            "/v1/model/history",
            "/v1/model/%2e%2e%2f%2e%2e",
            "/v1/model/card/../../x",
            "/redoc",
            "/static",
        ),
    ],
)
def test_nothing_else_is_served(site, path):
    reply = site.get(path)
    assert reply.status in (403, 404)
    assert reply.headers["content-type"] == "application/problem+json"


def test_what_the_bundle_says_of_itself_can_be_had(make_site):
    site = make_site()
    assert site.get("/v1/model/card").status == 404
    (site.service.path / "README.md").write_text("# shop")
    reply = site.get("/v1/model/card")
    assert (reply.body, reply.headers["content-disposition"]) == (b"# shop", 'attachment; filename="README.md"')


def test_the_api_describes_itself(site):
    paths = site.get("/openapi.json").json["paths"]
    assert {"/v1/predict", "/v1/model", "/health/live", "/health/ready", "/v1/lessons", "/v1/undo"} <= set(paths)
    for methods in paths.values():
        for route in methods.values():
            assert route["summary"]
            assert route["tags"]


def test_no_request_opens_a_connection(make_site, no_connections):
    """Every route once, with addresses of others in it."""
    site = make_site()
    for path, methods in site.get("/openapi.json").json["paths"].items():
        for method in methods:
            site.ask(method.upper(), re.sub(r"\{\w+\}", "x", path), png(), Content_Type="image/png")
            site.ask(method.upper(), re.sub(r"\{\w+\}", "http://example.org", path), b'{"name": "http://example.org"}')


def test_an_unknown_method_is_a_problem_document(site):
    assert site.ask("PUT", "/v1/predict", b"").json["code"] == "wrong_method"


def test_the_application_is_made_anew_each_time(site):
    assert make_app(site.service).app is not make_app(site.service).app
