import struct
import zlib

import numpy as np
import pytest
from pictures import encode, photo
from PIL import Image

from sdlora.datasets.images import decode
from sdlora.datasets.segments import MAX_BLOCKS, MAX_CHUNKS, MAX_FILL, MAX_SCANS, MAX_SEGMENTS, excess
from sdlora.errors import DataError

PLAIN = {format: encode(photo(48, 64), format) for format in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")}
PROGRESSIVE = encode(photo(48, 64), "JPEG", progressive=True)
LAST_SCAN = PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") : -2]
NUM_SCANS = PROGRESSIVE.count(b"\xff\xda")


def rescanned(times):
    return PROGRESSIVE[:-2] + LAST_SCAN * times + PROGRESSIVE[-2:]


def chunk(name, data=b""):
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def png(more):
    return PLAIN["PNG"][:33] + more + PLAIN["PNG"][33:]  # behind the header


def jpeg(more):
    return PLAIN["JPEG"][:2] + more + PLAIN["JPEG"][2:]


def gif(more):
    begin = PLAIN["GIF"].index(b",", 13 + 3 * 256)  # behind the palette
    return PLAIN["GIF"][:begin] + more + PLAIN["GIF"][begin:]


def bmp(width, height, runs, kind=1):
    """A BMP in run lengths of 8 bits (kind 1) or 4 (kind 2)."""
    palette = bytes(4 * 256)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8 // kind, kind, len(runs), 0, 0, 256 // kind**4, 0)
    palette = palette[: 4 * (256 // kind**4)]
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + header + palette + runs


BOMB = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))
COMMENT = b"\xff\xfe\0\2"
EXCESSIVE = {  # each of them took Pillow seconds, the profiles a minute, at 20 MB
    "texts": (png(1100 * chunk(b"tEXt", b"a\0")), "more than 1,000 segments"),
    "chunks of no meaning": (png(1100 * chunk(b"aaAa")), "more than 1,000 segments"),
    "data without data": (png((MAX_CHUNKS + 1) * chunk(b"IDAT")), "more than 100,000 segments"),
    "colour profiles": (png(2 * BOMB), "more than one colour profile"),
    "comments": (jpeg((MAX_SEGMENTS + 1) * COMMENT), "more than 1,000 segments"),
    "comments between scans": (PROGRESSIVE[:-2] + 1100 * COMMENT + LAST_SCAN, "more than 1,000 segments"),
    "padding": (jpeg((MAX_FILL + 10) * b"\xff"), "more than 100,000 bytes between its segments"),
    "rubbish": (jpeg((MAX_FILL + 10) * b"\0"), "more than 100,000 bytes between its segments"),
    "a comment of small blocks": (gif(b"!\xfe" + MAX_BLOCKS * b"\1a" + b"\0"), "more than 20,000 segments"),
    "small comments": (gif(MAX_BLOCKS * b"!\xfe\0"), "more than 20,000 segments"),
    "ends of lines": (bmp(20_000, 2500, b"\1\7\0\0" * 2500 + b"\0\1"), "a BMP of run lengths beyond 5,000,000 bytes"),
    "ends of lines, upside down": (bmp(20_000, -2500, b"\0\0" * 2500, 2), "a BMP of run lengths beyond"),
    "runs of a pixel": (bmp(1000, 1000, b"\1\7" * 2_500_001), "a BMP of run lengths beyond"),
    "bytes of no meaning": (gif(bytes(MAX_BLOCKS + 1)), "more than 20,000 segments"),
}


@pytest.mark.parametrize("kind", EXCESSIVE)
def test_excess_is_refused_before_anything_is_decoded(kind, monkeypatch):
    data, reason = EXCESSIVE[kind]
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(DataError, match=rf"slow\.xyz (is|is made of|has) {reason}[^\n]*\nExpected: a complete image"):
        decode(data, name="slow.xyz")


@pytest.mark.parametrize("format", PLAIN)
def test_what_encoders_write_is_within_the_limits(format):
    assert excess(PLAIN[format]) is None
    decode(PLAIN[format])


@pytest.mark.parametrize(
    "data",
    [
        png(900 * chunk(b"tEXt", b"a\0") + BOMB),
        png((MAX_CHUNKS - 10) * chunk(b"IDAT")),
        jpeg(900 * COMMENT),
        jpeg(900 * b"\xff"),
        bmp(3000, 3000, (b"\x64\7" * 30 + b"\0\0") * 3000 + b"\0\1"),
        bmp(100, 10, b"\x64\7\0\0" * 10 + b"\0\1", 2),
        gif(b"!\xfe" + (MAX_BLOCKS - 10) * b"\1a" + b"\0"),
        jpeg(b"".join(b"\xff\xe1\xff\xff" + bytes(65533) for _ in range(300))),
        encode(Image.new("RGB", (8, 8), "red"), "PNG", save_all=True, append_images=[Image.new("RGB", (8, 8))] * 400),
        encode(Image.new("RGB", (8, 8), "red"), "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8))] * 400),
    ],
    ids=[
        "texts",
        "data",
        "comments",
        "padding",
        "runs",
        "short runs",
        "blocks",
        "20 MB of metadata",
        "a PNG film",
        "a GIF film",
    ],
)
def test_much_is_not_too_much(data):
    assert decode(data).shape[2] == 3


def test_the_limit_of_scans_is_exact():
    assert 1 < NUM_SCANS < MAX_SCANS
    assert excess(rescanned(MAX_SCANS - NUM_SCANS)) is None
    decode(rescanned(MAX_SCANS - NUM_SCANS))
    assert excess(rescanned(MAX_SCANS - NUM_SCANS + 1)) == "paints its picture more than 64 times"
    with pytest.raises(DataError, match=r"slow\.jpg paints its picture more than 64 times"):
        decode(rescanned(100_000), name="slow.jpg")


def test_a_film_behind_the_picture_does_not_count():
    assert excess(PROGRESSIVE + b"\xff\xda\0\0" * 1000) is None
    assert excess(PLAIN["PNG"] + 2000 * chunk(b"tEXt", b"a\0")) is None


def test_a_thumbnail_in_the_metadata_does_not_count():
    exif = Image.Exif()
    exif[0x010E] = "\xda".encode("latin-1") * 3
    data = encode(photo(48, 64), "JPEG", exif=exif.tobytes() + b"\xff\xda" * 500)
    assert data.count(b"\xff\xda") > 500
    assert excess(data) is None


@pytest.mark.parametrize("start", [b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM"])
def test_any_bytes_have_an_answer(start):
    random = np.random.default_rng(3)
    for length in [*range(20), *random.integers(20, 400, 200)]:
        assert excess(start + random.bytes(length)) in (None, "paints its picture more than 64 times")
    assert excess(b"\xff\xd8\xff\xda") is None
