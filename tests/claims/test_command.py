"""``bakeoff claims`` as it is typed: the list, wrong names, bases, data and budgets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.claims.registry import BUILT_IN, claim_named

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
        (("--base", "tiny", "--bases", "wire-0.3m,wire-1.1m"), "is not among --bases"),
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
