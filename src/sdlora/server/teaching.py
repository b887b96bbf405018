"""Lessons over HTTP."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from sdlora.server.draft import Draft
from sdlora.server.pictures import Upload, read_pictures
from sdlora.server.problems import ProblemError
from sdlora.server.rules import flaws
from sdlora.server.service import Service

KEPT_SIDE = 320  # shorter side of a kept picture, pixels, unless the model needs more


class ClassName(BaseModel):
    """The name of a class; empty for one that is still to be named."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(default="", max_length=200)


def teach_routes(service: Service) -> APIRouter:
    """Return the routes, bound to a service."""
    router = APIRouter(tags=["teach"])
    for add in (_add_lessons, _add_classes, _add_pictures, _add_adding_pictures):
        add(router, service)
    return router


def _add_lessons(router: APIRouter, service: Service) -> None:
    @router.get("/v1/lessons", summary="Lessons being prepared, and the one that runs or ran last")
    async def lessons() -> dict[str, Any]:
        last = service.teacher.lesson
        ids = [draft.id for draft in service.drafts.all()]
        ids += [last.id] if last is not None and last.state == "done" and last.id not in ids else []
        return {"lessons": [describe(service, name) for name in ids]}

    @router.post("/v1/lessons", summary="Begin a lesson", status_code=201)
    async def create() -> dict[str, Any]:
        return describe(service, (await asyncio.to_thread(service.drafts.create)).id)

    @router.get("/v1/lessons/{lesson}", summary="A lesson: classes, pictures, flaws, progress, result")
    async def get(lesson: str) -> dict[str, Any]:
        return describe(service, lesson)

    @router.delete("/v1/lessons/{lesson}", summary="Cancel a running lesson, or delete one that does not run")
    async def delete(lesson: str) -> Response:
        if service.teacher.running is not None and service.teacher.running.id == lesson:
            await service.teacher.cancel()
        else:
            await asyncio.to_thread(service.drafts.remove, lesson)
        return Response(status_code=204)

    @router.post("/v1/lessons/{lesson}/start", summary="Teach a lesson", status_code=202)
    async def start(lesson: str) -> dict[str, Any]:
        service.start_lesson(lesson)
        return describe(service, lesson)


def _add_classes(router: APIRouter, service: Service) -> None:
    drafts = service.drafts

    @router.post("/v1/lessons/{lesson}/classes", summary="Add a class to a lesson", status_code=201)
    async def add_class(lesson: str, body: ClassName) -> dict[str, Any]:
        service.check_editable(lesson)
        return {"key": (await asyncio.to_thread(drafts.add_class, lesson, body.name)).key}

    @router.patch("/v1/lessons/{lesson}/classes/{key}", summary="Rename a class of a lesson")
    async def rename_class(lesson: str, key: str, body: ClassName) -> dict[str, Any]:
        service.check_editable(lesson)
        await asyncio.to_thread(drafts.rename_class, lesson, key, body.name)
        return describe(service, lesson)

    @router.delete("/v1/lessons/{lesson}/classes/{key}", summary="Take a class out of a lesson")
    async def remove_class(lesson: str, key: str) -> Response:
        service.check_editable(lesson)
        await asyncio.to_thread(drafts.remove_class, lesson, key)
        return Response(status_code=204)


def _add_pictures(router: APIRouter, service: Service) -> None:
    drafts = service.drafts

    @router.get("/v1/lessons/{lesson}/images/{number}", summary="A picture of a lesson, as PNG")
    async def picture(lesson: str, number: str) -> Response:
        return Response(await asyncio.to_thread(drafts.picture, lesson, number), media_type="image/png")

    @router.delete("/v1/lessons/{lesson}/images/{number}", summary="Take a picture out of a lesson")
    async def remove_picture(lesson: str, number: str) -> Response:
        service.check_editable(lesson)
        await asyncio.to_thread(drafts.remove_picture, lesson, number)
        return Response(status_code=204)


def _add_adding_pictures(router: APIRouter, service: Service) -> None:
    @router.post("/v1/lessons/{lesson}/images", summary="Add pictures to a class of a lesson", status_code=201)
    async def add_pictures(
        request: Request,
        lesson: str,
        label: Annotated[str | None, Query(alias="class", description="Name; the class is made when missing.")] = None,
        key: Annotated[str | None, Query(description="Or the key of a class.")] = None,
    ) -> dict[str, Any]:
        """One picture as the body, or several as parts `image` of a form."""
        service.check_editable(lesson)
        draft = service.drafts.get(lesson)
        if (label is None) == (key is None):
            raise ProblemError(400, "no_class", "Which class do the pictures belong to?", fix="?class=NAME")
        uploads = await read_pictures(request, service.limits)
        if key is None:
            key = (await asyncio.to_thread(service.drafts.add_class, lesson, label or "")).key
        draft.find(key)
        with service.room.hold(len(uploads)):
            images = [await _keep(service, lesson, key, upload) for upload in uploads]
        if len(images) == 1 and isinstance(images[0], ProblemError):
            raise images[0]
        return {
            "key": key,
            "images": [
                {"image": upload.name, "number": None, "error": kept.to_error()}
                if isinstance(kept, ProblemError)
                else {"image": upload.name, "number": kept, "error": None}
                for upload, kept in zip(uploads, images, strict=True)
            ],
        }


async def _keep(service: Service, lesson: str, key: str, upload: Upload) -> str | ProblemError:
    """Add one picture to a class and return its number, or why not."""
    model = service.served.model
    side = max(KEPT_SIDE, int(model.image_size / model.test_crop))
    try:
        png = await service.decoders.copy(upload.data, side)
        service.check_editable(lesson)
        return await asyncio.to_thread(service.drafts.add_picture, lesson, key, png)
    except ProblemError as problem:
        return problem


def describe(service: Service, name: str) -> dict[str, Any]:
    """Return all that clients are told of a lesson.

    Raises:
        ProblemError: 404 if there is none.
    """
    lesson = service.teacher.lesson if service.teacher.lesson and service.teacher.lesson.id == name else None
    is_done = lesson is not None and lesson.state == "done"
    draft = Draft(name, "") if is_done else service.drafts.get(name)
    found = flaws(draft, service.served.model.classes) if not is_done else []
    return {
        "id": name,
        "state": lesson.state if lesson is not None else "draft",
        "classes": [{"key": entry.key, "name": entry.name, "images": list(entry.pictures)} for entry in draft.classes],
        "num_images": draft.num_pictures,
        "flaws": [flaw.to_dict() for flaw in found],
        "seconds_estimate": estimate(service, draft.num_pictures),
        "progress": lesson.progress if lesson is not None else {},
        "record": lesson.record if lesson is not None else None,
        "failure": lesson.failure if lesson is not None else None,
    }


def estimate(service: Service, num_images: int) -> float | None:
    """Return how long a lesson should take, seconds, going by the last one; None without one."""
    lessons = [each for each in service.served.model.lessons if each.get("num_images") and each.get("seconds")]
    if not lessons or not num_images:
        return None
    last = lessons[-1]
    # Few pictures are passed over more often, so a small lesson takes as long as a middling one.
    return float(last["seconds"]) * max(1.0, num_images / float(last["num_images"]))
