"""Slow clients are cut off; many of them at once are in test_load: S3."""

import socket
import time
from contextlib import suppress

import pytest
from server.fakes import png

pytestmark = pytest.mark.slow


BEGIN = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
PICTURE = png()


def connect(site):
    client = socket.create_connection(("127.0.0.1", site.port))
    client.settimeout(20)
    return client


def read_to_the_end(client):
    data = b""
    try:
        while part := client.recv(65536):
            data += part
    except ConnectionResetError:
        pass
    return data


@pytest.fixture
def strict(make_site):
    return make_site(head_seconds=0.4, body_seconds=0.4, drain_seconds=0.4)


@pytest.mark.parametrize("sent", [b"", b"PO", BEGIN, BEGIN + b"X-Long: " + b"x" * 1000])
def test_a_head_that_does_not_come_is_given_up(strict, sent):
    with connect(strict) as client:
        client.sendall(sent)
        assert read_to_the_end(client) == b""


def test_a_head_that_trickles_in_has_no_more_time(strict):
    with connect(strict) as client:
        started = time.monotonic()
        client.sendall(BEGIN)
        client.settimeout(0.05)
        while time.monotonic() - started < 15:
            try:
                client.sendall(b"X")
                if client.recv(10) == b"":
                    break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break
        else:
            pytest.fail("it was kept open")


def test_a_body_that_does_not_come_is_answered_and_given_up(strict):
    with connect(strict) as client:
        client.sendall(BEGIN + b"Content-Length: 1000\r\n\r\nhalf")
        assert read_to_the_end(client).startswith(b"HTTP/1.1 408")


def test_an_answer_that_is_not_taken_is_given_up(strict):
    with connect(strict) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(2)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        started = time.monotonic()
        with suppress(TimeoutError, ConnectionError):  # it stops reading us, then cuts us off
            while time.monotonic() - started < 15:
                client.sendall(request * 100)
        deadline = time.monotonic() + 15
        while strict.runner.server_state.connections:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_refused_body_is_swallowed_for_a_while_so_that_the_answer_arrives(strict):
    with connect(strict) as client:
        client.sendall(BEGIN + b"Content-Length: 100000000\r\n\r\n" + bytes(3_000_000))
        assert read_to_the_end(client).startswith(b"HTTP/1.1 413")


def test_a_connection_serves_one_request_after_another(strict):
    with connect(strict) as client:
        for pause in (0, 0.1, 0.6):  # longer than the head may take, for nothing of one was sent
            time.sleep(pause)
            client.sendall(BEGIN + b"Content-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE)
            reply = b""
            while not reply.endswith(b"}]}"):
                reply += client.recv(65536)
            assert reply.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n", b"A" * 100_000, b"GET / HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_http_is_refused(strict, sent):
    with connect(strict) as client:
        client.sendall(sent)
        assert client.recv(65536)[9:12] in (b"400", b"403")
