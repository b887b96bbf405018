"""Listening and stopping: S7."""

import socket
import threading

import pytest
from server.fakes import FakeModels, png

from sdlora.errors import BusyError, ConfigError
from sdlora.server.running import listen

pytestmark = pytest.mark.slow


def test_a_taken_port_is_said_with_another():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(BusyError, match=rf"port {port} is taken\nFix: --port {port + 1}"):
            listen("127.0.0.1", port)


def test_an_address_that_is_not_ours_is_refused():
    with pytest.raises(ConfigError, match=r"cannot listen at 192\.0\.2\.1"):
        listen("192.0.2.1", 0)


def test_stopping_answers_what_was_admitted_and_cuts_who_stalls(make_site):
    site = make_site(models=FakeModels(delay=1.0), max_batch=1)
    replies = []
    clients = [threading.Thread(target=lambda: replies.append(site.predict(png()).status)) for _ in range(3)]
    stalled = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(20)]
    for client in stalled[:10]:
        client.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n")
    for client in clients:
        client.start()
    while site.service.room.waiting < 3:
        pass
    site.close()
    for client in clients:
        client.join(10)
    assert replies == [200] * 3
    for client in stalled:
        client.close()
    site.close = lambda: None
