"""The report in a real browser: Debian's Chromium, driven by Playwright, checked by axe."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.formatting import shown_bytes
from tests.browser import RULES, Pages, expect
from tests.golden_folders import golden, rows_of

pytestmark = pytest.mark.browser

DARK_GROUND = "rgb(18, 22, 27)"

Open = Callable[..., Any]


@pytest.fixture
def open_page(pages: Pages) -> Open:
    """Opens a run's report from disk; whatever it asks for or says besides fails the test."""

    def opened(folder: Path, *, width: int = 1600, height: int = 1000, dark: bool = False) -> Any:
        url = (folder / "report.html").as_uri()
        return pages.open(
            url, width=width, height=height, dark=dark, may_ask=lambda asked: asked == url
        )

    return opened


def names(page: Any) -> list[str]:
    """The main table's row names from top to bottom."""
    found: list[str] = page.eval_on_selector_all(
        "table.main tbody th", "heads => heads.map(head => head.dataset.value)"
    )
    return found


def values(page: Any, column: int) -> list[float]:
    """The main table's figures in a column, from top to bottom; NaN where one is missing."""
    found: list[str] = page.eval_on_selector_all(
        "table.main tbody tr", f"rows => rows.map(r => r.cells[{column}].dataset.value ?? 'nan')"
    )
    return [float(value) for value in found]


def pairs(text: str) -> set[tuple[str, str]]:
    """Every two words that stand side by side, without case."""
    return set(itertools.pairwise(re.findall(r"\w+", text.lower())))


class TestOpening:
    @pytest.mark.parametrize("name", ["complete", "partial", "hostile", "wide"])
    @pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
    def test_it_asks_for_nothing_and_says_nothing(
        self, request: pytest.FixtureRequest, open_page: Open, name: str, dark: bool
    ) -> None:
        page = open_page(request.getfixturevalue(name), dark=dark)
        assert page.locator("main").is_visible()
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        page.wait_for_selector("article .card", state="attached")

    def test_hostile_names_and_rows_are_shown_as_text(
        self, hostile: Path, open_page: Open, hostile_texts: tuple[str, ...]
    ) -> None:
        page = open_page(hostile)
        page.get_by_label("Order").select_option("index")
        row = page.locator("article.example").first
        row.scroll_into_view_if_needed()
        row.locator(".card").first.wait_for()
        assert row.locator(".box").first.inner_text() == hostile_texts[0]
        assert row.locator(".card p").first.text_content() == hostile_texts[2]
        assert page.locator("main img").count() == 0

    def test_code_that_is_not_the_pages_own_does_not_run(
        self, complete: Path, browser: Any
    ) -> None:
        page = browser.new_page()
        page.goto((complete / "report.html").as_uri())
        with page.expect_console_message(lambda said: "Content Security Policy" in said.text):
            page.evaluate(
                """() => new Promise((done) => {
                    // Once the image has failed, and its handler would have been called.
                    const failed = () => setTimeout(done);
                    document.addEventListener("error", failed, { capture: true, once: true });
                    const script = document.createElement("script");
                    script.textContent = "window.stolen = 1";
                    document.body.append(script);
                    document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='stolen=1'>");
                })"""
            )
        assert page.evaluate("window.stolen") is None
        page.close()


class TestSorting:
    def test_a_head_sorts_and_says_so(self, wide: Path, open_page: Open) -> None:
        page = open_page(wide)
        assert names(page)[0] == "lora"
        heads = page.locator("table.main thead th")
        assert heads.nth(1).get_attribute("aria-sort") == "ascending"
        rouge = page.get_by_role("button", name="ROUGE\u20111")
        rouge.click()
        found = values(page, 2)
        assert found == sorted(found, reverse=True)
        assert heads.nth(2).get_attribute("aria-sort") == "descending"
        assert heads.nth(1).get_attribute("aria-sort") is None
        rouge.click()
        assert values(page, 2) == sorted(found)
        assert heads.nth(2).get_attribute("aria-sort") == "ascending"

    def test_what_is_missing_stays_last(self, wide: Path, open_page: Open) -> None:
        page = open_page(wide)
        for _ in range(2):
            page.get_by_role("button", name="Test NLL").click()
            found = values(page, 1)
            assert [math.isnan(value) for value in found] == [False] * 11 + [True]
            assert names(page)[-1] == "lead-3"

    def test_the_keyboard_sorts_too(self, wide: Path, open_page: Open) -> None:
        page = open_page(wide)
        page.get_by_role("button", name="Adapter").focus()
        page.keyboard.press("Enter")
        assert names(page)[0] == "soft_prompt"
        page.keyboard.press("Space")
        assert names(page)[0] == "prefix"


class TestFigures:
    def test_a_mark_is_read_on_hover_and_lit_up_everywhere(
        self, complete: Path, open_page: Open
    ) -> None:
        page = open_page(complete)
        lora = golden("four").methods["lora"]
        start = f"lora: test NLL {lora.test['nll'].mean:.3f}"
        mark = page.locator(f'path[data-tip^="{start}"]').first
        mark.scroll_into_view_if_needed()
        mark.hover()
        tip = page.locator("#tip")
        expect(tip).to_be_visible()
        memory = shown_bytes(lora.cost.peak_memory_bytes)
        assert tip.inner_text().startswith(f"{start}, {memory}")
        lit = page.locator(".plot:has(.on)").count()
        assert lit > 8
        assert page.locator('.on:not([data-series="lora"])').count() == 0
        page.keyboard.press("Escape")
        expect(tip).to_be_hidden()
        assert page.locator(".plot .on").count() == 0

    def test_a_mark_that_lies_below_others_is_read_with_them(
        self, wide: Path, open_page: Open
    ) -> None:
        # A grown run's copies differ by less than a mark's width.
        page = open_page(wide)
        start = f"lora: test NLL {golden('searched').methods['lora'].test['nll'].mean:.3f}"
        mark = page.locator(f'path[data-tip^="{start}"]').first
        mark.scroll_into_view_if_needed()
        # Scrolling hides what a mark says, and is reported in the next frame.
        page.evaluate(
            "() => new Promise(d => requestAnimationFrame(() => requestAnimationFrame(d)))"
        )
        box = mark.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        tip = page.locator("#tip")
        expect(tip).to_be_visible()
        lines = tip.inner_text().splitlines()
        assert not lines[0].startswith("lora:")
        assert [line for line in lines if line.startswith(start)]
        assert len(set(lines)) == len(lines)

    def test_the_legend_pins_a_method_by_keyboard(self, wide: Path, open_page: Open) -> None:
        page = open_page(wide)
        button = page.locator("#legend").get_by_role("button", name="ia3")
        button.focus()
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == "true"
        assert page.locator('.on[data-series="ia3"]').count() > 8
        faint = page.locator('.plot path[data-series="full"]').first
        assert float(faint.evaluate("e => getComputedStyle(e).opacity")) < 0.2
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == "false"
        assert page.locator(".plot .on").count() == 0


class TestSideBySide:
    def test_a_study_is_lit_up_and_columns_sort(
        self, side_by_side: Path, open_page: Open, hostile_names: tuple[str, ...]
    ) -> None:
        page = open_page(side_by_side)
        assert page.get_by_text("Why they cannot be ranked").is_visible()
        page.locator("#legend").get_by_role("button", name="two").click()
        assert page.locator('.on[data-series="four-methods two"]').count() > 8
        page.get_by_role("button", name="Study").click()
        heads = page.locator("table.main thead th")
        assert heads.nth(1).get_attribute("aria-sort") == "ascending"
        assert heads.nth(3).get_attribute("aria-sort") is None
        page.get_by_role("button", name="Adapter").click()
        # The third study holds the same methods, with its own names.
        assert sorted(names(page)[:3]) == sorted(["lora_small", "lora_small", hostile_names[2]])


class TestExamples:
    def test_search_narrows_and_says_how_many(self, wide: Path, open_page: Open) -> None:
        page = open_page(wide)
        found = page.locator("#found")
        assert found.inner_text() == "150 rows"
        page.locator("article.example").first.scroll_into_view_if_needed()
        page.wait_for_selector("article .card")
        # The last row's reference ends in its number, which no other row's does.
        text = rows_of(wide / "examples.jsonl")[149]["reference"]
        search = page.get_by_role("searchbox", name="Search")
        search.fill(text.upper())
        page.get_by_text("1 of 150 rows", exact=True).wait_for()
        assert page.locator("article.example").count() == 1
        assert page.locator("article.example").get_attribute("data-index") == "149"
        search.fill("no such words")
        page.get_by_text("0 of 150 rows", exact=True).wait_for()
        assert page.locator("article.example").count() == 0
        assert not page.locator("#more").is_visible()

    def test_order_and_only(self, wide: Path, open_page: Open) -> None:
        page = open_page(wide)
        rows = page.locator("article.example")
        page.get_by_label("Order").select_option("index")
        assert rows.nth(1).get_attribute("data-index") == "1"
        page.get_by_label("Order").select_option(label="lora: worst first")
        rows.first.scroll_into_view_if_needed()
        rows.first.locator(".card").first.wait_for()
        scores = rows.first.locator(".card b").all_inner_texts()
        page.get_by_label("Order").select_option(label="lora: best first")
        rows.first.locator(".card").first.wait_for()
        best = rows.first.locator(".card b").all_inner_texts()
        assert float(best[1]) > float(scores[1])

    def test_only_rows_where_a_method_is_best(self, complete: Path, open_page: Open) -> None:
        page = open_page(complete)
        rows = page.locator("article.example")
        page.locator("#only").select_option(label="where full is best")
        if page.locator("#more").is_visible():
            page.locator("#more button").last.click()
        scores = []
        for row in rows.all():  # a row far from the window is taken down again
            row.scroll_into_view_if_needed()
            row.locator(".card").first.wait_for()
            of = row.locator(".card h4 span").all_inner_texts()
            figures = map(float, row.locator(".card b").all_inner_texts())
            scores.append(dict(zip(of, figures, strict=True)))
        assert 0 < len(scores) < 16
        assert page.locator("#found").inner_text() == f"{len(scores)} of 16 rows"
        assert all(max(found, key=found.__getitem__) == "full" for found in scores)

    def test_a_box_hides_a_methods_cards(self, wide: Path, open_page: Open) -> None:
        page = open_page(wide)
        page.locator("article.example").first.scroll_into_view_if_needed()
        page.wait_for_selector("article .card")
        cards = page.locator("article.example").first.locator(".card:visible")
        expect(cards).to_have_count(12)
        page.get_by_role("checkbox", name="lead-3").uncheck()
        expect(cards).to_have_count(11)
        page.get_by_label("Order").select_option("index")
        expect(cards).to_have_count(11)

    def test_marked_words_stand_in_the_reference(self, wide: Path, open_page: Open) -> None:
        page = open_page(wide)
        row = page.locator("article.example").first
        row.scroll_into_view_if_needed()
        row.locator(".card").first.wait_for()
        reference = pairs(row.locator(".box").nth(1).inner_text())
        cards = row.locator(".card .text").all()
        assert len(cards) == 12
        assert row.locator(".card mark").count() > 0
        for card in cards:
            marked = [pairs(text) for text in card.locator("mark").all_inner_texts()]
            assert all(marked)
            assert set().union(*marked) == pairs(card.inner_text()) & reference

    def test_all_rows_scroll_and_few_are_built(self, wide: Path, open_page: Open) -> None:
        page = open_page(wide, height=800)
        assert page.locator("article.example").count() == 2
        page.get_by_role("button", name="Show 100 more").click()
        assert page.locator("article.example").count() == 102
        assert page.evaluate("document.activeElement.textContent").startswith("Row ")
        page.get_by_role("button", name="Show the other 48").click()
        assert page.locator("article.example").count() == 150
        assert not page.locator("#more").is_visible()
        for at in (149, 75, 0):
            row = page.locator("article.example").nth(at)
            row.scroll_into_view_if_needed()
            row.locator(".card").first.wait_for()
            assert page.locator("article:has(.card)").count() < 30


class TestWays:
    def test_the_first_tab_skips_to_the_answer(self, complete: Path, open_page: Open) -> None:
        page = open_page(complete)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
        page.keyboard.press("Enter")
        # The browser says its new address when it comes to it.
        page.wait_for_url(lambda url: url.endswith("#main"))

    def test_what_scrolls_can_be_reached_by_keyboard(self, wide: Path, open_page: Open) -> None:
        page = open_page(wide, width=400)
        unreachable = page.evaluate(
            """() => [...document.querySelectorAll("main *")].filter(e =>
                (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)
                && /auto|scroll/.test(getComputedStyle(e).overflowX + getComputedStyle(e).overflowY)
                && e.tabIndex < 0).map(e => e.className)"""
        )
        assert unreachable == []

    def test_dark_is_dark(self, complete: Path, open_page: Open) -> None:
        execution_path = "getComputedStyle(document.body).backgroundColor"
        assert open_page(complete, dark=True).evaluate(execution_path) == DARK_GROUND
        assert open_page(complete).evaluate(execution_path) != DARK_GROUND

    @pytest.mark.parametrize("width", [320, 400, 768, 1600])
    @pytest.mark.parametrize("name", ["wide", "hostile", "side_by_side"])
    def test_nothing_is_wider_than_the_window(
        self, request: pytest.FixtureRequest, open_page: Open, name: str, width: int
    ) -> None:
        page = open_page(request.getfixturevalue(name), width=width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    def test_paper_has_the_table_on_the_first_of_few_pages(
        self, wide: Path, open_page: Open
    ) -> None:
        page = open_page(wide)
        printed = page.pdf(format="A4")
        assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) <= 6
        page.set_viewport_size({"width": 718, "height": 1040})  # of A4 within its margins
        page.emulate_media(media="print")
        assert not page.locator("nav").is_visible()
        assert page.locator(".headline").is_visible()
        head = page.locator("table.main").bounding_box()
        assert head["y"] + head["height"] < 1040
        assert page.locator("article:has(.card):visible").count() == 2

    def test_thousands_of_rows_open_at_once_and_are_of_bounded_length(
        self, thousands: Path, open_page: Open
    ) -> None:
        assert (thousands / "report.html").stat().st_size <= 3_000_000
        page = open_page(thousands, width=1280)
        assert page.evaluate("document.documentElement.scrollHeight") <= 6000
        assert page.locator("#tools").is_visible()
        assert "of the 3,000 test rows" in page.locator("#examples .lead").first.inner_text()

    def test_a_link_opens_what_it_leads_to(self, wide: Path, open_page: Open) -> None:
        page = open_page(wide)
        claim = page.locator("#claims li").first
        expect(claim).to_be_hidden()
        page.locator('nav a[href="#claims"]').click()
        # The browser says that its address has changed after the click is over.
        expect(claim).to_be_visible()

    def test_the_narrow_page_shows_all_of_its_navigation(self, wide: Path, open_page: Open) -> None:
        page = open_page(wide, width=390)
        nav = page.locator("nav")
        assert nav.evaluate("n => n.scrollWidth <= n.clientWidth")
        for link in nav.locator("a").all():
            box = link.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390


class TestAccessibility:
    # A narrow page shows no more than a wide one, in the same colours.
    @pytest.mark.parametrize(
        ("dark", "width"),
        [(False, 1280), (True, 1280), (False, 390)],
        ids=["light-1280", "dark-1280", "light-390"],
    )
    @pytest.mark.parametrize("name", ["wide", "partial", "side_by_side"])
    def test_axe_finds_no_violation(
        self, request: pytest.FixtureRequest, open_page: Open, name: str, dark: bool, width: int
    ) -> None:
        from axe_playwright_python.sync_playwright import Axe

        page = open_page(request.getfixturevalue(name), width=width, dark=dark)
        page.eval_on_selector_all("details", "parts => parts.forEach(p => { p.open = true; })")
        if name != "side_by_side":
            page.locator("article.example").first.scroll_into_view_if_needed()
            page.wait_for_selector("article .card")
        found = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}}).response
        assert len(found["passes"]) > 15
        assert [
            f"{v['id']}: {node['html'][:120]} {node['failureSummary']}"
            for v in found["violations"]
            for node in v["nodes"][:3]
        ] == []
