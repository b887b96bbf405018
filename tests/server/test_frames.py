import asyncio
import io

import pytest

from sdlora.server.frames import PICTURE, Frame, pack, read_frame, receive_frame

FRAMES = [Frame(PICTURE, b"abc", 224, 0.875), Frame(0), Frame(3, bytes(70_000))]


def test_frames_come_out_as_they_went_in():
    stream = io.BytesIO(b"".join(map(pack, FRAMES)))
    assert [read_frame(stream) for _ in FRAMES] == FRAMES
    assert read_frame(stream) is None


@pytest.mark.parametrize("cut", [1, 5, 18])
def test_a_cut_frame_is_the_end(cut):
    assert read_frame(io.BytesIO(pack(FRAMES[0])[:cut])) is None


def test_frames_can_be_awaited():
    async def run():
        reader = asyncio.StreamReader()
        reader.feed_data(b"".join(map(pack, FRAMES)) + b"\x01")
        reader.feed_eof()
        assert [await receive_frame(reader) for _ in FRAMES] == FRAMES
        with pytest.raises(asyncio.IncompleteReadError):
            await receive_frame(reader)

    asyncio.run(run())
