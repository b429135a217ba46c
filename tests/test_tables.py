"""Tables where there is room for them, and blocks where there is none."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from bakeoff.tables import print_table


def shown(width: int, labels: list[str] | None = None) -> list[str]:
    table = Table(box=None, pad_edge=False)
    table.add_column("method", overflow="fold")
    for title in ("memory", "a long title of a figure", ""):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_row("lora", "9.58 GiB", "1,234,567", "[red]better[/]")
    table.add_row("a_method_of_a_long_name", "1 GiB", "", "", style="dim")
    file = io.StringIO()
    print_table(table, Console(file=file, width=width), labels)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 160])
def test_with_room_it_is_a_table(width: int) -> None:
    head, row, *_ = shown(width)
    assert head.split() == ["method", "memory", *["a", "long", "title", "of", "a", "figure"]]
    assert row.split() == ["lora", "9.58", "GiB", "1,234,567", "better"]


@pytest.mark.parametrize("width", [20, 40, 59])
def test_without_room_each_row_is_a_block(width: int) -> None:
    assert shown(width) == [
        "lora",
        "  memory: 9.58 GiB",
        "  a long title of a figure: 1,234,567",
        "  better",
        "a_method_of_a_long_name",
        "  memory: 1 GiB",
    ]


def test_blocks_may_have_labels_of_their_own() -> None:
    assert shown(40, ["", "peak", "count", "verdict"])[1:4] == [
        "  peak: 9.58 GiB",
        "  count: 1,234,567",
        "  verdict: better",
    ]


@pytest.mark.parametrize("width", [59, 70])
def test_a_name_of_several_lines_needs_the_width_of_its_longest(width: int) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("method", overflow="fold")
    table.add_column("figure" * 9, justify="right", no_wrap=True)
    table.add_row("zero-shot\n@one\n@other", "1.5")
    file = io.StringIO()
    print_table(table, Console(file=file, width=width))
    lines = [line.split() for line in file.getvalue().splitlines()]
    if width == 70:
        assert lines[1:] == [["zero-shot", "1.5"], ["@one"], ["@other"]]
    else:
        assert lines[0] == ["zero-shot@one@other"]
