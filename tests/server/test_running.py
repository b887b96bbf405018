"""Listening and stopping: S7."""

import gc
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref

import pytest
from server.fakes import FakeModels, InProcess, png, until, write_generation

from sdlora.errors import BusyError, ConfigError
from sdlora.server.guard import Guard
from sdlora.server.limits import Limits
from sdlora.server.running import Runner, listen
from sdlora.server.service import Service

pytestmark = pytest.mark.slow

COMMAND = """
import sys
from pathlib import Path
from server.fakes import FakeModels, InProcess
from sdlora.server.guard import Guard
from sdlora.server.limits import Limits
from sdlora.server.running import Runner, listen
from sdlora.server.service import Service

models, guard = FakeModels(), Guard(host="127.0.0.1")
service = Service(Path(sys.argv[1]), models.load, guard=guard, limits=Limits())
service.decoders = InProcess(1, service.limits)
models.delay = 600.0  # of every answer from now on
with listen("127.0.0.1", 0) as listener:
    ready = lambda: print(listener.getsockname()[1], flush=True)
    Runner(service, listener, lambda *answer: print(*answer[:3], flush=True)).serve_until_stopped(ready)
print("ended", flush=True)
"""


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_cuts_off_the_requests_in_hand(tmp_path, number):
    """None of them is answered 500, and nothing is complained of."""
    write_generation(tmp_path / "shop", ["dark", "red"])
    command = [sys.executable, "-c", COMMAND, str(tmp_path / "shop")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        try:
            port = int(server.stdout.readline())
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            client.request("POST", "/v1/predict", png(), {"Content-Type": "image/png"})
            stalled = socket.create_connection(("127.0.0.1", port))
            stalled.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n")
            other = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            while True:  # until the picture is with the model
                other.request("GET", "/v1/model")
                if json.loads(other.getresponse().read())["waiting"]:
                    break
            server.send_signal(number)
            time.sleep(0.5)
            assert server.poll() is None
            server.send_signal(number)
            with pytest.raises(ConnectionError):
                client.getresponse()
            out, err = server.communicate(timeout=120)
        finally:
            server.kill()
            stalled.close()
            other.close()
    assert server.returncode == 0
    assert out.endswith("POST /v1/predict 499\nended\n")
    assert err == ""


def test_what_takes_too_long_is_cut_off_without_an_answer(make_site, monkeypatch):
    monkeypatch.setattr("sdlora.server.running.STOP_SECONDS", 1)
    models = FakeModels()
    site = make_site(models=models)
    models.delay = 20.0
    errors = []

    def ask():
        try:
            errors.append(site.predict(png()).status)
        except ConnectionError as error:
            errors.append(error)

    client = threading.Thread(target=ask)
    client.start()
    until(lambda: site.service.room.waiting)
    site.close()
    client.join(10)
    (error,) = errors
    assert isinstance(error, ConnectionError)
    site.close = lambda: None
