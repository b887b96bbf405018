"""Starting, killing and waiting for children."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path

from reliability import worker
from reliability.small_run import Case
from reliability.worker import Trouble

PATIENCE = 60.0  # seconds after which a child counts as hung


class Child:
    """A run in a process of its own."""

    def __init__(self, server: ForkServerContext, folder: Path, case: Case, trouble: Trouble = Trouble()) -> None:  # noqa: B008
        self.messages, theirs = server.Pipe(duplex=False)
        self.process = server.Process(target=worker.run, args=(folder, case, trouble, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def wait_for_message(self) -> str:
        assert self.messages.poll(PATIENCE), "the child says nothing"
        return self.messages.recv()

    def signal(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        with contextlib.suppress(ProcessLookupError):  # it may be done already
            os.kill(self.process.pid, number)

    def end(self) -> int:
        """Wait for the end and return the exit code, negative for a signal."""
        self.process.join(PATIENCE)
        assert self.process.exitcode is not None, "the child hangs"
        code = self.process.exitcode
        self.process.close()
        return code

    def last_message(self) -> str:
        message = ""
        while self.messages.poll():
            try:
                message = self.messages.recv()
            except EOFError:
                break
        return message


def run_to_end(server: ForkServerContext, folder: Path, case: Case) -> None:
    child = Child(server, folder, case)
    assert child.end() == 0, child.last_message()


def killed_after(server: ForkServerContext, folder: Path, case: Case, seconds: float) -> int:
    """Kill a run some time after its first step; return its exit code, 0 if it was done before."""
    child = Child(server, folder, case)
    try:
        child.wait_for_message()
    except EOFError:
        return child.end()
    time.sleep(seconds)
    child.signal(signal.SIGKILL)
    return child.end()
