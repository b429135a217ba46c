"""The page: that text stays text, and that it asks nothing of the network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.nodes import Node, browser, digest, parse, scripts, table

ALLOWED = {
    "a", "article", "b", "body", "caption", "code", "dd", "details", "div", "dl", "dt", "em",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "head",
    "header", "html", "i", "input", "label", "legend", "li", "link", "main", "mark", "meta",
    "nav", "noscript", "ol", "option", "output", "p", "script", "section", "select", "small",
    "span", "strong", "style", "button", "summary", "table", "tbody", "td", "th", "thead",
    "title", "tr", "ul", "wbr",
    "svg", "g", "path", "text", "line", "rect", "defs", "clippath",
}  # fmt: skip


@pytest.fixture(scope="module")
def attacked(hostile: Path) -> Node:
    return parse(hostile)


@pytest.fixture(scope="module", params=["complete", "partial", "hostile"])
def any_page(request: pytest.FixtureRequest) -> Node:
    return parse(request.getfixturevalue(request.param))


class TestHostileText:
    def test_it_stays_text_in_every_place(
        self, attacked: Node, hostile_texts: tuple[str, ...], hostile_names: tuple[str, ...]
    ) -> None:
        shown = [text.encode("utf-8", "replace").decode() for text in hostile_texts]
        notes = [li.text for li in attacked.one(class_="notes").all("li")]
        # The texts were put into files after the run had written them, which is said in few notes.
        changed = [note for note in notes if "was written with" in note or "such files" in note]
        assert len(changed) == 4 and changed[-1].endswith(
            "more such files, which `bakeoff report` names"
        )
        notes = [note for note in notes if note not in changed]
        assert notes[-len(shown) :] == shown
        assert attacked.one("title").text == f"{shown[0]} · bakeoff"
        assert attacked.one("h1").text == shown[0]
        pairs = [dd.text for dd in attacked.one(class_="meta").all("dd")]
        assert shown[0] in pairs
        assert set(hostile_names) <= set(table(attacked))
        assert f"{hostile_names[3]} failed: {shown[1]}." in attacked.one(class_="caveats").text

    def test_documents_and_predictions_stay_text(
        self, attacked: Node, hostile_texts: tuple[str, ...], hostile_names: tuple[str, ...]
    ) -> None:
        shown = [text.encode("utf-8", "replace").decode() for text in hostile_texts]
        head, rows = browser(attacked)
        assert head["names"][:4] == list(hostile_names)
        for (at, *_), (document, _, reference, written) in zip(head["rows"], rows, strict=True):
            assert document == shown[at % len(shown)]
            assert reference == shown[(at + 1) % len(shown)]
            assert set(written) == {shown[(at + 2) % len(shown)]}

    def test_no_data_can_end_its_script_element(self, attacked: Node) -> None:
        for script in attacked.all("script", type="application/json"):
            assert not set(script.text) & set("<>&")

    def test_names_stay_text_in_figures(
        self, attacked: Node, hostile: Path, hostile_names: tuple[str, ...]
    ) -> None:
        words = " ".join(svg.attrs["aria-label"] for svg in attacked.all("svg", role="img"))
        assert all(name in words for name in hostile_names)
        for path in (hostile / "figures").glob("*.svg"):
            drawn = path.read_text("utf-8")
            assert drawn.count("<script") == drawn.count("<img") == 0

    def test_no_template_of_its_is_run(self, attacked: Node) -> None:
        assert "{{7*7}} {% raw %} ${7*7}" in attacked.one(class_="notes").text


class TestNetwork:
    def test_only_known_elements_and_no_handlers_or_style_attributes(self, any_page: Node) -> None:
        for element in any_page.walk():
            assert element.tag in ALLOWED
            assert not [key for key in element.attrs if key.startswith("on")]
            assert "style" not in element.attrs, f"<{element.tag}>: the policy forbids it"
        kinds = [e.attrs.get("type") for e in any_page.all("script")]
        assert kinds.count(None) == 2 and set(kinds) == {None, "application/json"}
        assert len(any_page.all("style")) == 1

    def test_nothing_is_asked_of_another_place(self, any_page: Node) -> None:
        asks = ("action", "background", "data", "formaction", "href", "ping", "poster", "src",
                "srcset", "xlink:href")  # fmt: skip
        for element in any_page.walk():
            for key in asks:
                value = element.attrs.get(key, "#")
                assert value.startswith("#") or (element.tag, value) == ("link", "data:,")
        style, script = any_page.one("style").text, "".join(scripts(any_page))
        for word in ("@import", "url(", "src:", "//"):
            assert style.count(word) == 0, word
        for word in ("fetch(", "XMLHttpRequest", "import(", "innerHTML", "eval(", "http"):
            assert script.count(word) == 0, word

    def test_the_policy_allows_exactly_what_the_page_inlines(self, any_page: Node) -> None:
        head = [c for c in any_page.one("head").children if isinstance(c, Node)]
        policy_at = next(i for i, e in enumerate(head) if "content-security-policy" in
                         e.attrs.get("http-equiv", "").lower())  # fmt: skip
        assert all(element.tag == "meta" for element in head[:policy_at])
        parts = [part.split() for part in head[policy_at].attrs["content"].split(";")]
        assert {part[0]: part[1:] for part in parts} == {
            "default-src": ["'none'"],
            "style-src": [digest(any_page.one("style").text)],
            "script-src": [digest(text) for text in scripts(any_page)],
            "img-src": ["data:"],
            "base-uri": ["'none'"],
            "form-action": ["'none'"],
        }
