"""A real browser for tests of the page, where one is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from server.fakes import png

BROWSER = os.environ.get("SDLORA_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
NEEDS_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None, reason="no Chromium here; install Debian's package chromium, or set SDLORA_CHROMIUM"
    ),
]
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
SECONDS = 30_000  # milliseconds a step may take under load


@contextmanager
def running_browser(*options: str) -> Iterator[Any]:
    """Give a browser, and close it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-dev-shm-usage", *options]
        )
        yield made
        made.close()


class Pages:
    """Opens pages of sites, watches what they ask for and complain of."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._opened: list[tuple[Any, list[str], list[str]]] = []

    def __call__(self, site: Any, part: str = "", **options: Any) -> Any:
        context = self._browser.new_context(**options)
        self._opened.append((context, foreign := [], broken := []))
        page = context.new_page()
        page.set_default_timeout(SECONDS)
        page.on("request", lambda request: foreign.append(request.url) if str(site.port) not in request.url else None)
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(f"http://127.0.0.1:{site.port}/{part}")
        return page

    def close(self) -> None:
        """Close them; none may have asked another machine or raised an error."""
        for context, foreign, broken in self._opened:
            assert [url for url in foreign if not url.startswith(("blob:", "data:"))] == []
            assert broken == []
            context.close()


def go(page: Any, part: str) -> None:
    """Go to a part of the page by its address."""
    page.goto(page.url.partition("#")[0] + f"#{part}")


def file(data: bytes, name: str = "picture.png") -> dict[str, Any]:
    """Return a file as a user chooses it."""
    return {"name": name, "mimeType": "image/png", "buffer": data}


def pictures(*reds: int) -> list[dict[str, Any]]:
    """Return one-coloured pictures, each of another red."""
    return [file(png((red, 3, 7)), f"{red}.png") for red in reds]


def choose(page: Any, *files: dict[str, Any]) -> None:
    """Choose pictures on Classify."""
    page.locator("[data-panel=classify] > input[type=file]").set_input_files(list(files))


def fill_card(page: Any, place: int, name: str, *reds: int) -> Any:
    """Name a class of a draft and give it pictures; return its card."""
    card = page.locator(".card").nth(place)
    card.locator("input.title").fill(name)
    card.locator("input[type=file]").set_input_files(pictures(*reds))
    card.locator(".thumb").nth(len(reds) - 1).wait_for()
    return card


def focused(page: Any) -> str:
    """Return what the element in focus is called."""
    return str(page.evaluate("(e => e.getAttribute('aria-label') || e.textContent)(document.activeElement)"))
