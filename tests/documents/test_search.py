"""The built site's search in a real browser, opened from a folder, without a network.

It looks at what `make docs` left in build/site.
"""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from tools.documents.stage import ROOT

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
HOME = ROOT / "build" / "site" / "index.html"
# What is typed goes into the dialog's own tree of elements.
SHOWN = "() => document.activeElement?.shadowRoot?.textContent ?? ''"
TIMEOUT_MS = 15_000


def test_the_search_answers_and_asks_nobody() -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    if not HOME.exists():
        pytest.skip("the site is not built: make docs")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        errors: list[Any] = []
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(HOME.as_uri())
        page.keyboard.press("Control+k")
        page.wait_for_function("() => document.activeElement?.shadowRoot?.querySelector('input')")
        page.keyboard.type("warmup_ratio", delay=20)
        page.wait_for_function(f"() => ({SHOWN})().includes('Keys of a study')")
        assert errors == []
        assert asked and all(url.startswith(HOME.parent.as_uri()) for url in asked), asked
        browser.close()
