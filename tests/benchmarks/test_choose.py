"""``benchmarks/choose.py``: what it promises to print, and that other likelihoods stop it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

SMALL = (
    *("--base", "tiny", "--device", "cpu", "--precision", "float32", "--examples", "3"),
    *("--rows", "2", "--max-length", "24", "--supervised", "6", "--repeats", "1"),
)
Lines = list[dict[str, Any]]


@pytest.mark.soak
def test_every_method_has_its_lines(lines: Callable[..., Lines]) -> None:
    methods = ("none", "lora", "lora-all", "soft_prompt", "head")
    *rows, last = lines("choose", *SMALL, "--method", *methods, "--choices", "3")
    cases = {f"tiny {method} 18 + 3 x 6 tokens" for method in methods}
    assert {(row["engine"], row["case"]) for row in rows if "skipped" not in row} == {
        (engine, case) for engine in ("choose", "rows", "plain") for case in cases
    }
    assert not [row for row in rows if "skipped" in row]
    assert all(min(row["examples_per_second"], row["peak_memory_bytes"]) > 0 for row in rows)
    assert last["summary"] is True and last["threads"] == 1
    assert last["ratio"].keys() == cases
    assert all(found.keys() == {"rows", "plain"} for found in last["ratio"].values())


@pytest.mark.parametrize("engine", ["FullRows", pytest.param("PlainRows", marks=pytest.mark.soak)])
def test_other_likelihoods_stop_it(
    lines: Callable[..., Lines],
    module: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
) -> None:
    kind: Any = getattr(module("engines.choosers"), engine)
    right = kind.ask
    monkeypatch.setattr(kind, "ask", lambda self, given: 1.001 * right(self, given))
    name = {"FullRows": "rows", "PlainRows": "plain"}[engine]
    with pytest.raises(SystemExit, match=f"{name} 2 finds a choice 1.00e-03 more or less likely"):
        lines("choose", *SMALL)
