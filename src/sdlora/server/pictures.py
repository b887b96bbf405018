"""The pictures of a request: its whole body, or the parts of a form. Nothing is written to the disk."""

from __future__ import annotations

from typing import NamedTuple

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from sdlora.datasets.images import printable
from sdlora.server.limits import Limits
from sdlora.server.problems import ProblemError, too_large

FORM = "multipart/form-data"
FIELD = "image"  # what parts with pictures are called
MAX_BOUNDARY = 200  # bytes; RFC 2046 allows 70
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
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind == FORM.encode():
        found = await _read_form(request, options.get(b"boundary", b""), limits)
    elif not kind or kind.startswith(b"image/") or kind == b"application/octet-stream":
        found = [Upload(None, await _read_body(request, limits))]
    else:
        name = printable(kind.decode("latin-1"))[:100]
        raise ProblemError(
            415, "not_an_image_type", f"The body is {name}.", fix=f"Send a picture, or {FORM} with parts `{FIELD}`."
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


async def _read_form(request: Request, boundary: bytes, limits: Limits) -> list[Upload]:
    if not 0 < len(boundary) <= MAX_BOUNDARY:
        raise _malformed()
    form = _Form(limits)
    callbacks = {name: getattr(form, name) for name in dir(_Form) if name.startswith("on_")}
    parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]  # a dict with exactly its keys
    try:
        async for chunk in request.stream():
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise _malformed() from error
    if not form.is_complete:
        raise _malformed()
    return form.uploads


def _malformed() -> ProblemError:
    return ProblemError(400, "malformed", "The form cannot be read.")


class _Form:
    """Collects the parts of a form as the parser finds them, which bounds their heads itself."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.uploads: list[Upload] = []
        self.is_complete = False
        self._num_parts = 0

    def on_part_begin(self) -> None:
        self._num_parts += 1
        if self._num_parts > self.limits.images:
            raise ProblemError(413, "too_many_pictures", f"At most {self.limits.images} pictures a request.")
        self._head = {b"": b""}
        self._name, self._value = b"", b""
        self._data = bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self._head[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]
        if len(self._data) > self.limits.image_bytes:
            raise too_large(len(self._data), self.limits.image_bytes)

    def on_part_end(self) -> None:
        _, options = parse_options_header(self._head.get(b"content-disposition", b""))
        if options.get(b"name") == FIELD.encode():
            name = options.get(b"filename", b"").decode(errors="replace")
            self.uploads.append(Upload(printable(name)[:NAME_LENGTH] or None, bytes(self._data)))

    def on_end(self) -> None:
        self.is_complete = True
