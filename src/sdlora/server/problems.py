"""Refusals as clients get them: problem documents (RFC 9457) with a code for programs and a fix for people."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

MEDIA_TYPE = "application/problem+json"


class ProblemError(Exception):
    """A request, or one picture of it, is refused.

    Args:
        status: HTTP status.
        code: Word by which programs know the problem; never reworded.
        detail: What happened, with the value received.
        fix: What to do about it.
        field: What part of the request is meant, such as the key of a class.
        retry_after: Seconds after which to try again.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        fix: str | None = None,
        field: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.fix = status, code, detail, fix
        self.field, self.retry_after = field, retry_after

    def to_dict(self) -> dict[str, Any]:
        """Return the problem document."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "fix": self.fix,
            "field": self.field,
        }

    def to_error(self) -> dict[str, str]:
        """Return the short form that stands beside the other pictures of a request."""
        return {"code": self.code, "message": self.detail + (f" {self.fix}" if self.fix else "")}

    def body(self) -> bytes:
        """Return the problem document as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False).encode()

    def headers(self) -> dict[str, str]:
        """Return the headers that belong to it."""
        headers = {"Content-Type": MEDIA_TYPE}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return headers


def too_large(size: int, limit: int) -> ProblemError:
    """Return the problem of something of `size` bytes where `limit` are taken."""
    return ProblemError(413, "too_large", f"{megabytes(size)} is over the limit of {megabytes(limit)}.")


def megabytes(size: int) -> str:
    """Return bytes as people read them: 18 MB, 64 kB."""
    if size >= 1_000_000:
        return f"{size / 1e6:.1f}".removesuffix(".0") + " MB"
    return f"{size / 1e3:.1f}".removesuffix(".0") + " kB"
