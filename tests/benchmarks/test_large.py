"""``benchmarks/large.py`` on a small base: lines, what is skipped, whose base it refuses."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Lines = list[dict[str, Any]]
SMALL = (
    *("--quick", "--device", "cpu", "--precision", "bfloat16"),
    *("--steps", "1", "--warmup", "1", "--max-length", "32", "--supervised", "8"),
)


@pytest.mark.soak
def test_ours_is_held_beside_the_rival_in_each_format(
    lines: Callable[..., Lines], tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    *rows, last = lines("large", *SMALL, "--folder", str(tmp_path / "base"), "--rival", "trainer")
    cases = {f"llama-small {kind} {n} slots" for kind in ("nf4", "none") for n in (1, 4)}
    assert {(row["engine"], row["case"]) for row in rows} == {
        (engine, case) for engine in ("trainer", "bakeoff") for case in cases
    }
    assert last["ratio"].keys() == last["memory_ratio"].keys() == cases
    assert all(found.keys() == {"trainer"} for found in last["ratio"].values())
    # Held in 4 bits, either base takes less.
    peak = {(row["engine"], row["case"]): row["peak_memory_bytes"] for row in rows}
    for engine in ("trainer", "bakeoff"):
        assert peak[engine, "llama-small nf4 1 slots"] < peak[engine, "llama-small none 1 slots"]


def test_a_rival_that_is_not_installed_is_noted(
    lines: Callable[..., Lines], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "trl" else found(name, *a)
    )
    flags = ("--folder", str(tmp_path), "--quantization", "none", "--slots", "1")
    skipped, ours, last = lines("large", *SMALL, *flags, "--rival", "trl")
    assert skipped["skipped"] == "trl is not installed"
    assert ours["engine"] == "bakeoff"
    assert last["ratio"] == {"llama-small none 1 slots": {}}


def test_a_base_of_another_shape_is_left_alone(lines: Callable[..., Lines], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"hidden_size": 64}', encoding="utf-8")
    with pytest.raises(SystemExit, match="holds a base of another shape"):
        lines("large", *SMALL, "--folder", str(tmp_path), "--rival", "trainer")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
