"""Many clients at once, clients that leave, stopping under load, and nothing that grows: S1, S2, S6, S7, S14.

`SDLORA_TEST_SCALE=10` multiplies the counts.
"""

import asyncio
import gc
import io
import os
import random
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from server.fakes import FakeModels, png, scaled, until

from benchmarks.load_client import load

pytestmark = pytest.mark.slow

PICTURE = png()
PAGE = ("/", "/v1/model", "/page/style.css", "/page/app.js", "/page/teach.js", "/page/card.js", "/page/icon.svg")


def request(picture):
    head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(picture)}\r\n\r\n"
    return head.encode() + picture


def different_pictures(count):
    """Return pictures of which no two have the same mean level of red, all that the model looks at."""
    pictures = []
    for number in range(count):
        pixels = np.full((8, 8, 3), number // 4, np.uint8)
        pixels[: 2 * (number % 4), :, 0] += 1
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        pictures.append(buffer.getvalue())
    return pictures


def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def num_files():
    return len(os.listdir("/proc/self/fd"))


def test_many_clients_get_what_each_would_get_alone(site):
    """S1."""
    pictures = different_pictures(500)

    def one(row):
        reply = site.predict(pictures[row])
        assert reply.status == 200
        return {entry["label"]: entry["probability"] for entry in reply.json["predictions"][0]["top"]}

    alone = [one(row) for row in range(len(pictures))]
    assert len({tuple(found.values()) for found in alone}) == len(pictures)  # a swapped answer would be seen
    before = len(site.models.batches)
    rows = np.random.default_rng(0).integers(0, len(pictures), scaled(1000)).tolist()
    with ThreadPoolExecutor(64) as clients:
        together = list(clients.map(one, rows))
    for row, found in zip(rows, together, strict=True):
        assert list(found) == list(alone[row])
        np.testing.assert_allclose(list(found.values()), list(alone[row].values()), atol=1e-6)
    batches = site.models.batches[before:]
    assert sum(batches) == len(rows)
    assert max(batches) > 1


def test_overload_is_refused_and_costs_nothing(make_site):
    """S2: four times as many clients as there is room for, all of them asking again at once."""
    models = FakeModels(delay=0.02)
    site = make_site(models=models, max_batch=4, queue=16)
    for _ in range(50):
        site.predict(PICTURE)
    models.batches.clear()
    memory = resident()
    outcome = asyncio.run(load(site.port, [request(PICTURE)], 64, scaled(3)))
    statuses = outcome.statuses
    assert set(statuses) == {200, 503}
    assert statuses[503] > statuses[200]
    assert statuses[200] == sum(models.batches)  # no forward pass for a refused picture
    assert np.mean(models.batches) >= 0.7 * 4  # and the model is kept busy
    assert resident() - memory <= 64e6
    until(lambda: site.service.room.waiting == 0)
    assert site.predict(PICTURE).status == 200


def test_a_refusal_says_when_to_come_back(make_site):
    site = make_site(models=FakeModels(delay=0.3), max_batch=1, queue=3)
    with ThreadPoolExecutor(12) as clients:
        replies = list(clients.map(lambda _: site.predict(PICTURE), range(12)))
    assert Counter(reply.status for reply in replies).keys() == {200, 503}
    for reply in replies:
        if reply.status == 503:
            assert reply.json["code"] == "queue_full"
            assert int(reply.headers["retry-after"]) >= 1


def test_who_leaves_costs_nothing_afterwards(make_site):
    """S6: clients that leave after any number of bytes."""
    site = make_site(models=FakeModels(delay=0.5), max_batch=2, queue=64)
    site.predict(PICTURE)
    whole, number = request(PICTURE), scaled(500)
    place = random.Random(0)
    before = len(site.models.batches), num_files(), len(site.call(asyncio.all_tasks))

    def leave(_):
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            client.sendall(whole[: place.randrange(1, len(whole) + 200)])

    with ThreadPoolExecutor(16) as clients:
        list(clients.map(leave, range(number)))
    until(lambda: site.service.room.waiting == 0 and not site.runner.server_state.connections)
    until(lambda: len(site.call(asyncio.all_tasks)) <= before[2])
    assert num_files() <= before[1] + 1
    assert len(site.models.batches) - before[0] < number / 4  # most were dropped before their forward pass
    assert site.predict(PICTURE).status == 200


@pytest.mark.parametrize("number", range(scaled(20)))
def test_stopping_answers_what_was_admitted(make_site, number):
    """S7: answers that were promised arrive, stalled clients or not."""
    site = make_site(models=FakeModels(delay=0.05), max_batch=2)
    stalled = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(5)]
    for client in stalled[:3]:
        client.sendall(request(PICTURE)[: 20 + number])
    admitted, seen, replies = site.service.room, [], []

    def ask():
        try:
            replies.append(site.predict(PICTURE).status)
        except OSError:
            replies.append(0)  # came too late to be let in

    clients = [threading.Thread(target=ask) for _ in range(12)]
    for client in clients:
        client.start()
    until(lambda: admitted.waiting >= 1 + number % 10 or len(replies) == 12)
    site.call(lambda: (seen.append(admitted.waiting), site.runner.stop()))
    site._thread.join(30)
    assert not site._thread.is_alive()
    for client in clients:
        client.join(30)
    for client in stalled:
        client.close()
    assert len(replies) == 12
    assert set(replies) <= {200, 503, 0}
    assert replies.count(200) >= seen[0]


def test_memory_and_files_stay_where_they_are(make_site):
    """S14: predictions, and pages opened."""
    site = make_site()

    def session():
        for path in PAGE:
            assert site.get(path).status == 200

    for _ in range(300):
        site.predict(PICTURE)
    for _ in range(20):
        session()
    memory, opened, number = resident(), num_files(), scaled(2000)
    for _ in range(number):
        site.predict(PICTURE)
    for _ in range(scaled(200)):
        session()
    assert (resident() - memory) / number <= 1000  # bytes a request
    assert num_files() <= opened + 2


def test_slow_clients_are_cut_off_and_harm_nobody(make_site):
    """S3: half a head, a byte now and then, half a body, answers not taken; honest clients beside them."""
    site = make_site(head_seconds=1.5, body_seconds=1.5, drain_seconds=1.5)
    whole = request(PICTURE)
    openapi = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    stalled = [
        socket.create_connection(("127.0.0.1", site.port)) for _ in range(min(scaled(200), 600))
    ]  # 800 connections are let in
    for place, client in enumerate(stalled):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall((whole[:30], whole[:1], whole[:-10], openapi * 50)[place % 4])
    honest = asyncio.run(load(site.port, [whole], 8, 1.0))
    assert set(honest.statuses) == {200}
    end = time.monotonic() + 30
    while site.runner.server_state.connections and time.monotonic() < end:
        for client in stalled[1::4]:
            with suppress(OSError):  # it was cut off, as it should be
                client.send(b"X")
        time.sleep(0.1)
    assert not site.runner.server_state.connections
    for client in stalled:
        client.close()
