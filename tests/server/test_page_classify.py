"""Classify in a real browser."""

import threading

import pytest
from server.browsing import NEEDS_BROWSER, SECONDS, Pages, choose, file, focused, go, pictures, running_browser
from server.fakes import FakeModels, png, until

from sdlora.server.guard import Guard

pytestmark = NEEDS_BROWSER


def test_a_result(make_site, open_page):
    site = make_site(classes=[f"class{i}" for i in range(12)])
    page = open_page(site)
    page.get_by_text("Drop, paste or choose pictures, or use the camera.").wait_for()
    page.get_by_text("It knows 12 classes").wait_for()
    choose(page, *pictures(255))
    page.locator(".label", has_text="class11").wait_for()
    page.get_by_text("taught in lesson 12, 11 Oct 2026").wait_for()
    assert page.locator("#spoken").inner_text().startswith("class11, ")
    assert page.locator("#spoken").get_attribute("aria-live") == "polite"
    rows = page.locator(".grid .score")
    assert rows.count() == 3
    assert rows.first.inner_text().split() == ["class11", *page.locator("#spoken").inner_text().split()[1:]]
    page.get_by_role("button", name="more").click()
    page.get_by_role("button", name="fewer").wait_for()
    assert rows.count() == 10
    assert focused(page) == "fewer"
    page.get_by_role("button", name="fewer").click()
    assert rows.count() == 3


def test_pictures_that_come_before_the_model_was_heard_of_wait_for_it(make_site, open_page):
    page = open_page(make_site())
    held = []
    page.route("**/v1/model", lambda route: held.append(route))
    page.reload()
    choose(page, *pictures(255))
    while not held:
        page.wait_for_timeout(20)
    assert page.locator(".grid .result").count() == 0
    held[0].continue_()
    page.locator(".grid .label", has_text="red").wait_for()
    assert page.locator(".grid .result").count() == 1


def test_errors_stand_at_their_picture(make_site, open_page):
    page = open_page(make_site())
    page.get_by_text("It knows 3 classes").wait_for()
    choose(page, *pictures(255, 0), file(b"no picture", "b.png"), file(bytes(10_000_001), "big.png"))
    page.get_by_text("This is not a picture we can read. Use JPEG, PNG or WebP.").wait_for()
    page.get_by_text("10.1 MB is over the limit of 10 MB.").wait_for()
    page.locator(".grid .bars").nth(1).wait_for()
    assert page.locator(".grid .result").count() == 4
    assert page.locator(".grid .trouble:visible").count() == 2


def test_many_pictures_fill_a_grid_from_its_top(make_site, open_page):
    models = FakeModels(delay=0.05)
    page = open_page(make_site(models=models, max_batch=1))
    page.get_by_text("It knows 3 classes").wait_for()
    choose(page, *pictures(*range(200)))
    page.get_by_text("of 200 pictures").wait_for()
    page.locator(".grid .bars").nth(9).wait_for()
    answered = page.evaluate("[...document.querySelectorAll('.grid .result')].map((e) => !!e.querySelector('.bars'))")
    assert all(answered[:5])
    assert not any(answered[150:])
    models.delay = 0
    page.get_by_text("200 pictures", exact=True).wait_for(timeout=5 * SECONDS)
    assert page.locator(".grid .bars").count() == 200
    page.get_by_role("button", name="Surest first").click()
    assert focused(page) == "Surest first"
    shares = [float(each.split()[0]) for each in page.locator(".grid .score:first-child .number").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == "picture,class,probability,not_sure,lesson"
    assert len(lines) == 201
    page.get_by_role("button", name="Clear").click()
    assert page.locator(".grid .result").count() == 0


def test_the_focus_stays_while_other_answers_come(make_site, open_page):
    models = FakeModels()
    page = open_page(make_site(models=models, max_batch=1))
    page.get_by_text("It knows 3 classes").wait_for()
    choose(page, *pictures(255, 0))
    page.locator(".grid .bars").nth(1).wait_for()
    page.get_by_role("button", name="Wrong?").or_(page.get_by_role("button", name="Teach this")).first.click()
    page.keyboard.type("bee")
    models.delay = 0.2
    choose(page, *pictures(1, 2, 3))
    page.locator(".grid .bars").nth(4).wait_for()
    page.keyboard.type("tle")
    assert page.evaluate("document.activeElement.value") == "beetle"


def test_waiting_shows_a_bar_and_then_how_many_come_first(make_site, open_page):
    models = FakeModels(delay=1.5)
    site = make_site(models=models, max_batch=1)
    page = open_page(site)
    page.get_by_text("It knows 3 classes").wait_for()
    others = [threading.Thread(target=site.predict, args=(png((i, 0, 0)),)) for i in range(8)]
    for other in others:
        other.start()
    until(lambda: site.service.room.waiting == 8)
    choose(page, *pictures(255))
    page.get_by_role("progressbar", name="Waiting for the answer").wait_for()
    assert page.get_by_text("ahead of you").count() == 0
    page.get_by_text("pictures ahead of you").wait_for()
    models.delay = 0
    page.locator(".label", has_text="red").wait_for()
    assert page.get_by_role("progressbar").count() == 0
    for other in others:
        other.join()


def test_not_sure_and_teach_this(make_site, open_page):
    site = make_site(classes=[f"class{i}" for i in range(40)])
    page = open_page(site)
    page.get_by_text("It knows 40 classes").wait_for()
    choose(page, *pictures(128))
    page.locator(".unsure .label", has_text="Not sure").wait_for()
    page.get_by_text("It can only answer with the 40 classes it was taught.").wait_for()
    page.get_by_role("button", name="Teach this").click()
    page.get_by_label("What is it?").fill("class3")
    page.keyboard.press("Enter")
    page.get_by_text("Known classes cannot be taught again yet; the picture was not kept.").wait_for()
    page.get_by_label("What is it?").fill("beetle")
    page.keyboard.press("Enter")
    page.locator(".card .thumb").wait_for()
    assert page.url.endswith("#teach")
    assert page.locator(".card input.title").first.input_value() == "beetle"


def test_wrong(make_site, open_page):
    page = open_page(make_site(classes=("dark", "red")))
    choose(page, *pictures(255))
    page.locator(".label", has_text="red").wait_for()
    wrong = page.get_by_role("button", name="Wrong?")
    assert wrong.get_attribute("aria-expanded") == "false"
    wrong.click()
    assert focused(page) == "What is it?"
    page.keyboard.type("ruby")
    page.keyboard.press("Enter")
    page.locator(".card .thumb").wait_for()
    assert page.locator(".card input.title").first.input_value() == "ruby"


def test_where_teaching_is_off_nothing_asks_for_it(make_site, open_page):
    page = open_page(make_site(guard=Guard(host="127.0.0.1", can_teach=False)))
    choose(page, *pictures(255))
    page.locator(".label", has_text="red").wait_for()
    assert page.get_by_role("button", name="Wrong?").count() == 0


def test_the_server_goes_away_and_comes_back(make_site, open_page):
    page = open_page(make_site())
    page.get_by_text("It knows").wait_for()
    page.context.set_offline(True)
    choose(page, *pictures(255))
    page.get_by_text("The server does not answer. Your picture is still here.").wait_for()
    page.context.set_offline(False)
    page.get_by_role("button", name="Retry").click()
    page.locator(".label", has_text="red").wait_for()


def test_pictures_are_dropped_anywhere_and_pasted(make_site, open_page):
    page = open_page(make_site())
    page.get_by_text("It knows").wait_for()
    give = """([type, into, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
        const event = type === "paste" ? new ClipboardEvent(type, { clipboardData: data, bubbles: true })
            : new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true });
        document.querySelector(into).dispatchEvent(event);
    }"""
    data = list(png((255, 0, 0)))
    page.evaluate(give, ["dragenter", ".known", data])
    assert "over" in page.locator(".drop").get_attribute("class")
    page.evaluate(give, ["drop", ".known", data])
    page.locator(".grid .bars").wait_for()
    assert "over" not in page.locator(".drop").get_attribute("class")
    page.evaluate(give, ["paste", "body", data])
    page.locator(".grid .bars").nth(1).wait_for()
    go(page, "teach")
    page.evaluate(give, ["drop", "main", data])  # beside the cards: nothing, and the browser stays
    page.evaluate(give, ["paste", "body", data])
    assert page.locator(".grid .result").count() == 2


def test_the_camera(make_site, open_page):
    page = open_page(make_site())
    page.get_by_text("It knows").wait_for()
    page.get_by_role("button", name="Use the camera").dblclick()
    page.locator(".live .score").first.wait_for()
    page.get_by_role("button", name="Keep this picture").click()
    page.locator(".grid .bars").wait_for()
    page.get_by_role("button", name="Close").click()
    assert page.evaluate("document.querySelector('.live video').srcObject") is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--use-fake-device-for-media-stream", "--deny-permission-prompts"), "Allow it with the camera sign"),
        ((), "This device has no camera. Choose pictures instead."),
    ],
)
def test_a_camera_that_is_refused_or_missing(make_site, options, told):
    # Two drivers cannot run in one thread: this one has a thread of its own.
    found = []

    def look(site):
        with running_browser(*options) as browser:
            pages = Pages(browser)
            page = pages(site)
            page.get_by_role("button", name="Use the camera").click()
            page.locator(".live .trouble").wait_for()
            found.append(page.locator(".live").inner_text())
            choose(page, *pictures(255))
            page.locator(".label", has_text="red").wait_for()
            pages.close()

    thread = threading.Thread(target=look, args=(make_site(),))
    thread.start()
    thread.join()
    (text,) = found
    assert told in text
    assert "Keep this picture" not in text
