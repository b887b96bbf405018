"""All the parts of one server, started and stopped together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from sdlora.server.batcher import Batcher, Room
from sdlora.server.decoders import Decoders
from sdlora.server.draft import Draft
from sdlora.server.drafts import Drafts
from sdlora.server.guard import Guard
from sdlora.server.limits import Limits
from sdlora.server.meters import Meters
from sdlora.server.problems import ProblemError
from sdlora.server.rules import flaws
from sdlora.server.served import LoadModel, Served, ServedModel
from sdlora.server.teach_worker import Job
from sdlora.server.teacher import Lesson, Teacher

log = logging.getLogger(__name__)

NUM_DECODERS = 2  # one can be replaced while the other works


class Service:
    """A model, what it answers with, and how it is taught.

    Args:
        path: The bundle.
        load: Reads it.
        guard: Says who may ask for what.
        limits: Sizes and times.
        retest: Folders of earlier classes that each lesson measures.
        device: Where lessons are taught.

    Attributes:
        served: The model and its folder.
        meters: What `/metrics` shows.
        room: Pictures admitted.
        batcher: The model thread.
        decoders: Processes that decode.
        drafts: Lessons being prepared.
        teacher: The lesson under way.
        is_stopping: Whether the server was asked to end.
        on_death: Called when the model thread dies; whoever runs the server sets it.
        on_swap: Called when another model has taken over; whoever runs the server may set it.

    Raises:
        BundleError: If the bundle is unusable.
    """

    def __init__(
        self,
        path: Path,
        load: LoadModel,
        *,
        guard: Guard,
        limits: Limits,
        retest: Sequence[str] = (),
        device: str = "auto",
    ) -> None:
        self.path, self.guard, self.limits, self.retest, self.device = path, guard, limits, list(retest), device
        self.on_death: Callable[[], None] = lambda: None
        self.on_swap: Callable[[], None] = lambda: None
        self.is_stopping = False
        self.meters = Meters()
        self.served = Served(path, load, limits.max_batch)
        self.room = Room(limits.queue, self.meters)
        self.batcher = Batcher(self.served.model, limits, self.meters, lambda: self.on_death())
        self.decoders = Decoders(NUM_DECODERS, limits)
        self.drafts = Drafts(drafts_folder(path), limits)
        self.teacher = Teacher(self.meters, self.refresh, lambda name: name in self.served.model.classes)
        self._follower: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start threads and processes; afterwards requests can be answered."""
        self.batcher.start()
        await self.decoders.start()
        self._follower = asyncio.create_task(self.served.follow(self._swap))

    async def stop(self) -> None:
        """End them; a lesson under way is cancelled and its draft kept."""
        self.is_stopping = True
        if self._follower is not None:
            self._follower.cancel()
        await self.teacher.cancel()
        await self.decoders.stop()
        self.batcher.stop()

    async def refresh(self) -> None:
        """Take over what the folder holds now."""
        await self.served.refresh(self._swap)

    def trouble(self) -> str | None:
        """Say why requests should go elsewhere for now, or return None."""
        if self.is_stopping:
            return "The server is stopping."
        if not self.batcher.is_alive:
            return "The model thread is not running."
        if not self.decoders.num_alive:
            return "No decoding process is running."
        return self.served.trouble

    def start_lesson(self, name: str) -> Lesson:
        """Start to teach a draft.

        Raises:
            ProblemError: 409 if a lesson runs, 422 if the draft has flaws.
        """
        self.teacher.check_idle()
        draft = self.drafts.get(name)
        found = flaws(draft, self.served.model.classes)
        if found:
            raise ProblemError(422, found[0].code, found[0].message, field=found[0].key)
        return self.teacher.start(name, self._job(draft), lambda: self.drafts.remove(name))

    def check_editable(self, name: str) -> None:
        """Refuse to change the draft that is being taught.

        Raises:
            ProblemError: 409 if it is.
        """
        if self.teacher.running is not None and self.teacher.running.id == name:
            raise ProblemError(
                409, "lesson_running", "This lesson is being taught.", fix="Wait for its end, or cancel it."
            )

    def _swap(self, model: ServedModel) -> None:
        self.batcher.swap(model)
        self.on_swap()

    def _job(self, draft: Draft) -> Job:
        filled = [entry for entry in draft.classes if entry.pictures]
        return Job(
            model=str(self.path),
            folder=str(self.drafts.folder(draft)),
            classes=[entry.name for entry in filled],
            pictures=[[f"{number}.png" for number in entry.pictures] for entry in filled],
            retest=self.retest,
            device=self.device,
        )


def drafts_folder(path: Path) -> Path:
    """Return where the drafts of a bundle lie: beside it, for a bundle that is copied must not hold pictures."""
    whole = path.absolute()
    return whole.with_name(f"{whole.name}.drafts")
