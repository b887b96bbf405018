"""The page in a real browser, where one is installed; nothing here asks for another machine."""

import os
import shutil
import sys

import pytest
from server.fakes import FakeModels, png, write_generation
from server.test_teaching import SCRIPT, TOKEN

from sdlora.server import teacher
from sdlora.server.guard import Guard

BROWSER = os.environ.get("SDLORA_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None, reason="no Chromium here; install Debian's package chromium, or set SDLORA_CHROMIUM"
    ),
]
OPTIONS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
SECONDS = 30_000  # milliseconds a step may take under load


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=BROWSER, args=OPTIONS)
        yield made
        made.close()


@pytest.fixture(autouse=True)
def _script(monkeypatch):
    monkeypatch.setattr(teacher, "COMMAND", (sys.executable, "-c", SCRIPT))


@pytest.fixture
def open_page(browser):
    """Return a function that opens a page of a site and watches what it asks for and complains of."""
    contexts = []

    def open_it(site, part="", **options):
        context = browser.new_context(**options)
        contexts.append((context, foreign := [], broken := []))
        page = context.new_page()
        page.set_default_timeout(SECONDS)
        page.on("request", lambda request: foreign.append(request.url) if str(site.port) not in request.url else None)
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(f"http://127.0.0.1:{site.port}/{part}")
        return page

    yield open_it
    for context, foreign, broken in contexts:
        assert [url for url in foreign if not url.startswith(("blob:", "data:"))] == []
        assert broken == []
        context.close()


def file(data, name="picture.png"):
    return {"name": name, "mimeType": "image/png", "buffer": data}


def pictures(*reds):
    return [file(png((red, 3, 7)), f"{red}.png") for red in reds]


def drop(page, *files):
    page.locator("[data-panel=classify] input[type=file]").set_input_files(list(files))


def fill_card(page, place, name, *reds):
    card = page.locator(".card").nth(place)
    card.locator("input.title").fill(name)
    card.locator("input[type=file]").set_input_files(pictures(*reds))
    card.locator(".thumb").nth(len(reds) - 1).wait_for()
    return card


def test_classify(make_site, open_page):
    site = make_site()
    page = open_page(site)
    page.get_by_text("It knows 3 classes").wait_for()
    drop(page, *pictures(255))
    page.locator(".label", has_text="red").wait_for()
    assert page.locator("#spoken").inner_text().startswith("red, ")
    drop(page, *pictures(0), file(b"no picture", "b.txt"), file(bytes(10_000_001), "big.png"))
    page.get_by_text("This is not a picture we can read. Use JPEG, PNG or WebP.").wait_for()
    page.get_by_text("10 MB is over the limit of 10 MB.").wait_for()
    assert page.locator(".grid .result").count() == 4
    page.get_by_role("button", name="Surest first").click()
    assert page.locator(".grid .label").first.inner_text() in ("red", "dark")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == "picture,class,probability,not_sure,lesson"
    assert len(lines) == 5


def test_not_sure_wrong_and_teach_this(make_site, open_page):
    site = make_site(classes=[f"class{i}" for i in range(40)])
    page = open_page(site)
    page.get_by_text("It knows 40 classes").wait_for()
    drop(page, *pictures(128))
    page.get_by_text("Not sure. It can only").or_(page.locator(".label", has_text="Not sure")).first.wait_for()
    page.get_by_role("button", name="Teach this").click()
    page.get_by_label("What is it?").fill("class3")
    page.keyboard.press("Enter")
    page.get_by_text("Known classes cannot be taught again yet").wait_for()
    page.get_by_label("What is it?").fill("beetle")
    page.keyboard.press("Enter")
    page.locator(".card .thumb").wait_for()
    assert page.url.endswith("#teach")
    assert page.locator(".card input.title").first.input_value() == "beetle"


def test_the_server_goes_away_and_comes_back(make_site, open_page):
    page = open_page(make_site())
    page.get_by_text("It knows").wait_for()
    page.context.set_offline(True)
    drop(page, *pictures(255))
    page.get_by_text("The server does not answer. Your picture is still here.").wait_for()
    page.context.set_offline(False)
    page.get_by_role("button", name="Retry").click()
    page.locator(".label", has_text="red").wait_for()


def test_the_camera_on_both_tabs(make_site, open_page):
    site = make_site()
    page = open_page(site)
    page.get_by_text("It knows").wait_for()
    page.get_by_role("button", name="Use the camera").click()
    page.locator(".live .score").first.wait_for()
    page.get_by_role("button", name="Keep this picture").click()
    page.locator(".grid .bars").wait_for()
    page.get_by_role("link", name="Teach").click()
    card = page.locator(".card").first
    record = card.get_by_role("button", name="Hold to record")
    record.focus()
    page.keyboard.down("Space")
    card.locator(".thumb").nth(1).wait_for()
    page.keyboard.up("Space")
    card.get_by_role("button", name="Remove picture 1", exact=True).click()
    card.get_by_role("button", name="Remove picture 1", exact=True).wait_for(state="detached")
    card.get_by_role("button", name="remove all").click()
    card.get_by_text("Drop pictures here").wait_for()


def test_a_lesson_with_flaws_survives_a_reload_and_is_taught(make_site, open_page):
    site = make_site()
    page = open_page(site, "#teach")
    fill_card(page, 0, "fern", 10, 20, 30)
    fill_card(page, 1, "red", 30, 40)
    page.get_by_text('"red" is already known. The same picture is in fern and red.').wait_for()
    assert page.get_by_role("button", name="Teach 2 classes").is_disabled()
    page.reload()
    page.locator(".card .thumb").nth(4).wait_for()
    card = page.locator(".card").nth(1)
    card.locator("input.title").fill("moss")
    card.get_by_role("button", name="Remove picture", exact=False).first.click()
    page.locator("button:enabled", has_text="Teach 2 classes").click()
    page.get_by_role("heading", name="Learned 2 classes, 90.0\xa0% on held-out pictures").wait_for()
    page.get_by_role("link", name="Try it").click()
    page.get_by_text("It knows 5 classes").wait_for()
    page.get_by_text("The model learned lesson").wait_for()


def test_cancel_fail_and_try_again(make_site, open_page):
    site = make_site()
    page = open_page(site, "#teach")
    fill_card(page, 0, "wait", 10, 20)
    page.locator("button:enabled", has_text="Teach 1 class").click()
    page.get_by_text("50 % · epoch 1 of 2 · 7 s left").wait_for()
    other = open_page(site, "#history")
    other.get_by_text("A lesson is running; wait for its end.").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled. The model is unchanged, your draft is kept.").wait_for()
    page.locator(".card input.title").first.fill("fail")
    page.locator("button:enabled", has_text="Teach 1 class").click()
    page.get_by_text("the pictures are all alike take others").wait_for()
    page.locator(".card input.title").first.fill("good")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="Learned 1 class").wait_for()


def test_history(make_site, open_page):
    site = make_site()
    page = open_page(site, "#history")
    page.get_by_text("3 classes in 3 lessons").wait_for()
    page.get_by_text("No earlier state is kept").wait_for()
    write_generation(site.service.path, ["dark", "middle", "red", "new"])
    page.get_by_text("4 classes in 4 lessons").wait_for()
    page.get_by_role("button", name="Undo the last lesson").click()
    page.get_by_text("The model forgets new.").wait_for()
    page.get_by_role("button", name="Keep it").click()
    page.get_by_role("button", name="middle").click()
    page.get_by_label("New name of middle").fill("centre")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="middle").wait_for()
    page.get_by_text("sdlora export shop --to onnx").wait_for()


def test_teaching_off_and_the_token(make_site, open_page):
    page = open_page(make_site(guard=Guard(host="127.0.0.1", can_teach=False)), "#teach")
    page.get_by_role("heading", name="Teaching is off here").wait_for()
    site = make_site(guard=Guard(host="127.0.0.1", token=TOKEN))
    page = open_page(site, "#teach")
    page.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_text("That is not the token.").wait_for()
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    fill_card(page, 0, "fern", 10)
    assert TOKEN not in page.url


def test_nothing_taught_yet(make_site, open_page):
    page = open_page(make_site(models=FakeModels(is_new=True), classes=()))
    page.get_by_role("link", name="Teach the first lesson").click()
    fill_card(page, 0, "fern", 10)
    page.get_by_text("The first lesson needs two classes. Add a second.").wait_for()


def test_names_are_text(make_site, open_page):
    name = "<img src=x onerror=document.title='bad'>"
    page = open_page(make_site(classes=("dark", name)))
    drop(page, file(png((255, 0, 0)), f"{name}.png"))
    page.locator(".label", has_text="<img").wait_for()
    page.goto(page.url.partition("#")[0] + "#history")
    page.get_by_role("button", name=name).wait_for()
    assert page.locator("img[src=x]").count() == 0
    assert page.title() != "bad"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_every_control_has_a_name(make_site, open_page, scheme):
    page = open_page(make_site(), color_scheme=scheme, viewport={"width": 360, "height": 740}, has_touch=True)
    page.get_by_text("It knows").wait_for()
    drop(page, *pictures(255, 0))
    page.locator(".grid .bars").nth(1).wait_for()
    for part in ("classify", "teach", "history"):
        page.goto(page.url.partition("#")[0] + f"#{part}")
        page.locator(f"[data-panel={part}] button").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        unnamed = page.evaluate(
            """[...document.querySelectorAll("button, a, input:not([type=file])")].filter((each) => each.offsetParent
            && !(each.textContent.trim() || each.getAttribute("aria-label") || each.placeholder)).length"""
        )
        assert unnamed == 0


def test_the_page_of_the_api(make_site, open_page):
    page = open_page(make_site(), "docs")
    page.get_by_text("/v1/predict", exact=True).wait_for()
    assert page.locator(".routes > li").count() > 12
