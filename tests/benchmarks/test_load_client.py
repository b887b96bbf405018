"""The clients count what a server of a few lines gives them."""

import asyncio

import pytest

from benchmarks.load_client import load, make_request
from sdlora.datasets.images import decode


def answers_of(answer, **options):
    """Return what became of requests to a server that gives each of them the same bytes."""
    asked = []

    async def serve(reader, writer):
        while head := await reader.read(65536):
            asked.append(head)
            for part in answer:
                writer.write(part)
                await writer.drain()
            if not answer:
                break
        writer.close()

    async def session():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await load(server.sockets[0].getsockname()[1], [b"one", b"two"], **options)

    return asyncio.run(session()), asked


@pytest.mark.parametrize("status", [200, 503])
def test_answers_are_counted_by_status_however_they_are_cut(status):
    parts = [b"HTTP/1.1 %d X\r\nserver: y\r\nconte" % status, b"nt-length: 5\r\n\r\nhe", b"llo"]
    outcome, asked = answers_of(parts, num_clients=3, seconds=0.3)
    assert set(outcome.statuses) == {status}
    assert outcome.statuses[status] == len(outcome.times) == len(asked) > 3
    assert set(asked) == {b"one", b"two"}
    assert outcome.duration >= 0.3


def test_a_connection_that_breaks_is_counted_and_made_anew():
    outcome, asked = answers_of([], num_clients=1, seconds=0.3)
    assert set(outcome.statuses) == {0}
    assert outcome.statuses[0] == len(asked) > 1


@pytest.mark.parametrize(("num_images", "kind"), [(1, b"image/jpeg"), (3, b"multipart/form-data")])
def test_requests_hold_pictures(num_images, kind):
    head, _, body = make_request(0, num_images, 64).partition(b"\r\n\r\n")
    assert kind in head
    assert b"Content-Length: %d" % len(body) in head
    assert body.count(b"\xff\xd8\xff") == num_images
    if num_images == 1:
        assert decode(body).shape == (64, 64, 3)
