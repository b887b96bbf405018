"""History in a real browser, mostly on a real bundle, which can be changed."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
from lessons import Levels
from server.browsing import NEEDS_BROWSER, SECONDS, fill_card, focused
from server.fakes import write_generation

from sdlora import Learner
from sdlora.server.served import load_bundle

pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    learner = Learner(device="cpu")
    learner.learn(Levels("dark", "light"), epochs=1)
    learner.learn(Levels("night", "day"), epochs=1)
    path = tmp_path_factory.mktemp("history") / "shop"
    learner.save(path)
    learner.rename({"day": "noon"})
    return learner.save(path)


@pytest.fixture
def real_site(taught, make_site, tmp_path):
    shutil.copytree(taught, tmp_path / "shop")
    return make_site(models=SimpleNamespace(load=lambda path: load_bundle(path, device="cpu")), classes=())


def test_lessons_newest_first(make_site, open_page):
    page = open_page(make_site(), "#history")
    page.get_by_text("3 classes in 3 lessons").wait_for()
    page.get_by_text("No earlier state is kept, so there is nothing to undo.").wait_for()
    assert page.locator(".lessons h3").all_inner_texts() == ["Lesson 3", "Lesson 2", "Lesson 1"]
    text = page.locator(".lessons > li").first.inner_text()
    for fact in ("11 Oct 2026", "10 pictures · 90.0\xa0% on held-out pictures then · 5 s · from folder3", "0.80"):
        assert fact in text
    growth = page.get_by_role("img", name="Of 3 classes: lesson 1 1, lesson 2 1, lesson 3 1")
    assert growth.locator("i").count() == 3


def test_all_classes_of_a_lesson_are_shown_on_request(open_page, make_site):
    site = make_site()
    lessons = ({"task": 1, "classes": [f"class{i}" for i in range(30)], "updated": ["rose", "fern"]},)
    object.__setattr__(site.service.served.model, "lessons", lessons)
    page = open_page(site, "#history")
    page.get_by_text("Taught again: rose, fern").wait_for()
    assert page.locator(".lessons .chip").count() == 12
    page.get_by_role("button", name="and 18 more").click()
    assert page.locator(".lessons .chip").count() == 30


def test_a_class_is_renamed_in_its_place(real_site, open_page):
    page = open_page(real_site, "#history")
    page.get_by_role("button", name="dark").click()
    page.get_by_label("New name of dark").fill("other")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="dark").wait_for()
    assert focused(page) == "dark"
    page.keyboard.press("Enter")
    page.get_by_label("New name of dark").fill("light")
    page.keyboard.press("Enter")
    page.locator(".lessons .trouble", has_text="light").wait_for()
    page.get_by_label("New name of dark").fill("dusk")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="dusk").wait_for()
    assert focused(page) == "dusk"
    assert page.locator("#spoken").inner_text() == "dark is now called dusk"
    assert "dusk" in Learner.load(real_site.service.path, device="cpu").classes


def test_the_last_lesson_is_taken_back_after_a_question(real_site, open_page):
    page = open_page(real_site, "#history")
    undo = page.get_by_role("button", name="Undo the last lesson")
    undo.click()
    page.get_by_text("The model forgets night, noon. Their pictures are gone").wait_for()
    assert focused(page) == "Keep it"
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    assert focused(page) == "Undo the last lesson"
    undo.click()
    page.get_by_role("button", name="Take it back").click()
    page.get_by_text("2 classes in 1 lesson").wait_for()
    page.get_by_text(re.compile(r"^Lesson 2 was taken back at \d\d:\d\d\.$")).wait_for()
    assert Learner.load(real_site.service.path, device="cpu").classes == ("dark", "light")


def test_the_model_can_be_taken_along(real_site, open_page):
    page = open_page(real_site, "#history")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for name, begin in (("Model card", b"---\n"), ("config.json", b"{")):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        assert download.value.path().read_bytes().startswith(begin)
    for form in ("timm", "peft", "onnx"):
        page.get_by_text(f"sdlora export shop --to {form}").wait_for()
    page.get_by_role("button", name="Copy: sdlora export shop --to onnx").click()
    assert page.evaluate("navigator.clipboard.readText()") == "sdlora export shop --to onnx"
    page.get_by_text(re.compile(r"sdlora on glyph_vit, .* learned")).wait_for()


def test_a_damaged_newest_state_is_told_with_a_remedy(real_site, open_page):
    page = open_page(real_site, "#history")
    page.get_by_text("4 classes in 2 lessons").wait_for()
    history = real_site.service.path / "history"
    newest = max(history.glob("*.json"), key=lambda path: int(path.stem))
    content = json.loads(newest.read_text())
    (history / f"{int(newest.stem) + 1}.json").write_text(json.dumps({**content, "seed": 5}))
    alert = page.get_by_role("alert").filter(has_text="The newest state does not answer")
    alert.wait_for()
    assert "Fix:" in alert.inner_text()
    page.get_by_role("img", name=re.compile("Fix:")).wait_for()


def test_a_real_lesson_from_the_page_and_back(real_site, open_page):
    page = open_page(real_site, "#teach")
    fill_card(page, 0, "red", 250, 240, 230, 220)
    fill_card(page, 1, "black", 0, 5, 10, 15)
    page.locator("button:enabled", has_text="Teach 2 classes").click()
    learned = page.get_by_role("heading", name=re.compile("Learned 2 classes, .* on held-out pictures"))
    learned.wait_for(timeout=5 * SECONDS)
    page.get_by_role("link", name="History").click()
    page.get_by_text("from page").wait_for()
    page.get_by_role("link", name="Teach").click()
    page.get_by_role("button", name="Undo", exact=True).click()
    page.get_by_text("The model forgets red, black.").wait_for()
    page.get_by_role("button", name="Take it back").click()
    page.get_by_role("button", name="Add a class").wait_for()
    assert Learner.load(real_site.service.path, device="cpu").num_seen == 4


def test_generations_of_a_fake_bundle_are_followed(make_site, open_page):
    site = make_site()
    page = open_page(site, "#history")
    page.get_by_text("3 classes in 3 lessons").wait_for()
    write_generation(site.service.path, ["dark", "middle", "red", "new"])
    page.get_by_text("4 classes in 4 lessons").wait_for()
    page.get_by_role("button", name="Undo the last lesson").click()
    page.get_by_text("The model forgets new.").wait_for()
