"""The hook that other tests rely on hears what it is for."""

import os
import pickle
import socket
import subprocess
import sys

import pytest
from audit import audited


def connect():
    with socket.socket() as own, pytest.raises(ConnectionRefusedError):
        own.connect(("127.0.0.1", 1))


@pytest.mark.parametrize(
    ("act", "event"),
    [
        (lambda: os.system("true"), "os.system"),
        (lambda: subprocess.run([sys.executable, "-c", ""], check=True), "subprocess.Popen"),
        (lambda: pickle.loads(pickle.dumps(os.getpid)), "pickle.find_class"),
        (connect, "socket.connect"),
    ],
)
def test_each_event_is_heard_inside_and_not_outside(act, event):
    with audited() as events:
        act()
    assert any(heard.startswith(event) for heard in events), events
    count = len(events)
    act()
    assert len(events) == count
