"""Teach in a real browser, with a process that teaches the fake bundle."""

import sys

import pytest
from server.browsing import NEEDS_BROWSER, choose, file, fill_card, focused, go, pictures
from server.fakes import FakeModels, png, until
from server.test_teaching import SCRIPT, TOKEN

from sdlora.server import teacher
from sdlora.server.guard import Guard

pytestmark = NEEDS_BROWSER


@pytest.fixture(autouse=True)
def _script(monkeypatch):
    monkeypatch.setattr(teacher, "COMMAND", (sys.executable, "-c", SCRIPT))


def test_an_empty_draft(make_site, open_page):
    page = open_page(make_site(), "#teach")
    page.locator(".card").nth(1).wait_for()
    assert page.locator(".card").count() == 2
    page.get_by_text("Pictures stay on this server, are used for this lesson only, then deleted.").wait_for()
    button = page.get_by_role("button", name="Teach", exact=True)
    assert button.is_disabled()
    assert page.locator(f"#{button.get_attribute('aria-describedby')}").inner_text() == (
        "Name a class and add pictures of it."
    )
    page.get_by_role("button", name="Add a class").click()
    page.locator(".card").nth(2).wait_for()
    assert focused(page) == "Name of the class"
    page.get_by_role("button", name="Remove this class").last.click()
    page.locator(".card").nth(2).wait_for(state="detached")
    assert focused(page) == "Add a class"
    page.wait_for_timeout(3000)  # the page has looked at the server meanwhile
    assert focused(page) == "Add a class"


def test_the_camera_records_while_it_is_held(make_site, open_page):
    page = open_page(make_site(), "#teach")
    card = page.locator(".card").first
    record = card.get_by_role("button", name="Hold to record")
    record.focus()
    page.keyboard.down("Space")
    card.locator(".thumb").nth(1).wait_for()
    page.keyboard.up("Space")
    card.get_by_role("button", name="Remove picture 1", exact=True).click()
    card.get_by_role("button", name="Remove picture 1", exact=True).wait_for(state="detached")
    assert focused(page).startswith("Remove picture")
    card.get_by_role("button", name="remove all").click()
    card.get_by_text("Drop pictures here").wait_for()
    page.wait_for_function("document.activeElement.textContent === 'Choose'")


def test_a_lesson_with_flaws_survives_a_reload_and_is_taught(make_site, open_page):
    site = make_site()
    page = open_page(site, "#teach")
    fill_card(page, 0, "fern", 10, 20, 30)
    page.get_by_text("3 pictures, 10 or more are better").wait_for()
    fill_card(page, 1, "red", 30, 40)
    page.get_by_text('"red" is already known. The same picture is in fern and red.').wait_for()
    assert page.get_by_role("button", name="Teach 2 classes (about 5 s)").is_disabled()
    other = open_page(site, "#teach")
    other.locator(".card .thumb").nth(4).wait_for()
    page.reload()
    page.locator(".card .thumb").nth(4).wait_for()
    card = page.locator(".card").nth(1)
    card.locator("input.title").fill("moss")
    card.get_by_role("button", name="Remove picture", exact=False).first.click()
    page.locator("button:enabled", has_text="Teach 2 classes").click()
    page.get_by_role("heading", name="Learned 2 classes, 90.0\xa0% on held-out pictures").wait_for()
    page.get_by_text("Weakest: moss, 75.0\xa0% (taken for red)").wait_for()
    assert page.locator("tbody tr").inner_text().split("\t") == ["shelf (40)", "97.5\xa0%", "95.0\xa0%"]
    assert focused(page).startswith("Learned 2 classes")
    page.get_by_role("link", name="Try it").click()
    page.get_by_text("It knows 5 classes").wait_for()
    page.get_by_text("The model learned lesson").wait_for()


def test_a_running_lesson_is_seen_by_all(make_site, open_page):
    site = make_site()
    page = open_page(site, "#teach")
    fill_card(page, 0, "wait", 10, 20)
    page.locator("button:enabled", has_text="Teach 1 class").click()
    facts = "50 % · epoch 1 of 2 · 7 s left · 92.0\xa0% on held-out pictures so far"
    page.get_by_text(facts).wait_for()
    page.get_by_text("Classify keeps working with the model as it was.").wait_for()
    page.reload()
    page.get_by_text(facts).wait_for()
    other = open_page(site, "#history")
    other.get_by_text("A lesson is running, 7 s left; wait for its end.").wait_for()
    assert other.get_by_role("button", name="Undo the last lesson").is_disabled()
    assert other.get_by_role("button", name="dark").count() == 0  # no name can be changed
    go(other, "classify")
    other.get_by_text("cpu · A lesson is running, 7 s left").wait_for()
    choose(other, *pictures(255))
    other.locator(".label", has_text="red").wait_for()
    go(other, "teach")
    other.get_by_text(facts).wait_for()
    page.get_by_role("button", name="Cancel").click()
    for each in (page, other):
        each.get_by_text("Cancelled. The model is unchanged, your draft is kept.").wait_for()


def test_fail_and_try_again(make_site, open_page):
    site = make_site()
    page = open_page(site, "#teach")
    fill_card(page, 0, "fail", 10, 20)
    page.locator("button:enabled", has_text="Teach 1 class").click()
    page.get_by_text("the pictures are all alike take others").wait_for()
    page.get_by_text("The model is unchanged, your draft is kept.").wait_for()
    page.get_by_role("button", name="Try again").focus()
    page.wait_for_timeout(3000)  # the page has looked at the server meanwhile
    assert focused(page) == "Try again"
    page.locator(".card input.title").first.fill("good")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="Learned 1 class").wait_for()
    page.get_by_role("button", name="Teach more").click()
    page.locator(".card").nth(1).wait_for()


def test_what_is_wrong_with_some_pictures_is_told_at_their_class(make_site, open_page):
    page = open_page(make_site(lesson_images=12), "#teach")
    card = fill_card(page, 0, "fern", 1)
    card.locator("input[type=file]").set_input_files(
        [file(b"text", "notes.txt"), file(bytes(10_000_001), "big.png"), *pictures(2)]
    )
    card.get_by_text("notes.txt: This is not a picture we can read. Use JPEG, PNG or WebP.").wait_for()
    assert "big.png: 10.1 MB is over the limit of 10 MB." in card.inner_text()
    card.locator(".thumb").nth(1).wait_for()
    card.locator("input[type=file]").set_input_files(pictures(*range(100, 200)))
    card.get_by_text("A lesson has at most 12 pictures.").wait_for()
    assert card.locator(".thumb").count() == 12


def test_a_name_typed_while_the_server_is_away_is_sent_when_it_is_back(make_site, open_page):
    site = make_site()
    page = open_page(site, "#teach")
    name = page.locator(".card input.title").first
    name.wait_for()
    page.context.set_offline(True)
    name.fill("fern")
    page.get_by_text("The server does not answer.").last.wait_for()
    name.blur()
    page.context.set_offline(False)
    until(lambda: site.get("/v1/lessons").json["lessons"][0]["classes"][0]["name"] == "fern")
    assert name.input_value() == "fern"


def test_teaching_off_and_the_token(make_site, open_page):
    page = open_page(make_site(guard=Guard(host="127.0.0.1", can_teach=False)), "#teach")
    page.get_by_role("heading", name="Teaching is off here").wait_for()
    page.get_by_text("Start with --teach on.").wait_for()
    site = make_site(guard=Guard(host="127.0.0.1", token=TOKEN))
    page = open_page(site, "#history")
    page.get_by_text("Changing needs the token: enter it under Teach.").wait_for()
    go(page, "teach")
    page.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_text("That is not the token.").wait_for()
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    fill_card(page, 0, "fern", 10)
    assert TOKEN not in page.url


def test_the_first_lesson_needs_two_classes(make_site, open_page):
    page = open_page(make_site(models=FakeModels(is_new=True), classes=()), "#teach")
    fill_card(page, 0, "fern", 10)
    page.get_by_text("The first lesson needs two classes. Add a second.").wait_for()


def test_a_lesson_that_is_stored_by_hand_is_no_surprise(make_site, open_page):
    """A picture is added by a program while the page is open: the page shows it by itself."""
    site = make_site()
    page = open_page(site, "#teach")
    page.locator(".card").nth(1).wait_for()
    url = f"/v1/lessons/{site.get('/v1/lessons').json['lessons'][0]['id']}"
    assert site.ask("POST", f"{url}/images?class=fern", png()).status == 201
    page.locator(".card").nth(2).locator(".thumb").wait_for()
