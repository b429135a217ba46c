"""``bakeoff claims`` as it is typed: the list, wrong names, bases, data and budgets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.claims.registry import BUILT_IN, claim_named
from bakeoff.errors import StoreError

Cli = Callable[..., Any]


def test_the_list_is_one_full_name_a_line_where_it_is_piped(cli: Cli) -> None:
    assert cli("claims", "--list").out.splitlines() == list(BUILT_IN)
    quick = cli("claims", "--list", "--quick").out.splitlines()
    assert quick == [name for name in BUILT_IN if claim_named(name).quick]
    assert cli("claims", "--list", "init_matters").out == "init_matters\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("few_token_suffices",), "did you mean 'few_tokens_suffice'?"),
        (("--bases", "wire-0.3m,nothing-here"), "nothing-here"),
        (("--bases", ","), "names no base, or one twice"),
        (("--bases", "tiny,tiny,wire-0.3m"), "names no base, or one twice"),
        (("--base", "nothing-here"), "nothing-here"),
        (("--budget", "soon"), "soon"),
        (("--data", "nothing.jsonl"), "nothing.jsonl"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(
    cli: Cli, place: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = cli("claims", *arguments)
    assert done.code == 2, done.message
    assert words in done.message
    assert not (place / "runs").exists()


def test_what_failed_is_an_error_and_what_was_found_is_written(
    cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(context: Any) -> Any:
        raise StoreError("measured: no space is left")

    def short(context: Any) -> Any:
        raise RuntimeError("of its own")

    asked = ("claims", "weights_are_low_rank", "--quick", "--out", "out")
    monkeypatch.setattr("bakeoff.claims.weights.weight_ranks", full)
    done = cli(*asked)
    assert done.code == 2 and "no space is left" in done.err
    one = json.loads((place / "out/claims.json").read_text())
    assert one["claims"]["weights_are_low_rank"]["verdict"] == "undecided"
    assert "no space is left" in str(one["failed"])
    monkeypatch.setattr("bakeoff.claims.weights.weight_ranks", short)
    done = cli(*asked)
    assert done.code == 1 and "Traceback" in done.err and "RuntimeError: of its own" in done.err
    monkeypatch.undo()
    monkeypatch.chdir(place)
    done = cli(*asked)
    assert done.code == 0, done.err
    assert json.loads((place / "out/claims.json").read_text())["failed"] == []


def test_claims_of_another_version_are_left_alone(cli: Cli, place: Path) -> None:
    (place / "old").mkdir()
    (place / "old/claims.json").write_text('{"claims": {}}')
    done = cli("claims", "weights_are_low_rank", "--quick", "--out", "old")
    assert done.code == 2 and "older version" in done.message
    assert (place / "old/claims.json").read_text() == '{"claims": {}}'
