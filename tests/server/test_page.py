"""The frame of the page in a real browser: what all its parts share; nothing here asks for another machine."""

import re

import pytest
from server.browsing import NEEDS_BROWSER, choose, file, go, pictures
from server.fakes import FakeModels, png, write_generation

pytestmark = NEEDS_BROWSER


def test_it_says_what_the_model_is_and_that_the_server_is_gone(make_site, open_page):
    site = make_site()
    page = open_page(site)
    page.get_by_role("heading", name="shop").wait_for()
    page.get_by_text("3 classes · 3 lessons · version 1-fake · cpu").wait_for()
    page.get_by_role("img", name="ready").wait_for()
    assert page.title() == "shop · sdlora"
    site.close()
    page.get_by_role("img", name="The server does not answer.").wait_for()
    page.get_by_text("The server does not answer.").wait_for()
    site.close = lambda: None


def test_parts_have_addresses_of_their_own(make_site, open_page):
    page = open_page(make_site(), "#history")
    page.get_by_text("3 classes in 3 lessons").wait_for()
    for part in ("classify", "teach", "history"):
        page.get_by_role("link", name=part.capitalize(), exact=True).click()
        page.locator(f"[data-panel={part}]:not([hidden])").wait_for()
        assert page.url.endswith(f"#{part}")
        assert page.locator("[data-panel]:not([hidden])").count() == 1
        assert page.locator("nav a[aria-current=page]").inner_text() == part.capitalize()
    page.go_back()
    page.locator("[data-panel=teach]:not([hidden])").wait_for()
    for odd in ("nothing", "toString", "__proto__"):
        go(page, odd)
        page.locator("[data-panel=classify]:not([hidden])").wait_for()


def test_a_lesson_of_another_process_is_told_and_then_no_more(make_site, open_page):
    site = make_site()
    page = open_page(site)
    page.clock.install()
    page.get_by_text("It knows 3 classes").wait_for()
    write_generation(site.service.path, ["dark", "middle", "red", "new"])
    while not site.get("/v1/model").json["changed"]:
        pass
    page.clock.run_for(3000)
    page.get_by_text("It knows 4 classes").wait_for()
    notice = page.get_by_text(re.compile(r"^The model learned lesson 4 at \d\d:\d\d: new\.$"))
    notice.wait_for()
    page.clock.run_for(16_000)
    notice.wait_for(state="hidden")


def test_it_can_be_used_with_the_keyboard_alone(make_site, open_page):
    page = open_page(make_site())
    page.get_by_text("It knows").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    for name in ("Classify", "Teach", "History"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == name
    page.keyboard.press("Enter")
    page.get_by_text("3 classes in 3 lessons").wait_for()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    go(page, "classify")
    page.get_by_role("button", name="Choose pictures").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert page.evaluate(outline) == "solid"


def test_names_are_text(make_site, open_page):
    name = "<img src=x onerror=document.title='bad'>"
    page = open_page(make_site(classes=("dark", name)))
    choose(page, file(png((255, 0, 0)), f"{name}.png"))
    page.locator(".label", has_text="<img").wait_for()
    go(page, "history")
    page.get_by_role("button", name=name).wait_for()
    assert page.locator("img[src=x]").count() == 0
    assert page.title() != "bad"


LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerk" * 3


@pytest.mark.parametrize(
    "options",
    [
        {"color_scheme": "light", "viewport": {"width": 360, "height": 740}, "has_touch": True},
        {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}, "has_touch": True},
        {"viewport": {"width": 640, "height": 450}, "device_scale_factor": 2},  # a window of 1280 pixels at 200 %
    ],
)
def test_it_fits_and_every_control_has_a_name(make_site, open_page, options):
    names = ("dark", LONG, "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED} (a)", "\N{FIRE}" * 20, "red")
    page = open_page(make_site(classes=names), **options)
    page.get_by_text("It knows").wait_for()
    choose(page, *pictures(255, 0, 64))
    page.locator(".grid .bars").nth(2).wait_for()
    for part in ("classify", "teach", "history"):
        go(page, part)
        page.locator(f"[data-panel={part}] button").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= options["viewport"]["width"]
        unnamed = page.evaluate(
            """[...document.querySelectorAll("button, a, input:not([type=file])")].filter((each) => each.offsetParent
            && !(each.textContent.trim() || each.getAttribute("aria-label") || each.placeholder)).length"""
        )
        assert unnamed == 0


def test_without_javascript_it_says_what_to_do(make_site, open_page):
    page = open_page(make_site(), java_script_enabled=False)
    said = page.locator("noscript p")
    assert said.is_visible()
    assert said.inner_text() == "This page needs JavaScript. The API does not: POST a picture to /v1/predict."


def test_nothing_taught_yet(make_site, open_page):
    page = open_page(make_site(models=FakeModels(is_new=True), classes=()))
    page.get_by_text("nothing taught yet").first.wait_for()
    assert page.get_by_role("button", name="Choose pictures").is_disabled()
    page.get_by_role("link", name="Teach the first lesson").click()
    page.locator(".card").nth(1).wait_for()
    go(page, "history")
    page.get_by_role("heading", name="Nothing taught yet").wait_for()
    assert page.get_by_role("link", name="Teach the first lesson").get_attribute("href") == "#teach"


def test_the_page_of_the_api(make_site, open_page):
    page = open_page(make_site(), "docs")
    page.get_by_text("/v1/predict", exact=True).wait_for()
    assert page.locator(".routes > li").count() > 12
