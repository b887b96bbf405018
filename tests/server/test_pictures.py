"""Forms in any order of chunks."""

import asyncio

import pytest
from server.fakes import form

from sdlora.server.limits import Limits
from sdlora.server.pictures import read_pictures
from sdlora.server.problems import ProblemError


class Request:
    def __init__(self, body, kind, step):
        self.headers = {"content-type": kind}
        self._body, self._step = body, step

    async def stream(self):
        for start in range(0, len(self._body), self._step):
            yield self._body[start : start + self._step]


def read(body, kind, step=10**6, **limits):
    return asyncio.run(read_pictures(Request(body, kind, step), Limits(**limits)))


@pytest.mark.parametrize("step", [1, 7, 64, 10**6])
def test_a_form_is_read_however_it_is_cut(step):
    parts = [("a.png", b"one\r\n--x-boundar"), ("b.png", bytes(range(256)))]
    body, kind = form(*parts)
    assert [tuple(upload) for upload in read(body, kind, step)] == parts


def test_other_fields_are_left_out():
    other, kind = form(("a.txt", b"text"), name="comment")
    body, _ = form(("a.png", b"x"))
    assert [upload.name for upload in read(other.removesuffix(b"--x-boundary--\r\n") + body, kind)] == ["a.png"]


@pytest.mark.parametrize("cut", [3, 20, 60, 110, 150])
def test_a_form_that_ends_early_is_malformed(cut):
    body, kind = form(("a.png", b"x" * 100))
    with pytest.raises(ProblemError, match="cannot be read"):
        read(body[:-cut], kind)


def test_a_part_that_is_too_large_ends_the_reading():
    body, kind = form(("a.png", b"x" * 1000))
    with pytest.raises(ProblemError, match="over the limit"):
        read(body, kind, 100, image_bytes=500)
    with pytest.raises(ProblemError, match="over the limit"):
        read(b"x" * 1000, "image/png", 100, image_bytes=500)


def test_names_cannot_steer_a_terminal():
    body, kind = form(("\x1b[31m\xff.png", b"x"))
    (upload,) = read(body, kind)
    assert "\x1b" not in upload.name
