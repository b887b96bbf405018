"""Who may ask for what: S9 and S10."""

import pytest

from sdlora.errors import ConfigError
from sdlora.server.guard import Guard, is_loopback, is_open
from sdlora.server.problems import ProblemError

HERE = Guard(host="127.0.0.1")
WIDE = Guard(host="0.0.0.0", names=("shop.example",), token="x" * 20)


def verdict(guard, method="POST", path="/v1/lessons", **headers):
    try:
        guard.check(method, path, {name.replace("_", "-"): value for name, value in headers.items()})
    except ProblemError as problem:
        return problem.status
    return 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "shop.example"])
def test_without_a_token_nobody_else_may_teach(host):
    with pytest.raises(ConfigError, match="--teach off, or --token-file"):
        Guard(host=host)
    assert Guard(host=host, can_teach=False)
    assert Guard(host=host, token="secret")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_none(host):
    assert is_loopback(host)
    assert Guard(host=host).token is None


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000", "127.8.8.8"])
@pytest.mark.parametrize("site", ["same-origin", "none", None])
def test_own_requests_pass(host, site):
    headers = {"host": host} | ({"sec_fetch_site": site} if site else {})
    assert verdict(HERE, **headers) == 200
    assert verdict(HERE, **headers, origin=f"http://{host}") == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""]
)
@pytest.mark.parametrize("path", ["/", "/v1/predict", "/v1/lessons"])
def test_a_rebound_name_is_foreign(host, path):
    assert verdict(HERE, path=path, host=host) == 403


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "http://127.0.0.1:9000",
        "http://127.0.0.1",
        "http://a.127.0.0.1:8000",
        "file://",
        "",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/lessons"])
def test_a_foreign_origin_is_refused(origin, method, path):
    assert verdict(HERE, method, path, host="127.0.0.1:8000", origin=origin) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/lessons", "/page/app.js"])
def test_requests_of_other_pages_are_refused_without_an_origin_too(site, path):
    assert verdict(HERE, "GET", path, host="localhost", sec_fetch_site=site) == 403
    assert verdict(HERE, "GET", path, host="localhost", sec_fetch_site=site, sec_fetch_mode="navigate") == 403


def test_a_link_to_the_page_works():
    headers = {"host": "localhost", "sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert verdict(HERE, "GET", "/", **headers) == 200
    assert verdict(HERE, "POST", "/", **headers) == 403


def test_an_address_of_the_network_is_called_by_number_or_by_a_given_name():
    for host in ("192.168.1.5:8000", "shop.example", "SHOP.example:80", "[fe80::1]", "localhost"):
        assert verdict(WIDE, "POST", "/v1/predict", host=host) == 200
    assert verdict(WIDE, "POST", "/v1/predict", host="other.example") == 403


def test_the_token_opens_what_changes_the_model_and_nothing_else_does():
    for path in ("/v1/lessons", "/v1/lessons/x/start", "/v1/rename", "/v1/undo", "/some/new/route"):
        assert verdict(WIDE, path=path, host="10.0.0.1") == 401
        assert verdict(WIDE, path=path, host="10.0.0.1", authorization="Bearer " + "x" * 19) == 401
        assert verdict(WIDE, path=path, host="10.0.0.1", authorization="x" * 20) == 401
        assert verdict(WIDE, path=path, host="10.0.0.1", authorization="Bearer " + "x" * 20) == 200
    assert verdict(WIDE, path="/v1/lessons", host="10.0.0.1", authorization="Bearer \xff") == 401
    for path in ("/v1/predict", "/v1/model", "/health/live", "/health/ready", "/metrics", "/"):
        assert verdict(WIDE, path=path, host="10.0.0.1") == 200


def test_teaching_can_be_off():
    assert verdict(Guard(host="127.0.0.1", can_teach=False), host="localhost") == 403


def test_every_route_that_is_not_named_open_is_closed(site):
    paths = site.get("/openapi.json").json["paths"]
    closed = {path for path in paths if not is_open(path)}
    assert {path for path in paths if path.startswith(("/v1/lessons", "/v1/rename", "/v1/undo"))} <= closed
    assert closed - {"/v1/model/{document}"} == {
        path for path in paths if path.startswith(("/v1/lessons", "/v1/rename", "/v1/undo"))
    }


def test_no_answer_allows_other_origins(site):
    for origin in ("http://evil.example", "null"):
        for path in ("/", "/v1/model", "/v1/predict", "/v1/lessons", "/page/app.js"):
            reply = site.ask("OPTIONS", path, Origin=origin)
            assert reply.status == 403
            assert not [name for name in reply.headers if name.startswith("access-control")]
