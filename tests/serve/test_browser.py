"""The playground in a real browser: Debian's Chromium, driven by Playwright, checked by axe."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import RULES, Pages, expect
from tests.serve.test_rows import run_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.serve.conftest import Serve

pytestmark = pytest.mark.browser

TEXT = "The fair of Arden drew 100 people."
Open = Callable[..., Any]
Expected = Callable[[str, Sequence[str]], list[str]]


@pytest.fixture
def open_page(pages: Pages) -> Open:
    """Opens the playground; requests to other places, or words on the console, fail the test."""

    def opened(address: str, *, width: int = 1280, dark: bool = False) -> Any:
        return pages.open(
            address,
            width=width,
            dark=dark,
            may_ask=lambda asked: asked.startswith((address, "data:")),
        )

    return opened


def ready(page: Any) -> None:
    page.get_by_text("models are ready").wait_for()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_models_answer_side_by_side(
    finished: Path, serve: Serve, open_page: Open, expected: Expected, width: int, dark: bool
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(serve(finished).address, width=width, dark=dark)
    ready(page)
    page.locator("#search").fill("fenwick")
    expect(page.locator("#rows button")).to_have_count(1)
    page.locator("#rows button").click()
    prompt = page.locator("#prompt").input_value()
    page.locator("#prompt").press("Control+Enter")
    page.get_by_text("All have answered").wait_for()
    cards = page.locator("#grid article")
    assert cards.count() == 4
    for place in range(4):
        name = cards.nth(place).locator("h3").inner_text()
        if name != "zero_shot":
            found = cards.nth(place).locator(".text").text_content()
            assert found == (expected(name, [prompt])[0] or "(empty answer)")
        assert "tokens in" in cards.nth(place).locator(".figures").inner_text()
    expect(page.locator("#reference")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    folder = os.environ.get("BAKEOFF_SCREENSHOTS")
    if folder:
        look = "dark" if dark else "light"
        page.screenshot(path=f"{folder}/playground-{width}-{look}.png", full_page=True)
    results = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}})
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("complete", ["place", "Goole 14", "month"]),
        ("choose", ["question", "How many in Goole 14?", "choices", "108"]),
        ("chat", ["messages", "system: Be short.", "assistant: North."]),
    ],
)
def test_rows_of_several_columns_are_shown_and_asked(
    tmp_path: Path, serve: Serve, open_page: Open, name: str, told: list[str]
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    run = run_of(name, tmp_path)
    [candidate] = (run / "candidates").iterdir()
    lines = (candidate / "predictions.jsonl").read_text(encoding="utf-8").split("\n")
    stored = {row["index"]: row["prediction"] for row in map(json.loads, filter(None, lines))}
    page = open_page(serve(run, max_positions=320).address, width=390 if name == "chat" else 1280)
    ready(page)
    page.locator("#rows button").nth(2).click()
    shown = page.locator("#picked").inner_text()
    assert "Test row 3" in shown and all(words in shown for words in told)
    expect(page.locator("#prompt")).to_be_hidden()
    page.keyboard.press("Enter")  # the focus is where it is asked
    page.get_by_text("All have answered").wait_for()
    card = page.locator("#grid article[aria-label=lora]")
    assert card.locator(".text").text_content() == (stored[2] or "(empty answer)")
    expect(page.locator("#reference")).to_be_visible()
    words = "chosen with" if name == "choose" else "tokens in"
    assert words in card.locator(".figures").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    results = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}})
    assert results.violations_count == 0, results.generate_report()
    if folder := os.environ.get("BAKEOFF_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/playground-row-{name}.png", full_page=True)
    # Edited, it is a row like it, whose reference is not known.
    page.get_by_role("button", name="Edit it").click()
    page.locator("#prompt").fill(page.locator("#prompt").input_value().replace("Goole", "Hull"))
    page.locator("#run").click()
    page.get_by_text("All have answered").wait_for()
    expect(page.locator("#reference")).to_be_hidden()
    page.locator("#prompt").fill("{")
    page.locator("#run").click()
    page.get_by_text("columns are no JSON").wait_for()


def test_a_blind_vote_shows_the_names_only_after_it(
    copied: Path, serve: Serve, open_page: Open
) -> None:
    page = open_page(serve(copied).address)
    ready(page)
    page.locator("#blind").check()
    page.locator("#prompt").fill(TEXT)
    page.locator("#run").click()
    page.get_by_role("button", name="A is better").wait_for()
    titles = page.locator("#grid h3").all_inner_texts()
    assert titles == ["A", "B"]
    page.get_by_role("button", name="A tie").click()
    page.get_by_text("Kept. A was").wait_for()
    page.locator("#tally td").nth(7).wait_for()
    assert page.locator("#tally td").nth(3).inner_text() == "1"
    assert (copied / "votes.jsonl").read_text(encoding="ascii").count("\n") == 1


def test_texts_are_shown_and_never_run(finished: Path, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(finished).address)
    ready(page)
    page.locator("#raw").check()
    page.locator("#prompt").fill("<img src=x onerror='window.stolen=1'>")
    page.locator("#run").click()
    page.get_by_text("All have answered").wait_for()
    assert page.locator("#answers img").count() == 0
    assert page.evaluate("window.stolen") is None


def test_an_empty_answer_is_said_to_be_one(finished: Path, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(finished).address)
    ready(page)

    def answered(route: Any) -> None:
        done = {
            "text": "",
            "finish_reason": "stop",
            "prompt_tokens": 3,
            "completion_tokens": 0,
            "first_token_seconds": 0.1,
            "seconds": 0.1,
        }
        lines = [{"model": name, "done": done} for name in route.request.post_data_json["models"]]
        body = "".join(f"data: {json.dumps(line)}\n\n" for line in lines)
        route.fulfill(status=200, content_type="text/event-stream", body=body)

    page.route("**/compare", answered)
    page.locator("#prompt").fill(TEXT)
    page.locator("#run").click()
    page.get_by_text("All have answered").wait_for()
    assert set(page.locator("#grid .text").all_inner_texts()) == {"(empty answer)"}


def test_a_key_is_asked_for(finished: Path, serve: Serve, open_page: Open, pages: Pages) -> None:
    page = open_page(serve(finished, keys=("the-key-of-this",)).address)
    page.get_by_label("API key").fill("the-key-of-this")
    page.get_by_role("button", name="Use it").click()
    ready(page)
    # The browser itself reports the first answer, 401.
    pages.complaints[:] = [text for text in pages.complaints if "401" not in text]


def test_it_is_used_by_keyboard_alone(finished: Path, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(finished).address)
    ready(page)
    page.locator("#prompt").focus()
    page.keyboard.type(TEXT)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "run":
            break
    page.keyboard.press("Enter")
    page.get_by_text("All have answered").wait_for()
