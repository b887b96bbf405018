"""The model described, the state of the server, and the page."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Response

from sdlora import __version__
from sdlora.files import read_bytes
from sdlora.server.problems import ProblemError
from sdlora.server.service import Service

PAGE = files("sdlora.server") / "page"
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def about_routes(service: Service) -> APIRouter:
    """Return the routes, bound to a service."""
    router = APIRouter(tags=["about"])

    @router.get("/health/live", summary="Whether the process answers")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/health/ready", summary="Whether predictions can be expected")
    async def ready() -> dict[str, str]:
        if trouble := service.trouble():
            raise ProblemError(503, "not_ready", trouble, retry_after=1)
        return {"status": "ready"}

    @router.get("/v1/model", summary="The model, its lessons, and what may be sent")
    async def model() -> dict[str, Any]:
        return describe_model(service)

    @router.get("/v1/model/{document}", summary="The bundle's `card` (Markdown) or `config` (JSON)")
    async def document(document: str) -> Response:
        names = {"card": ("README.md", "text/markdown; charset=utf-8"), "config": ("config.json", "application/json")}
        if document not in names:
            raise ProblemError(404, "not_found", "There is nothing here.")
        name, kind = names[document]
        try:
            body = await asyncio.to_thread(read_bytes, service.path / name)
        except ValueError as error:
            raise ProblemError(404, "not_found", f"The bundle has no {name}.") from error
        return Response(body, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})

    @router.get("/metrics", summary="Batch sizes, waiting pictures, latencies, refusals", response_class=Response)
    async def metrics() -> Response:
        return Response(service.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    _add_page(router)
    return router


def _add_page(router: APIRouter) -> None:
    known = {entry.name: entry.read_bytes() for entry in PAGE.iterdir() if entry.is_file()}

    def asset(name: str) -> Response:
        if name not in known:
            raise ProblemError(404, "not_found", "There is nothing here.")
        kind = TYPES[name.rpartition(".")[2]]
        return Response(known[name], headers={"Content-Type": kind, "Cache-Control": "no-cache"})

    router.add_api_route("/", lambda: asset("index.html"), include_in_schema=False)
    router.add_api_route("/docs", lambda: asset("docs.html"), include_in_schema=False)
    router.add_api_route("/page/{name}", asset, include_in_schema=False)


def describe_model(service: Service) -> dict[str, Any]:
    """Return what `/v1/model` says."""
    model, running = service.served.model, service.teacher.running
    return {
        "name": service.path.absolute().name,
        "model_version": model.version,
        "num_seen": len(model.classes),
        "classes": [{"label": label, "task": task} for label, task in zip(model.classes, model.tasks, strict=True)],
        "lessons": list(model.lessons),
        "input": {"formats": ["JPEG", "PNG", "WebP"], "image_size": model.image_size},
        "limits": service.limits.to_dict(),
        "can_teach": service.guard.can_teach,
        "needs_token": service.guard.token is not None,
        "changed": service.served.changed,
        "running": {"seconds_left": running.progress.get("seconds_left")} if running else None,
        "trouble": service.trouble(),
        "waiting": service.room.waiting,
        "served_by": __version__,
        **model.facts,
    }
