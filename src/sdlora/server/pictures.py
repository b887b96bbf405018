"""The pictures of a request: its whole body, or the parts of a form."""

from __future__ import annotations

from typing import NamedTuple

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from sdlora.datasets.images import printable
from sdlora.server.limits import Limits
from sdlora.server.problems import ProblemError, too_large

FORM = "multipart/form-data"
MAX_PART_HEAD = 4_000  # bytes of a form field that is no file
NAME_LENGTH = 200


class Upload(NamedTuple):
    """A picture as it came.

    Attributes:
        name: File name the client gave it, for the answer alone.
        data: Its bytes.
    """

    name: str | None
    data: bytes


async def read_pictures(request: Request, limits: Limits) -> list[Upload]:
    """Return the pictures of a request, none of them decoded.

    Raises:
        ProblemError: 400 without a picture or with a broken form, 413 if there is too much, 415 for another type.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        found = await _read_form(request, limits)
    elif not kind or kind.startswith("image/") or kind == "application/octet-stream":
        found = [Upload(None, await _read_body(request, limits))]
    else:
        raise ProblemError(
            415, "not_an_image_type", f"The body is {kind[:100]}.", fix=f"Send a picture, or {FORM} with parts `image`."
        )
    if not any(upload.data for upload in found):
        raise ProblemError(400, "no_picture", "The request holds no picture.", fix="Send the bytes of a file.")
    return found


async def _read_body(request: Request, limits: Limits) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limits.image_bytes:
            raise too_large(len(body), limits.image_bytes)
    return bytes(body)


async def _read_form(request: Request, limits: Limits) -> list[Upload]:
    try:
        async with request.form(max_files=limits.images, max_fields=limits.images, max_part_size=MAX_PART_HEAD) as form:
            parts = [part for part in form.getlist("image") if isinstance(part, UploadFile)]
            return [Upload(_name(part.filename), await part.read()) for part in parts]
    except (HTTPException, MultiPartException) as error:
        detail = error.detail if isinstance(error, HTTPException) else error.message
        is_many = "Too many files" in str(detail)
        if is_many:
            raise ProblemError(413, "too_many_pictures", f"At most {limits.images} pictures a request.") from error
        raise ProblemError(400, "malformed", f"The form cannot be read: {printable(str(detail))[:200]}") from error
    except (ValueError, KeyError, LookupError) as error:
        raise ProblemError(400, "malformed", "The form cannot be read.") from error


def _name(name: str | None) -> str | None:
    return printable(name)[:NAME_LENGTH] if name else None
