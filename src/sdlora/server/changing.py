"""Renaming classes and taking back the last lesson, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from sdlora.errors import BusyError, SDLoRAError
from sdlora.server.problems import ProblemError
from sdlora.server.service import Service


class Names(BaseModel):
    """Old names with the new ones."""

    model_config = ConfigDict(extra="forbid")
    names: dict[str, str] = Field(min_length=1, max_length=1000)


def change_routes(service: Service) -> APIRouter:
    """Return the routes, bound to a service."""
    router = APIRouter(tags=["teach"])

    @router.post("/v1/rename", summary="Give classes of the model other names")
    async def rename(body: Names) -> dict[str, Any]:
        service.teacher.check_idle()
        await _change(service, lambda: _rename(service, body.names))
        return {"model_version": service.served.model.version}

    @router.post("/v1/undo", summary="Take back the last lesson")
    async def undo() -> dict[str, Any]:
        from sdlora.bundle import undo as undo_bundle

        service.teacher.check_idle()
        await _change(service, lambda: undo_bundle(service.path))
        return {"model_version": service.served.model.version}

    return router


def _rename(service: Service, names: dict[str, str]) -> None:
    from sdlora.learner import Learner

    learner = Learner.load(service.path, device="cpu")
    learner.rename(names)
    learner.save(service.path)


async def _change(service: Service, change: Callable[[], object]) -> None:
    """Change the bundle in a thread, then let the new model answer.

    Raises:
        ProblemError: If it cannot be changed; it is what it was.
    """
    try:
        await asyncio.to_thread(change)
    except BusyError as error:
        raise ProblemError(409, "busy", error.what, fix=error.fix) from error
    except SDLoRAError as error:
        raise ProblemError(422, "refused", error.what, fix=error.fix) from error
    await service.refresh()
