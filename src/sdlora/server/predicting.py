"""`POST /v1/predict`: pictures in, predictions out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray

from sdlora.predictions import THRESHOLD, TOP_K, make_predictions
from sdlora.server.batcher import Answer
from sdlora.server.pictures import Upload, read_pictures
from sdlora.server.problems import ProblemError
from sdlora.server.service import Service

T = TypeVar("T")

CLIENT_LEFT = 499  # never sent: there is nobody to send it to


class ClientLeftError(Exception):
    """Nobody waits for the answer any more."""


def predict_routes(service: Service) -> APIRouter:
    """Return the route, bound to a service."""
    router = APIRouter(tags=["predict"])

    @router.post(
        "/v1/predict",
        summary="Name what pictures show",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "image/*": {"schema": {"type": "string", "format": "binary"}},
                    "multipart/form-data": {
                        "schema": {
                            "type": "object",
                            "properties": {"image": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                        }
                    },
                },
            }
        },
    )
    async def predict(
        request: Request,
        top_k: Annotated[int, Query(ge=1, le=20_000)] = TOP_K,
        threshold: Annotated[float, Query(ge=0, le=1)] = THRESHOLD,
    ) -> Response:
        """One picture as the body, or several as parts `image` of a form; one prediction for each, in order."""
        _check(service)
        uploads = await read_pictures(request, service.limits)
        with service.room.hold(len(uploads)):
            try:
                async with asyncio.timeout(service.limits.timeout):
                    found = await _unless_left(request, _answers(service, uploads))
            except TimeoutError:
                seconds = service.limits.timeout
                raise ProblemError(504, "timeout", f"No answer within {seconds:g} s.", fix="Try again.") from None
            except ClientLeftError:
                return Response(status_code=CLIENT_LEFT)
        if len(found) == 1 and isinstance(found[0], ProblemError):
            raise found[0]
        return _document(service, uploads, found, top_k, threshold)

    return router


def _check(service: Service) -> None:
    if service.is_stopping:
        raise ProblemError(503, "not_ready", "The server is stopping.", retry_after=5)
    if not service.served.model.classes:
        raise ProblemError(409, "not_taught", "Nothing was taught yet.", fix="Teach a first lesson.")
    service.room.check()


async def _answers(service: Service, uploads: list[Upload]) -> list[Answer | ProblemError]:
    """Return what one and the same model says of each picture, or why it says nothing."""
    pictures = await asyncio.gather(*(_decode(service, upload) for upload in uploads))
    good = [picture for picture in pictures if not isinstance(picture, ProblemError)]
    while True:
        answers = await asyncio.gather(*map(service.batcher.submit, good))
        if len({answer.model.version for answer in answers}) <= 1:
            break  # otherwise a lesson ended between two batches of this request, and the new model answers all of it
    rest = iter(answers)
    return [picture if isinstance(picture, ProblemError) else next(rest) for picture in pictures]


async def _decode(service: Service, upload: Upload) -> NDArray[np.uint8] | ProblemError:
    model = service.served.model
    try:
        return await service.decoders.picture(upload.data, model.image_size, model.test_crop)
    except ProblemError as problem:
        return problem


def _document(
    service: Service, uploads: list[Upload], found: list[Answer | ProblemError], top_k: int, threshold: float
) -> Response:
    model = next((answer.model for answer in found if isinstance(answer, Answer)), service.served.model)
    predictions: list[dict[str, Any]] = []
    for upload, answer in zip(uploads, found, strict=True):
        if isinstance(answer, ProblemError):
            predictions.append(_failed(upload, answer))
            continue
        (made,) = make_predictions(
            answer.probabilities[None],
            model.classes,
            model.tasks,
            images=[upload.name],
            top_k=top_k,
            threshold=threshold,
            model_version=model.version,
        )
        predictions.append(made.to_dict())
    body = json.dumps({"model_version": model.version, "predictions": predictions}, ensure_ascii=False, allow_nan=False)
    return Response(body, media_type="application/json", headers={"X-Model-Version": model.version})


def _failed(upload: Upload, problem: ProblemError) -> dict[str, Any]:
    empty = dict.fromkeys(("label", "probability", "is_unsure", "task"))
    return {"image": upload.name, **empty, "top": [], "error": problem.to_error()}


async def _unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do some work, but drop it when the client goes away.

    Raises:
        ClientLeftError: If it did.
    """
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(_leaving(request))
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientLeftError
        return task.result()
    finally:
        task.cancel()
        left.cancel()


async def _leaving(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
