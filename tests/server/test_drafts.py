"""Drafts live on the disk and cannot grow for ever."""

import pytest

from sdlora.server.drafts import Drafts
from sdlora.server.limits import Limits
from sdlora.server.problems import ProblemError


@pytest.fixture
def root(tmp_path):
    return tmp_path / "shop.drafts"


@pytest.fixture
def drafts(root):
    return Drafts(root, Limits(drafts=2, lesson_classes=3, lesson_images=4))


def content(drafts):
    return [draft.to_json() for draft in drafts.all()]


def test_a_restart_finds_every_change(drafts, root):
    draft = drafts.create()
    rose = drafts.add_class(draft.id, "rose").key
    moss = drafts.add_class(draft.id, "moss").key
    one, two = drafts.add_picture(draft.id, rose, b"1"), drafts.add_picture(draft.id, rose, b"2")
    drafts.add_picture(draft.id, moss, b"3")
    drafts.rename_class(draft.id, rose, " tulip ")
    drafts.remove_picture(draft.id, one)
    again = Drafts(root, Limits())
    assert content(again) == content(drafts)
    assert [(entry.name, list(entry.pictures)) for entry in again.get(draft.id).classes] == [
        ("tulip", [two]),
        ("moss", ["3"]),
    ]
    assert again.picture(draft.id, two) == b"2"
    assert not (root / draft.id / f"{one}.png").exists()
    again.remove_class(draft.id, moss)
    assert content(Drafts(root, Limits())) == content(again)


def test_deleting_leaves_nothing(drafts, root):
    first, second = drafts.create(), drafts.create()
    drafts.add_picture(first.id, drafts.add_class(first.id, "rose").key, b"1")
    drafts.remove(first.id)
    assert [path.name for path in root.iterdir()] == [second.id]
    drafts.remove(second.id)
    assert not root.exists()
    with pytest.raises(ProblemError):
        drafts.get(first.id)


def test_everything_is_bounded(drafts):
    draft, _ = drafts.create(), drafts.create()
    with pytest.raises(ProblemError) as caught:
        drafts.create()
    assert (caught.value.status, caught.value.code) == (409, "too_many_drafts")
    key, *_ = [drafts.add_class(draft.id, name).key for name in ("a", "b", "c")]
    with pytest.raises(ProblemError, match="at most 3 classes"):
        drafts.add_class(draft.id, "d")
    for number in range(4):
        drafts.add_picture(draft.id, key, bytes([number]))
    with pytest.raises(ProblemError, match="at most 4 pictures"):
        drafts.add_picture(draft.id, key, b"x")


def test_the_same_name_is_the_same_class_and_the_same_picture_the_same_picture(drafts):
    draft = drafts.create()
    assert (
        drafts.add_class(draft.id, "caf\N{LATIN SMALL LETTER E WITH ACUTE}").key
        == drafts.add_class(draft.id, "cafe\u0301").key
    )
    key = drafts.add_class(draft.id, "rose").key
    assert drafts.add_picture(draft.id, key, b"1") == drafts.add_picture(draft.id, key, b"1")
    assert drafts.add_class(draft.id, "").key != key


@pytest.mark.parametrize("name", ["../..", "", "..", "x/../../y", "\0", "/etc/passwd", "draft.json"])
def test_no_name_becomes_a_path(drafts, root, name):
    draft = drafts.create()
    key = drafts.add_class(draft.id, name).key
    drafts.add_picture(draft.id, key, b"1")
    assert {path.relative_to(root).parts[0] for path in root.rglob("*")} == {draft.id}
    assert {path.name for path in (root / draft.id).iterdir()} == {"draft.json", "1.png"}
    for call in (drafts.get, drafts.remove):
        with pytest.raises(ProblemError):
            call(name)
    with pytest.raises(ProblemError):
        drafts.picture(draft.id, name)
    assert list(root.parent.iterdir()) == [root]


def test_a_damaged_draft_is_left_alone_and_said(drafts, root, caplog):
    good, bad = drafts.create(), drafts.create()
    (root / bad.id / "draft.json").write_text("{")
    (root / good.id / ".x.partial").write_text("left by a kill")
    assert [draft.id for draft in Drafts(root, Limits()).all()] == [good.id]
    assert bad.id in caplog.text
    assert (root / bad.id).exists()
    assert not (root / good.id / ".x.partial").exists()
