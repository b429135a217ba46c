"""The built site's search in a real browser, opened from a folder, without a network.

It looks at what `make docs` left in build/site.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from tools.documents.stage import ROOT

from tests.browser import Pages

pytestmark = pytest.mark.browser

HOME = ROOT / "build" / "site" / "index.html"
# What is typed goes into the dialog's own tree of elements.
SHOWN = "() => document.activeElement?.shadowRoot?.textContent ?? ''"
WRITES = "() => document.activeElement?.shadowRoot?.activeElement?.matches('input')"


def test_the_search_answers_and_asks_nobody(pages: Pages) -> None:
    if not HOME.exists():
        pytest.skip("the site is not built: make docs")
    from playwright.sync_api import Error

    folder = HOME.parent.as_uri()
    page = pages.open(
        HOME.as_uri(), may_ask=lambda asked: asked.startswith((folder, "blob:", "data:"))
    )
    # The page listens a moment after it is loaded; a key before that is lost. A second one closes
    # what the first has opened, so that it comes late.
    for _ in range(5):
        page.keyboard.press("Control+k")
        with suppress(Error):
            page.wait_for_function(WRITES, timeout=10_000)
            break
    page.keyboard.type("warmup_ratio", delay=20)
    page.wait_for_function(f"() => ({SHOWN})().includes('Keys of a study')")
