"""Tokens that end an answer besides the end-of-text token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bakeoff.engine.generation import generate as generation
from bakeoff.engine.generation.generate import GenerationOptions, generate
from bakeoff.engine.generation.greedy import Greedy
from bakeoff.engine.generation.mixed import generate_rows
from bakeoff.engine.generation.stopping import stop_ids
from bakeoff.errors import ConfigError
from tests.engine.generation.reference_texts import Prompts, options_of, seated, tuned

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit


def cut_at(rows: list[list[int]], stop: int) -> list[list[int]]:
    return [row[: row.index(stop)] if stop in row else row for row in rows]


def stop_in(bench: Bench, rows: list[list[int]]) -> tuple[int, str]:
    """A token that ends one row early and not another."""
    counts = {token: sum(token in row for row in rows) for row in rows for token in row}
    found = next(t for row in rows for t in row[1:-1] if 0 < counts[t] < len(rows) and t != row[0])
    return found, str(bench.base.tokenizer.convert_ids_to_tokens(found))


@pytest.mark.parametrize("strategy", ["greedy", "sample"])
def test_an_answer_ends_before_a_stop_token(
    kit: Kit, bench: Bench, prompts: Prompts, strategy: str
) -> None:
    pair = tuned(kit, bench, "lora", {"rank": 4, "alpha": 8.0})
    options: dict[str, Any] = {"strategy": strategy, "no_repeat_ngram": 0}
    with seated(bench, pair) as cohort:
        [whole] = generate(cohort, [0], prompts, options_of(**options))
        stop, spelt = stop_in(bench, whole)
        options["stop_tokens"] = (spelt,)
        [ended] = generate(cohort, [0], prompts, options_of(**options))
        if strategy == "greedy":
            mixed = generate_rows(cohort, [0] * len(prompts), prompts, options_of(**options))
            assert mixed == ended
    assert ended == cut_at(whole, stop) != whole


def test_a_frozen_step_ends_there_too(
    kit: Kit, bench: Bench, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = tuned(kit, bench, "lora", {"rank": 4, "alpha": 8.0})
    with seated(bench, pair) as cohort:
        [whole] = generate(cohort, [0], prompts, options_of(no_repeat_ngram=0))
        stop, spelt = stop_in(bench, whole)
        monkeypatch.setattr(generation, "Greedy", lambda *a, **k: Greedy(*a, **k, frozen=True))
        options = options_of(no_repeat_ngram=0, stop_tokens=(spelt,))
        [ended] = generate(cohort, [0], prompts, options)
    assert ended == cut_at(whole, stop)


def test_a_beam_ends_there_too(bench: Bench, prompts: Prompts) -> None:
    with seated(bench) as cohort:
        [whole] = generate(cohort, [0], prompts, options_of(strategy="beam", no_repeat_ngram=0))
        stop, spelt = stop_in(bench, whole)
        options = options_of(strategy="beam", no_repeat_ngram=0, stop_tokens=(spelt,))
        [ended] = generate(cohort, [0], prompts, options)
    assert not any(stop in row for row in ended)
    assert ended != whole


def test_a_token_that_there_is_not_is_refused(bench: Bench) -> None:
    with pytest.raises(ConfigError, match=r"generation\.stop_tokens: '<no such token>' is not a"):
        stop_ids(bench.base, ["<no such token>"])


def test_the_end_of_text_needs_no_mention(bench: Bench) -> None:
    assert stop_ids(bench.base, [str(bench.base.tokenizer.eos_token)]) == []


def test_a_task_adds_its_own() -> None:
    options = GenerationOptions(stop_tokens=("a",)).also_stopping_at(("b", "a"))
    assert options.stop_tokens == ("a", "b")
    assert GenerationOptions().also_stopping_at(()) == GenerationOptions()
