"""What child processes of these tests do to bundles; forked from a server that has everything imported."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from bundles import description, give_base, tensors, with_base
from lessons import Stripes
from reliability.faults import Calls

from sdlora import files
from sdlora.bundle import Description, commit_lesson, folder, is_bundle, read_bundle, read_config, writing
from sdlora.engine import Observer, StepReport
from sdlora.errors import BusyError
from sdlora.learner import Learner

HOLDER = re.compile(r"in use by (another process|process \d+ on \S+ since 20\d\d-\d\d-\d\dT[\d:+]+)$")


def lesson(generation: int) -> Description:
    """Return a description whose only record carries the number of its generation."""
    known = description(("a", "b"))
    return known.model_copy(update={"seed": generation})


def is_consistent(path: Path) -> int:
    """Read a bundle, check that the weights are those of the generation read, and return its number."""
    bundle = read_bundle(path)
    assert {float(value.flatten()[0]) for value in bundle.tensors.values()} == {float(bundle.config.seed)}
    return bundle.config.generation


def commit_many(path: Path, count: int, parent: Connection) -> None:
    """Commit generation after generation."""
    for number in range(read_config(path).generation + 1, count + 1):
        commit_lesson(path, lesson(number), tensors(number), parent_generation=number - 1)
        time.sleep(0.003)  # a reader shall have a chance
    parent.send(count)


def read_many(path: Path, last: int, pause: float, parent: Connection) -> None:
    """Read until the last generation is there; sleep between description and weights; tell how many were seen."""
    real = folder.read_bytes

    def slow(file: Path) -> bytes:
        time.sleep(pause)
        return real(file)

    folder.read_bytes = slow  # type: ignore[attr-defined]
    seen = set()
    try:
        while last not in seen:
            seen.add(is_consistent(path))
    except BaseException as error:
        parent.send(repr(error))
        return
    parent.send(len(seen))


def compete(path: Path, tries: int, parent: Connection, *, is_locked: bool = False) -> None:
    """Commit from whatever is there, with the lock or without; tell how often it worked, or what else went wrong."""
    done = 0
    try:
        for _ in range(tries):
            try:
                with writing(path) if is_locked else contextlib.nullcontext():
                    generation = read_config(path).generation
                    commit_lesson(path, lesson(done), tensors(done), parent_generation=generation)
                    done += 1
            except BusyError as error:
                if is_locked and not HOLDER.search(error.what):
                    raise
    except BaseException as error:
        parent.send(repr(error))
        return
    parent.send(done)


def commit_as(path: Path, user: int, parent: Connection) -> None:
    """Commit the next generation as a user of group 100, with an umask that gives the group nothing to write."""
    os.umask(0o022)
    if os.geteuid() == 0:
        os.setgroups([100])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    try:
        with writing(path):
            generation = read_config(path).generation if is_bundle(path) else 0
            value = generation + 1
            commit_lesson(path, lesson(value), tensors(value), parent_generation=generation or None)
            parent.send((os.geteuid(), read_bundle(path).config.generation))
    except BaseException as error:
        parent.send(repr(error))


def commit_and_die(path: Path, call: int) -> None:
    """Commit the next generation, and be killed before call number `call` of the operating system, from 0."""
    generation = read_config(path).generation
    _die_before(call)
    commit_lesson(path, lesson(1000 + call), tensors(1000 + call), parent_generation=generation)
    os._exit(0)


def begin_and_die(path: Path, call: int, *, is_own: bool) -> None:
    """Begin a bundle, and be killed before call number `call` of the operating system, from 0."""
    described = with_base(description(("a", "b"))) if is_own else description(("a", "b"))
    give_base()
    _die_before(call)
    commit_lesson(path, described, tensors(), parent_generation=None, give_base=give_base)
    os._exit(0)


def _die_before(call: int) -> None:
    def before(number: int, _: str) -> None:
        if number == call:
            os.kill(os.getpid(), signal.SIGKILL)

    files.os = Calls(before)  # type: ignore[assignment]


def teach(path: Path, numbers: tuple[int, ...], parent: Connection) -> None:
    """Teach one lesson and save it; tell of the first step."""
    torch.set_num_threads(1)

    class Telling(Observer):
        def on_step(self, report: StepReport) -> None:
            if report.done_images <= 16:
                parent.send("step")

    learner = Learner.load(path, device="cpu")
    learner.learn(Stripes(numbers), epochs=3, progress=Telling())
    learner.save(path)
    os._exit(0)


def teach_one(path: Path, method: str, numbers: tuple[int, ...], parent: Connection) -> None:
    """Teach one lesson, the first or the next, and save it."""
    torch.set_num_threads(1)
    try:
        new = not is_bundle(path)
        learner = Learner("untrained_vit", method=method, device="cpu") if new else Learner.load(path, device="cpu")
        learner.learn(Stripes(numbers), epochs=1)
        learner.save(path)
        parent.send("taught")
    except BaseException as error:
        parent.send(repr(error))


@contextlib.contextmanager
def begun(server: object, target: object, *arguments: object) -> Iterator[tuple[object, Connection]]:
    """Start a child and give it with the end of a pipe on which it answers."""
    ours, theirs = server.Pipe(duplex=False)  # type: ignore[attr-defined]
    process = server.Process(target=target, args=(*arguments, theirs), daemon=True)  # type: ignore[attr-defined]
    process.start()
    theirs.close()
    yield process, ours
    process.join(60)
    assert process.exitcode == 0
