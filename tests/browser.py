"""Debian's Chromium, driven by Playwright: what the tests of all pages share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
NAMES = ("chromium", "chromium-browser", "google-chrome")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
# What a page does upon an event may come a moment later, more so beside other work.
PATIENCE_MS = 30_000


def expect(shown: Any) -> Any:
    """Playwright's assertions of a locator or a page, which wait for what they assert.

    A method that asks at once, such as ``is_visible``, is for what cannot change any more.
    """
    from playwright.sync_api import expect as waiting

    waiting.set_options(timeout=PATIENCE_MS)
    return waiting(shown)


def _missing(reason: str) -> None:
    if os.environ.get("BAKEOFF_BROWSER") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, or a skip with its reason; ``make test-browser`` fails instead."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("Playwright is not installed: make test-browser installs it")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        _missing("there is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Pages:
    """Opens pages, and keeps what they say on the console or ask of others.

    Attributes:
        browser: that opens them. complaints: what they have said and asked so far.
    """

    browser: Any
    complaints: list[str] = field(default_factory=list)
    _contexts: list[Any] = field(default_factory=list)

    def open(
        self,
        url: str,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        may_ask: Callable[[str], bool],
    ) -> Any:
        """One page.

        Args:
            may_ask: whether the page may ask for an address.
        """
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(PATIENCE_MS)
        self._contexts.append(context)
        page = context.new_page()
        keep = self.complaints.append
        page.on("console", lambda message: keep(f"console: {message.text}"))
        page.on("pageerror", lambda error: keep(f"error: {error}"))
        page.on("dialog", lambda dialog: keep(f"dialog: {dialog.message}"))
        page.on("request", lambda asked: None if may_ask(asked.url) else keep(asked.url))
        page.goto(url)
        return page

    def close(self) -> None:
        """Closes all of them."""
        for context in self._contexts:
            context.close()


@pytest.fixture
def pages(browser: Any) -> Iterator[Pages]:
    """Pages that must not complain: what they say besides fails the test."""
    opened = Pages(browser)
    yield opened
    opened.close()
    assert opened.complaints == []
