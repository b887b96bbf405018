"""What a user can get wrong about a run: each ends with exit code 2, a reason, and nothing written."""

import pytest
from pictures import write_classes

FLOWERS = {"moss": 10, "rose": 10}
FOLDER = ("stream.dataset=folder", "stream.root=flowers")

WORDS = {
    "unknown method": (["method.name=sdlor"], 'Did you mean "sdlora"?'),
    "unknown dataset": (["stream.dataset=digit"], 'Did you mean "digits"?'),
    "unknown backbone": (["backbone.name=glyph_vi"], 'did you mean "glyph_vit"?'),
    "unknown key": (["optim.lrr=3"], "optim.lrr: unknown key. Did you mean optim.lr?"),
    "mistyped key": (["optim.epochs=many"], "optim.epochs"),
    "rank above the width": (["method.rank=17"], "rank 17 for a projection of width 16 -> 16"),
    "rank of nothing": (["method.rank=0"], "rank 0 for a projection of width 16 -> 16"),
    "more tasks than classes": (["stream.num_tasks=9"], "9 tasks for 4 classes"),
}


def _empty_class(root):
    write_classes(root, FLOWERS)
    (root / "tulip").mkdir()


def _no_images(root):
    root.mkdir()


def _class_twice(root):
    write_classes(root, {"caf\u00e9": 5, "cafe\u0301": 5})


def _not_in_test(root):
    write_classes(root / "train", FLOWERS)
    write_classes(root / "test", {"moss": 5})


def _only_in_test(root):
    write_classes(root / "train", {"moss": 5})
    write_classes(root / "test", FLOWERS)


FOLDERS = {
    _empty_class: "tulip has no image (it is empty)",
    _no_images: "no class with an image in flowers, it is empty",
    _class_twice: "is there twice, written in two ways",
    _not_in_test: 'class "rose" is in train/ and not in test/',
    _only_in_test: 'class "rose" is in test/ and not in train/',
}


@pytest.mark.parametrize("mistake", WORDS)
def test_words(sdlora, workplace, mistake):
    words, reason = WORDS[mistake]
    _is_refused(sdlora("train", "tiny.toml", *words), reason, workplace)


@pytest.mark.parametrize("make", FOLDERS)
def test_folders(sdlora, workplace, make):
    make(workplace / "flowers")
    _is_refused(sdlora("train", "tiny.toml", *FOLDER), FOLDERS[make], workplace)


def _is_refused(answer, reason, workplace):
    assert answer.code == 2
    assert reason in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""
    assert not list(workplace.rglob("manifest.json"))
