import csv
import io
import os
import shutil
import sys
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pictures import encode, photo
from shops import AUTUMN, SPRING

from sdlora.cli.predict import summary
from sdlora.learner import Learner

KEYS = ["image", "label", "probability", "is_unsure", "task", "top", "error"]


def test_a_line_for_each_image_and_a_summary_on_stderr(sdlora, shop):
    (shop / "photo.png").write_bytes((shop / "test/pine/50.png").read_bytes())
    answer = sdlora("predict", "shop", "photo.png", "test/rose", "--threshold", "0")
    assert answer.code == 0
    lines = [line.split() for line in answer.out.splitlines()]
    assert [line[:2] for line in lines] == [["photo.png", "pine"]] + [
        [f"test/rose/{n}.png", "rose"] for n in (50, 51, 52, 53)
    ]
    starts = {line.index("pine" if "photo" in line else "rose", 10) for line in answer.out.splitlines()}
    assert len(starts) == 1
    assert answer.err.startswith("5 images: 5 sure. ")
    assert answer.err.rstrip().endswith("images/s, cpu")


def test_what_is_below_the_threshold_is_not_sure_and_still_named(sdlora, shop):
    answer = sdlora("predict", "shop", "test/rose/50.png", "--threshold", "0.99", "--top-k", "2")
    _, unsure, best, *_ = answer.out.split("   ")
    assert unsure.strip() == "not sure"
    first, second = answer.out.split("   ")[-2:]
    assert first.split()[0] == "rose"
    assert first.split()[1] == best.strip() or best.strip() in answer.out
    assert float(first.split()[1]) >= float(second.split()[1])
    assert "1 image: 0 sure, 1 not sure (best below 0.99)" in answer.err


def test_json_is_what_python_says(sdlora, shop):
    images = ["test/rose/50.png", "test/fir/51.png"]
    answer = sdlora("predict", "shop", *images, "--json", "--top-k", "4")
    assert answer.code == 0
    assert [list(entry) for entry in answer.json] == [KEYS] * 2
    assert answer.json == [found.to_dict() for found in Learner.load("shop").predict(images, top_k=4)]
    assert [entry["task"] for entry in answer.json] == [1, 2]


def test_a_table_for_spreadsheets_holds_what_json_does(sdlora, shop):
    Path("=1+1.png").write_bytes((shop / "test/fir/50.png").read_bytes())
    Path("a,b\n.png").write_bytes(b"no picture")
    images = ["test/rose/50.png", "=1+1.png", "a,b\n.png", "gone.png"]
    answer = sdlora("predict", "shop", *images, "--csv", "--threshold", "0.9")
    document = sdlora("predict", "shop", *images, "--json", "--threshold", "0.9").json
    assert answer.code == 6
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert [row["image"] for row in rows] == ["test/rose/50.png", "'=1+1.png", r"a,b\n.png", "gone.png"]
    for row, entry in zip(rows[:2], document[:2], strict=True):
        assert (row["label"], row["task"], row["error"]) == (entry["label"], str(entry["task"]), "")
        assert float(row["probability"]) == pytest.approx(entry["probability"], abs=1e-6)
        assert row["is_unsure"] == str(entry["is_unsure"]).lower()
    for row, entry in zip(rows[2:], document[2:], strict=True):
        assert (row["label"], row["probability"], row["is_unsure"], row["task"]) == ("", "", "", "")
        assert row["error"] == f"{entry['error']['code']}: {entry['error']['message']}"
    assert "4 images: " in answer.err


def test_one_table_or_one_document(sdlora, shop):
    answer = sdlora("predict", "shop", "test", "--csv", "--json")
    assert (answer.code, answer.out) == (2, "")
    assert "--csv and --json at once" in answer.err


def test_unreadable_images_are_named_and_the_others_answered(sdlora, shop):
    Path("mixed").mkdir()
    for name, data in {
        "a.png": (shop / "test/rose/50.png").read_bytes(),
        "b.jpg": encode(photo(40, 40), "JPEG")[:300],
        "c.heic": b"\0\0\0\x1cftypheic" + bytes(40),
        "d.png": b"hello",
    }.items():
        Path("mixed", name).write_bytes(data)
    answer = sdlora("predict", "shop", "mixed", "gone.png", "--threshold", "0")
    assert answer.code == 6
    rows = answer.out.splitlines()
    assert [row.split()[1] for row in rows] == ["rose", *["unreadable"] * 4]
    assert rows[3].endswith("not an image")
    assert rows[4].endswith("no such file")
    assert "5 images: 1 sure, 4 unreadable." in answer.err
    found = sdlora("predict", "shop", "mixed", "gone.png", "--json")
    assert found.code == 6
    assert [list(entry) for entry in found.json] == [KEYS] * 5
    assert [entry["error"] and entry["error"]["code"] for entry in found.json] == [
        None,
        "unreadable",
        "unreadable",
        "unreadable",
        "not_found",
    ]
    assert all(entry["label"] is None and entry["top"] == [] for entry in found.json[1:])


def test_many_images_come_in_their_order(sdlora, shop):
    names = [f"{folder}/{label}" for folder in ("spring", "autumn") for label in (SPRING, AUTUMN)[folder == "autumn"]]
    answer = sdlora("predict", "shop", *names * 2, "--json")
    files = [f"{name}/{n}.png" for name in names * 2 for n in range(5)]
    assert [entry["image"] for entry in answer.json] == files
    assert Counter(entry["label"] for entry in answer.json) == dict.fromkeys((*SPRING, *AUTUMN), 10)


def test_an_answer_does_not_depend_on_the_images_beside_it(sdlora, shop):
    together = sdlora("predict", "shop", "test", "--json").json
    for entry in together[::7]:
        (alone,) = sdlora("predict", "shop", entry["image"], "--json").json
        assert alone["label"] == entry["label"]
        assert alone["probability"] == pytest.approx(entry["probability"], abs=1e-6)


def test_paths_on_standard_input(sdlora, shop, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"test/rose/50.png\ntest/fir/50.png\n")))
    assert [entry["label"] for entry in sdlora("predict", "shop", "-", "--json").json] == ["rose", "fir"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["shop", "empty"], 2, "no image in empty/"),
        (["shop", "*.png"], 2, "no file matches *.png"),
        (["shop", "test", "--top-k", "0"], 2, "top_k = 0"),
        (["shop", "test", "--threshold", "50"], 2, "threshold = 50"),
        (["gone", "test"], 3, "gone"),
        (["test", "test"], 3, "test"),
        (["test/rose/50.png", "test"], 3, "test/rose/50.png"),
        (["shop", "test", "--device", "tpu"], 2, "tpu"),
    ],
)
def test_mistakes(words, code, message, sdlora, shop):
    Path("empty").mkdir()
    answer = sdlora("predict", *words)
    assert answer.code == code
    assert answer.out == ""
    assert answer.err.startswith("Error: ")
    assert message in answer.err.splitlines()[0]
    assert "bug" not in answer.err


def test_a_damaged_model_is_refused(sdlora, shop):
    for weights in Path("shop").glob("*.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-1])
    answer = sdlora("predict", "shop", "test")
    assert answer.code == 3
    assert ".safetensors" in answer.err
    assert answer.out == ""


HOSTILE = [
    "\x1b[31mred\x1b[0m.png",
    "\x1b]0;title\x07.png",
    "\x9b31m.png",
    "new\nline.png",
    "back\rslash.png",
    "\u202egnp.exe.png",
    "\u2028.png",
    "<img src=x onerror=alert(1)>.png",
    '"><script>alert(1)<',  # no suffix, so it must be named itself
    "=cmd|' ,calc'!A0.png",
    "[red]rich.png",
    ":smile:.png",
    "{{7*7}}.png",
    "%s%n.png",
    "-x.png",
    " .png",
    "'.png",
    "$(id).png",
    "\U000e0001tag.png",
    "e\u0301.png",
]


def test_hostile_names_are_data_in_every_output(sdlora, shop):
    Path("odd").mkdir()
    for name in HOSTILE:
        shutil.copy("test/rose/50.png", Path("odd", name))
    paths = [f"odd/{name}" for name in HOSTILE]
    text = sdlora("predict", "shop", *paths, "--threshold", "0")
    assert text.code == 0
    assert len(text.out.splitlines()) == len(HOSTILE)
    assert all(char.isprintable() or char == "\n" for char in text.out + text.err)
    answer = sdlora("predict", "shop", *paths, "--json")
    assert all(char.isprintable() or char == "\n" for char in answer.out)
    assert [entry["image"] for entry in answer.json] == paths


def test_hostile_names_in_errors(sdlora, shop):
    Path("odd").mkdir()
    for name in HOSTILE:
        Path("odd", name).write_bytes(b"no image")
    text = sdlora("predict", "shop", *[f"odd/{name}" for name in HOSTILE])
    assert text.code == 6
    assert len(text.out.splitlines()) == len(HOSTILE)
    assert all(char.isprintable() or char == "\n" for char in text.out + text.err)
    missing = sdlora("predict", "\x1b[31mshop", "test")
    assert missing.code == 3
    assert "\x1b" not in missing.err


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes there")
def test_a_name_that_is_no_text(sdlora, shop):
    name = os.fsdecode(b"odd\xff.png")
    shutil.copy("test/rose/50.png", name)
    (entry,) = sdlora("predict", "shop", name, "--json").json
    assert (entry["image"], entry["label"]) == (name, "rose")
    assert sdlora("predict", "shop", name).out.startswith("odd\\udcff.png")


def test_summary_says_what_there_is():
    counts = Counter({"sure": 2, "not sure": 1, "unreadable": 1})
    assert summary(counts, 0.5) == "4 images: 2 sure, 1 not sure (best below 0.50), 1 unreadable"
    assert summary(Counter({"sure": 1}), 0.5) == "1 image: 1 sure"


def test_columns_hold_wide_characters(sdlora, shop):
    for name in ("画像.png", "a.png"):
        Path(name).write_bytes(encode(np.zeros((28, 28, 3), np.uint8)))
    rows = sdlora("predict", "shop", "画像.png", "a.png", "--threshold", "0").out.splitlines()
    label = rows[0].split()[1]
    assert rows[1].index(label) - rows[0].index(label) == 2  # two characters, each two columns wide


def test_what_the_decoder_warns_of_is_no_noise(sdlora, shop):
    data = bytearray(encode(np.zeros((1, 1), np.uint8)))
    data[16:24] = (9_500).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    Path("bomb.png").write_bytes(data)
    answer = sdlora("predict", "shop", "bomb.png")
    assert answer.code == 6
    assert "has 9,500 x 9,500 pixels" in answer.out
    assert answer.err.startswith("1 image: 0 sure, 1 unreadable")
