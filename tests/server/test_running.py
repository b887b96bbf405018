"""Listening and stopping: S7."""

import gc
import socket
import sys
import threading
import weakref

import pytest
from server.fakes import FakeModels, InProcess, png, write_generation

from sdlora.errors import BusyError, ConfigError
from sdlora.server.guard import Guard
from sdlora.server.limits import Limits
from sdlora.server.running import Runner, listen
from sdlora.server.service import Service

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


def test_the_interpreter_is_tuned_while_serving_and_as_before_afterwards(tmp_path):
    """Neither may a collection walk through the model while requests wait, nor a replaced model stay for ever."""
    write_generation(tmp_path / "shop", ["dark", "red"])
    service = Service(tmp_path / "shop", FakeModels().load, guard=Guard(host="127.0.0.1"), limits=Limits())
    service.decoders = InProcess(1, service.limits)
    before, seen = (sys.getswitchinterval(), gc.get_freeze_count()), []

    class Node:
        def __init__(self):
            self.itself = self

    def ready():
        seen.append((sys.getswitchinterval(), gc.get_freeze_count()))
        seen.append(weakref.ref(node[0]))
        node.clear()  # frozen garbage, like a model that was replaced
        service._swap(service.served.model)
        runner.stop()

    node = [Node()]
    with listen("127.0.0.1", 0) as listener:
        runner = Runner(service, listener)
        runner.serve_until_stopped(ready)
    tuned, replaced = seen
    assert tuned[0] < before[0]
    assert tuned[1] > before[1]
    assert replaced() is None
    assert (sys.getswitchinterval(), gc.get_freeze_count()) == before
