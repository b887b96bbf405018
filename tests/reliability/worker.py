"""What child processes of these tests do; forked from a server that has everything imported, so they start at once.

Nothing here may run a backward pass in the server: its threads do not survive a fork.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from reliability.faults import Calls
from reliability.small_run import Case, train

from sdlora import files
from sdlora.datasets.images import decode
from sdlora.engine import Observer
from sdlora.errors import DataError, SDLoRAError
from sdlora.methods import Method

NOBODY = 65534  # a user without rights


@dataclass(frozen=True)
class Trouble:
    """What happens to a child; nothing if all are absent.

    Attributes:
        at_call: It kills itself before this call of the operating system by the write primitive, from 0.
        after_end_task: It kills itself so many seconds after ``end_task`` of that task, counted from 1, returned.
        at_step: It kills itself after so many steps.
        file_bytes: No file may become larger.
        block_at_step: It hangs after so many steps.
        stop_at_step: It gets SIGTERM after so many steps.
        is_unprivileged: It is not root.
    """

    at_call: int | None = None
    after_end_task: tuple[float, int] | None = None
    at_step: int | None = None
    file_bytes: int | None = None
    block_at_step: int | None = None
    stop_at_step: int | None = None
    is_unprivileged: bool = False


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Steps(Observer):
    """Tells the parent of the first step, and counts."""

    def __init__(self, parent: Connection, trouble: Trouble) -> None:
        self.parent, self.trouble, self.count = parent, trouble, 0

    def on_step(self, report: Any) -> None:
        self.count += 1
        if self.count == 1:
            self.parent.send("step")
        if self.count == self.trouble.at_step:
            die()
        if self.count == self.trouble.block_at_step:
            self.parent.send("blocked")
            time.sleep(60)
        if self.count == self.trouble.stop_at_step:
            os.kill(os.getpid(), signal.SIGTERM)


def run(folder: Path, case: Case, trouble: Trouble, parent: Connection) -> None:
    """Train, and exit with the code that the command line would."""
    torch.set_num_threads(1)
    if trouble.is_unprivileged and os.geteuid() == 0:
        with tempfile.TemporaryDirectory() as elsewhere:
            train(Path(elsewhere), case)  # imports what root alone may read
        os.setresuid(NOBODY, NOBODY, NOBODY)
    if trouble.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (trouble.file_bytes, trouble.file_bytes))
    if trouble.at_call is not None:
        files.os = Calls(lambda number, _: die() if number == trouble.at_call else None)  # type: ignore[assignment]
    make_method = case.make_method
    if trouble.after_end_task is not None:
        make_method = dying_after(make_method, *trouble.after_end_task)
    try:
        code = train(folder, case, Steps(parent, trouble), make_method).exit_code
    except SDLoRAError as error:
        parent.send(str(error))
        code = error.exit_code
    except BaseException:
        traceback.print_exc()
        code = 1
    parent.close()
    os._exit(code)  # at once: taking everything down would take longer than the run


def use_model(model: Path, pictures: Path, out: Path, parent: Connection) -> None:
    """Use a model with every command that reads one, as a user without rights; tell their exit codes.

    Serving is not a command here but what it loads: told is the number of classes served.
    """
    torch.set_num_threads(1)
    os.environ["HOME"] = str(out)
    commands = {
        "predict": ["predict", str(model), str(pictures)],
        "inspect": ["inspect", str(model)],
        "evaluate": ["evaluate", str(model), str(pictures)],
        "export": ["export", str(model), "--to", "timm", "--out", str(out / "export")],
    }
    try:
        from sdlora.cli.main import main
        from sdlora.server.served import load_bundle

        with tempfile.TemporaryDirectory() as elsewhere:  # imports what root alone may read
            main(["export", str(model), "--to", "timm", "--out", f"{elsewhere}/export"])
            main(["evaluate", str(model), str(pictures)])
        if os.geteuid() == 0:
            os.setresuid(NOBODY, NOBODY, NOBODY)
        codes = {name: main(words) for name, words in commands.items()}
        parent.send(codes | {"serve": len(load_bundle(model, device="cpu").classes)})
    except BaseException:
        parent.send(traceback.format_exc())


def decode_all(folder: Path, count: int, parent: Connection) -> None:
    """Decode the pictures 0.png, 1.png, ...; tell what was said of each, and the most memory held until then, bytes."""

    def peak() -> int:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    decode(folder / "good.png")  # brings what codecs import
    begin, results = peak(), []
    for number in range(count):
        said = None
        try:
            decode(folder / f"{number}.png", name=f"{number}.png")
        except DataError as error:
            said = error.what
        results.append((said, peak()))
    parent.send((begin, results))
    parent.close()


def dying_after(make_method: Callable[[], Method], seconds: float, task: int) -> Callable[[], Method]:
    """Return methods that die some time after the end of a task."""

    def make() -> Method:
        method = make_method()
        end_task, count = method.end_task, 0

        def end(data: Any) -> None:
            nonlocal count
            end_task(data)
            count += 1
            if count == task:
                threading.Timer(seconds, die).start()

        method.end_task = end  # type: ignore[method-assign]
        return method

    return make


def exit_with_preload() -> None:
    """Exit with 0 if the server had imported its modules before it forked this process."""
    os._exit("reliability.server" not in sys.modules)


def hold(folder: Path, parent: Connection) -> None:
    """Hold a lock until killed, with two workers forked meanwhile."""
    with files.FolderLock(folder):
        workers = [os.fork() for _ in range(2)]
        if 0 in workers:
            time.sleep(60)
            os._exit(0)
        parent.send(workers)
        time.sleep(60)


def count_up(folder: Path, tries: int, parent: Connection) -> None:
    """Add one to a number in a file under the lock, again and again; tell how often it worked."""
    done = 0
    for _ in range(tries):
        with contextlib.suppress(files.BusyError), files.FolderLock(folder):
            number = files.read_json(folder / "number.json")
            files.write_json(folder / "number.json", number + 1)
            done += 1
    parent.send(done)
