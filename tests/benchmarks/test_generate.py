"""``benchmarks/generate.py``: what it promises to print, and that other text stops it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

SMALL = (
    *("--base", "tiny", "--device", "cpu", "--precision", "float32", "--documents", "4"),
    *("--micro-batch-size", "2", "--max-length", "24", "--supervised", "6", "--repeats", "1"),
)
Lines = list[dict[str, Any]]


@pytest.mark.soak
def test_every_method_has_its_lines(lines: Callable[..., Lines]) -> None:
    methods = ("none", "lora", "lora-all", "soft_prompt")
    *rows, last = lines("generate", *SMALL, "--method", *methods, "--slots", "1", "2")
    cases = {f"tiny {m} {n} slots 18 + 6 tokens" for m in methods for n in (1, 2)}
    assert {row["case"] for row in rows} == cases
    cases.remove("tiny none 2 slots 18 + 6 tokens")
    measured = [row for row in rows if "skipped" not in row]
    assert {(row["engine"], row["case"]) for row in measured} == {
        (engine, case)
        for engine in ("bakeoff 2 rows", "generate dynamic cache 2 rows")
        for case in cases
    }
    assert all(min(row["rows_per_second"], row["peak_memory_bytes"]) > 0 for row in measured)
    assert last["summary"] is True
    assert last["ratio"].keys() == cases
    assert all(found.keys() == {"generate"} for found in last["ratio"].values())


@pytest.mark.parametrize(
    ("part", "wrong", "message"),
    [
        ("step", lambda right: [[token + 1 for token in row] for row in right], "other tokens"),
        ("nll", lambda right: 1.001 * right, "the loss of generate"),
    ],
)
def test_wrong_text_stops_it(
    lines: Callable[..., Lines],
    module: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    wrong: Callable[[Any], Any],
    message: str,
) -> None:
    ours: Any = module("engines.ours").OurWriter
    right = getattr(ours, part)
    monkeypatch.setattr(ours, part, lambda self, given: wrong(right(self, given)))
    with pytest.raises(SystemExit, match=message):
        lines("generate", *SMALL, "--method", "lora")
