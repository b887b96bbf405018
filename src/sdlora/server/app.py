"""The application: routes, and what becomes of every error in them."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from sdlora import __version__
from sdlora.server.about import about_routes
from sdlora.server.admission import Admission, OnAnswer
from sdlora.server.changing import change_routes
from sdlora.server.predicting import CLIENT_LEFT, predict_routes
from sdlora.server.problems import ProblemError
from sdlora.server.service import Service
from sdlora.server.teaching import teach_routes

log = logging.getLogger(__name__)


def make_app(service: Service, on_answer: OnAnswer = lambda *_: None) -> Admission:
    """Return the whole application.

    Args:
        service: The parts it answers with; started and stopped with it.
        on_answer: Hears of every answer, for an access log.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="sdlora",
        version=__version__,
        description="A model that goes on learning new classes.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's pages load scripts from elsewhere; `page/docs.html` does not
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in (about_routes(service), predict_routes(service), teach_routes(service), change_routes(service)):
        app.router.routes.extend(router.routes)  # an included router would look for changes of itself at every request
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(Exception, _internal)

    def count(method: str, path: str, status: int, seconds: float) -> None:
        service.meters.on_answer(method, path, status, seconds)
        on_answer(method, path, status, seconds)

    return Admission(
        app,
        guard=service.guard,
        limits=service.limits,
        version=lambda: service.served.model.version,
        on_answer=count,
    )


def _respond(problem: ProblemError) -> Response:
    return Response(problem.body(), problem.status, headers=problem.headers())


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return _respond(error)


async def _malformed(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"{'.'.join(str(part) for part in each['loc'])[:100]}: {each['msg']}" for each in error.errors()]
    return _respond(ProblemError(400, "malformed", "; ".join(faults[:5])[:500]))


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "wrong_method"}.get(error.status_code, "malformed")
    detail = {404: "There is nothing here.", 405: "This address does not take that method."}
    return _respond(ProblemError(error.status_code, code, detail.get(error.status_code, str(error.detail))))


async def _left(_: Request, __: Exception) -> Response:
    return Response(status_code=CLIENT_LEFT)


async def _internal(request: Request, error: Exception) -> Response:
    name = secrets.token_hex(4)
    log.error("error %s at %s", name, request.scope["path"], exc_info=error)
    return _respond(ProblemError(500, "internal", f"This is a bug of ours; the log has it as {name}."))
