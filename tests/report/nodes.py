"""A page as a tree of elements, and what the tests look for in it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

VOID = {"area", "base", "br", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}


class Node:
    """An element with its attributes and what lies in it."""

    def __init__(self, tag: str, attrs: dict[str, str]) -> None:
        self.tag, self.attrs = tag, attrs
        self.children: list[Node | str] = []

    def all(self, tag: str = "", **attrs: str) -> list[Node]:
        """The elements below, by tag, class (``class_``), id or ``data_`` attribute."""
        wanted = {k.rstrip("_").replace("_", "-"): v for k, v in attrs.items()}

        def fits(node: Node) -> bool:
            have = {k: v.split() if k == "class" else [v] for k, v in node.attrs.items()}
            named = not tag or node.tag == tag
            return named and all(v in have.get(k, ()) for k, v in wanted.items())

        return [node for node in self.walk() if fits(node)]

    def one(self, tag: str = "", **attrs: str) -> Node:
        (found,) = self.all(tag, **attrs)
        return found

    def walk(self) -> Iterator[Node]:
        for child in self.children:
            if isinstance(child, Node):
                yield child
                yield from child.walk()

    @property
    def text(self) -> str:
        return "".join(c if isinstance(c, str) else c.text for c in self.children)


class Reader(HTMLParser):
    """Builds the tree and fails where tags are not balanced."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {key: value or "" for key, value in attrs})
        assert len(node.attrs) == len(attrs), f"<{tag}> has an attribute twice"
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment in the page: {data[:60]}")


def parse(folder: Path) -> Node:
    reader = Reader()
    reader.feed((folder / "report.html").read_text("utf-8"))
    reader.close()
    assert reader.open == [reader.root]
    return reader.root


def table(page: Node) -> dict[str, dict[str, Node]]:
    """The main table: row name, then column, to its cell."""
    main = page.one("table", class_="main")
    heads = [
        th.one(class_="label").text.replace("\u2011", "-") for th in main.one("thead").all("th")
    ]
    return {
        row.one("th").attrs["data-value"]: dict(zip(heads[1:], row.all("td"), strict=True))
        for row in main.one("tbody").all("tr")
    }


def tags(page: Node) -> dict[str, list[str]]:
    rows = page.one("table", class_="main").one("tbody").all("th")
    return {th.attrs["data-value"]: [t.text for t in th.all(class_="tag")] for th in rows}


def scripts(page: Node) -> list[str]:
    """What is run."""
    return [e.text for e in page.all("script") if "type" not in e.attrs]


def browser(page: Node) -> tuple[dict[str, Any], list[Any]]:
    """The data of the browser of examples: its head, and the rows of all its blocks."""
    head = json.loads(page.one("script", id="rows-head").text)
    blocks = [json.loads(block.text) for block in page.all("script", class_="rows")]
    assert all(len(block) == head["chunk"] for block in blocks[:-1])
    return head, [row for block in blocks for row in block]


def digest(text: str) -> str:
    found = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()
    return f"'sha256-{found}'"
