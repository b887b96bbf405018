"""One lesson at a time, taught in a process of its own while the model goes on answering."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from sdlora.server.beside import start_process
from sdlora.server.meters import Meters
from sdlora.server.problems import ProblemError
from sdlora.server.teach_worker import Job

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-P", "-m", "sdlora.server.teach_worker")
GRACE_SECONDS = 10.0  # for a cancelled lesson to stop by itself
LINE_BYTES = 2**20


@dataclass
class Lesson:
    """A lesson that was started.

    Attributes:
        id: Of its draft.
        job: What is taught.
        state: Where it stands.
        progress: Epoch, number of epochs, fraction done, seconds left, accuracy on held-out pictures so far; empty
            until the first steps were timed.
        record: What the bundle says of it, once it is learned.
        failure: Why it failed, with a fix.
        started: Monotonic time, seconds.
    """

    id: str
    job: Job
    state: Literal["running", "done", "failed", "cancelled"] = "running"
    progress: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] | None = None
    failure: dict[str, str | None] | None = None
    started: float = field(default_factory=time.monotonic)
    process: Process | None = None
    is_cancelled: bool = False


class Teacher:
    """Starts lessons.

    Args:
        meters: Where they are counted.
        on_end: Awaited when the process has ended, before the lesson's state changes: the model may be another.
        knows: Whether the model knows a class now; only that makes a lesson done.

    Attributes:
        lesson: The one that runs or ran last.
    """

    def __init__(self, meters: Meters, on_end: Callable[[], Awaitable[None]], knows: Callable[[str], bool]) -> None:
        self.meters, self.on_end, self.knows = meters, on_end, knows
        self.lesson: Lesson | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> Lesson | None:
        """The lesson under way."""
        return self.lesson if self.lesson is not None and self.lesson.state == "running" else None

    def check_idle(self) -> None:
        """Refuse while a lesson runs.

        Raises:
            ProblemError: 409 with the time left.
        """
        if self.running is not None:
            left = self.running.progress.get("seconds_left")
            about = f", {left:.0f} s left" if left is not None else ""
            raise ProblemError(409, "lesson_running", f"A lesson is running{about}.", fix="Wait for its end.")

    def start(self, name: str, job: Job, on_done: Callable[[], None]) -> Lesson:
        """Start a lesson.

        Args:
            name: Id of its draft.
            job: What to teach.
            on_done: Called, in a thread, once the lesson is learned.

        Raises:
            ProblemError: 409 if another one runs.
        """
        self.check_idle()
        self.lesson = lesson = Lesson(name, job)
        self._task = asyncio.get_running_loop().create_task(self._run(lesson, on_done))
        return lesson

    async def cancel(self) -> None:
        """Stop the lesson under way and wait until it has ended; it may have been learned just before."""
        lesson, task = self.running, self._task
        if lesson is None or task is None:
            return
        lesson.is_cancelled = True
        if lesson.process is not None and lesson.process.stdin is not None:
            lesson.process.stdin.close()
        done, _ = await asyncio.wait({task}, timeout=GRACE_SECONDS)
        if not done and lesson.process is not None:
            with suppress(ProcessLookupError):
                lesson.process.kill()
        await asyncio.wait({task})

    async def _run(self, lesson: Lesson, on_done: Callable[[], None]) -> None:
        try:
            await self._attend(lesson)
        except OSError as error:
            lesson.failure = {"detail": f"No process could be started: {error}.", "fix": None}
        await self.on_end()
        if all(map(self.knows, lesson.job.classes)):
            lesson.state = "done"
            try:
                await asyncio.to_thread(on_done)
            except (OSError, ValueError, ProblemError) as error:
                log.error("the pictures of a lesson were not deleted: %s", error)
        elif lesson.is_cancelled and lesson.failure is None:
            lesson.state = "cancelled"
        else:
            lesson.state = "failed"
            was_stored = lesson.record is not None
            cause = "The lesson was stored, but cannot be read." if was_stored else "The process that taught was ended."
            lesson.failure = lesson.failure or {"detail": cause, "fix": "Read the log." if was_stored else "Try again."}
        self.meters.lessons.labels(lesson.state).inc()

    async def _attend(self, lesson: Lesson) -> None:
        """Start the process and follow its events to the end."""
        process = await start_process(COMMAND, limit=LINE_BYTES)
        lesson.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(lesson.job.to_line())
            if lesson.is_cancelled:
                process.stdin.close()
            async for line in process.stdout:
                self._hear(lesson, json.loads(line))
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _hear(self, lesson: Lesson, event: dict[str, Any]) -> None:
        kind = event.pop("event")
        if kind == "progress":
            lesson.progress = event
        elif kind == "done":
            lesson.record = event["record"]
        elif kind == "failed":
            lesson.failure = {"detail": event["detail"], "fix": event["fix"]}
            log.error("a lesson failed: %s", event["detail"])
