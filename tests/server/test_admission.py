"""The outermost layer, with a server that counts what it is asked for: S4."""

import asyncio

import pytest

from sdlora.server.admission import Admission
from sdlora.server.guard import Guard
from sdlora.server.limits import Limits

LIMITS = Limits(request_bytes=1000, json_bytes=100, in_flight_bytes=1500, body_seconds=0.2)


class Upload:
    """A client that sends chunks, and counts how many bytes were taken from it."""

    def __init__(self, *chunks: bytes, stalls: bool = False):
        self.chunks, self.stalls, self.taken = list(chunks), stalls, 0

    async def receive(self):
        if not self.chunks and self.stalls:
            await asyncio.sleep(60)
        chunk = self.chunks.pop(0) if self.chunks else b""
        self.taken += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": bool(self.chunks) or self.stalls}


async def reads_all(scope, receive, send):
    """An application that reads the whole body and says how long it was."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


def ask(upload, path="/v1/predict", app=reads_all, token=None, admission=None, **headers):
    """Return status and headers of the answer."""
    seen = []
    admission = admission or Admission(
        app,
        guard=Guard(host="127.0.0.1", token=token),
        limits=LIMITS,
        version=lambda: "3-7d1e",
        on_answer=lambda *facts: seen.append(facts),
    )
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(b"host", b"localhost")]
        + [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(admission(scope, upload.receive, send))
    assert admission.in_flight == 0
    return sent[0]["status"], dict(sent[0]["headers"]), sent


@pytest.mark.parametrize(("size", "status"), [(999, 200), (1000, 200), (1001, 413), (10**15, 413)])
def test_a_length_that_is_told_is_refused_before_a_byte_is_read(size, status):
    upload = Upload(bytes(min(size, 1000)))
    assert ask(upload, content_length=str(size))[0] == status
    assert upload.taken == (0 if status == 413 else size)


@pytest.mark.parametrize("told", [None, "10"])
def test_a_length_that_is_not_told_or_wrong_is_counted(told):
    upload = Upload(*[bytes(100)] * 50)
    headers = {"content_length": told} if told else {}
    assert ask(upload, **headers)[0] == 413
    assert upload.taken <= 1100


@pytest.mark.parametrize("length", ["-1", "ten", "1e3", "+5", " 5", "٣".encode().decode("latin-1")])
def test_a_length_that_is_no_number_is_malformed(length):
    upload = Upload(b"x")
    assert ask(upload, content_length=length)[0] == 400
    assert upload.taken == 0


def test_bodies_that_are_no_pictures_are_short():
    assert ask(Upload(bytes(101)), path="/v1/lessons/x/start", content_length="101")[0] == 413
    assert ask(Upload(bytes(101)), path="/v1/lessons/x/images", content_length="101")[0] == 200


def test_without_the_token_nothing_is_read():
    upload = Upload(bytes(100))
    status, headers, _ = ask(upload, path="/v1/lessons/x/images", token="t" * 20)
    assert (status, upload.taken) == (401, 0)
    assert headers[b"www-authenticate"] == b"Bearer"


def test_a_body_that_does_not_come_is_given_up():
    assert ask(Upload(b"begin", stalls=True))[0] == 408


def test_all_bodies_together_are_bounded():
    async def nested(scope, receive, send):
        await receive()
        assert ask_inside() == 503
        await reads_all(scope, Upload().receive, send)

    admission = Admission(nested, guard=Guard(host="127.0.0.1"), limits=LIMITS, version=str, on_answer=lambda *_: None)

    def ask_inside():
        sent = []

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/predict",
            "headers": [(b"host", b"localhost"), (b"content-length", b"900")],
        }
        coroutine = admission(scope, Upload(bytes(900)).receive, send)
        with pytest.raises(StopIteration):
            coroutine.send(None)
        assert (b"retry-after", b"1") in sent[0]["headers"]
        return sent[0]["status"]

    assert ask(Upload(bytes(700)), admission=admission)[0] == 200


def test_every_answer_carries_version_and_policy():
    for upload, length in ((Upload(b"x"), "1"), (Upload(), "100000")):
        _, headers, _ = ask(upload, content_length=length)
        assert headers[b"x-model-version"] == b"3-7d1e"
        assert b"default-src 'none'" in headers[b"content-security-policy"]
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert headers[b"cache-control"] == b"no-store"


def test_an_error_of_the_application_after_its_answer_ends_here():
    async def breaks(scope, receive, send):
        await send({"type": "http.response.start", "status": 500, "headers": []})
        raise RuntimeError

    assert ask(Upload(), app=breaks)[0] == 500


def test_an_error_without_an_answer_is_passed_on():
    async def breaks(scope, receive, send):
        raise RuntimeError("here")

    with pytest.raises(RuntimeError, match="here"):
        ask(Upload(), app=breaks)
