"""The run that stands for a method where one must be handed on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bakeoff.decide.representative import own_score, representative
from bakeoff.runs.reading import read_results
from bakeoff.runs.records import Results

GOLDEN = Path(__file__).parents[1] / "golden" / "four"


@pytest.fixture(scope="module")
def results() -> Results:
    return read_results(GOLDEN)


def _with_losses(results: Results, method: str, losses: list[float]) -> Results:
    names = results.methods[method].candidates
    first = results.candidates[names[0]]
    ids = [f"{method}-s{seed}" for seed in range(len(losses))]
    candidates = {
        name: replace(first, seed=seed, epochs=(replace(first.epochs[0], val_nll=loss),))
        for seed, (name, loss) in enumerate(zip(ids, losses, strict=True))
    }
    changed = replace(results.methods[method], candidates=tuple(ids))
    return replace(
        results,
        methods={**results.methods, method: changed},
        candidates={**results.candidates, **candidates},
    )


@pytest.mark.parametrize(
    ("losses", "seed"),
    [([1.0, 2.0, 3.1], 1), ([2.0, 2.0, 2.0], 0), ([5.0, 1.0, 1.2], 2), ([1.0], 0)],
)
def test_the_run_nearest_the_mean(results: Results, losses: list[float], seed: int) -> None:
    changed = _with_losses(results, "lora", losses)
    kept = set(changed.methods["lora"].candidates)
    assert representative(changed, "lora", kept) == f"lora-s{seed}"


def test_only_what_may_be_handed_on(results: Results) -> None:
    changed = _with_losses(results, "lora", [1.0, 2.0, 3.1])
    assert representative(changed, "lora", {"lora-s0"}) == "lora-s0"
    assert representative(changed, "lora", set()) is None
    assert representative(changed, "absent", {"lora-s0"}) is None


def test_its_own_score_and_not_the_mean(results: Results) -> None:
    method = results.methods["lora"]
    for name in method.candidates:
        seed = results.candidates[name].seed
        own = method.test["nll"].per_seed[method.seeds.index(seed)]
        assert own_score(results, name) == own
