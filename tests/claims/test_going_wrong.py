"""What goes wrong in a run of claims costs the claims that it touches, and no others."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.api import claims as api
from bakeoff.api.claims import ClaimsStopped, run_claims
from bakeoff.api.running import StoppedEarly
from bakeoff.claims import registry, running
from bakeoff.claims.contract import SIZES, Part, Planted, Values
from bakeoff.claims.entrants import full, lora
from bakeoff.claims.listing import NOMINAL
from bakeoff.claims.page import build_page
from bakeoff.claims.registry import claims_named
from bakeoff.claims.rules import Verdict, judge_family
from bakeoff.claims.running import run_suite
from bakeoff.claims.writing import as_mapping
from bakeoff.errors import ConfigError, StoreError
from bakeoff.execution.stopping import BudgetSpent, Stopped
from bakeoff.measure.fit import DoesNotFitError
from bakeoff.runs.reading import read_results
from bakeoff.types import RunState
from tests.claims.planted import Study, suite_of
from tests.claims.test_rules import made
from tests.golden_folders import save

FEW, FULL_RANK, LOW_RANK = "few_tokens_suffice", "full_rank_lora_is_full", "update_is_low_rank"
RATES, WEIGHTS, SCALE = "rate_of_lora_is_ten_times_full", "weights_are_low_rank", "scale_closes_gap"
Cli = Callable[..., Any]


def test_what_one_claim_asks_for_is_refused_and_the_others_of_its_study_are_run(
    data: Any, tmp_path: Path
) -> None:
    study = Study()

    def run_study(mapping: Mapping[str, Any], place: Path, seconds: float | None) -> None:
        if "soft_100" in mapping["methods"]:
            raise ConfigError("methods.soft_100: has no room")
        study(mapping, place, seconds)

    for deadline in (None, float("inf")):
        study.ran.clear()
        suite: Any = suite_of((FEW, FULL_RANK), tmp_path / str(deadline), data, study)
        found = run_suite(replace(suite, run_study=run_study, deadline=deadline))
        assert found.findings[FULL_RANK].verdict is Verdict.SUPPORTED
        assert found.findings[FEW].verdict is Verdict.UNDECIDED
        assert "was refused: methods.soft_100: has no room" in found.findings[FEW].why
        assert "goes on" not in found.findings[FEW].why
        assert found.failures.said == [f"{FEW}: methods.soft_100: has no room"]
        assert [methods for _, methods in study.ran] == [["full", "lora_128"]]


def test_an_error_that_is_a_fault_of_ours_leaves_a_trace_and_the_other_studies(
    data: Any, tmp_path: Path
) -> None:
    study = Study(raises=lambda name: ZeroDivisionError("by zero") if "main" in name else None)
    suite = suite_of((FULL_RANK, "init_matters"), tmp_path, data, study)
    found = run_suite(suite)
    assert found.findings[FULL_RANK].verdict is Verdict.UNDECIDED
    assert found.findings["init_matters"].effect is not None
    assert "ZeroDivisionError: by zero" in found.failures.said[0]
    assert "Traceback" in found.failures.traces[0]


def test_a_remedy_is_one_that_the_command_has(data: Any, tmp_path: Path) -> None:
    study = Study(raises=lambda name: StoreError("put the earlier run aside with --fresh"))
    found = run_suite(suite_of((FULL_RANK,), tmp_path, data, study))
    assert f"move {tmp_path / 'studies'}" in found.failures.said[0]


@pytest.mark.parametrize(("stop", "code"), [(Stopped(143, "Terminated."), 143), (None, 130)])
def test_what_there_is_is_written_where_a_call_is_interrupted(
    stop: Stopped | None,
    code: int,
    planted: Study,
    cli: Cli,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def execute(mapping: Any, folder: Path, *_: Any) -> None:
        if "labels" in folder.name:
            raise StoppedEarly(stop or KeyboardInterrupt(), None)
        planted(mapping, folder, None)

    monkeypatch.setattr(api, "execute", execute)
    ended = lambda *_: pytest.fail("nothing is measured once a call is interrupted")  # noqa: E731
    monkeypatch.setattr("bakeoff.claims.weights.weight_ranks", ended)
    done = cli("claims", FULL_RANK, "init_matters", WEIGHTS, "--quick", "--out", "out")
    assert done.code == code, done.err
    assert "The same command goes on." in done.err and "out/claims.html" in done.err
    kept = json.loads((place / "out/claims.json").read_text())
    assert kept["claims"][FULL_RANK]["verdict"] == "supported"
    for name in ("init_matters", WEIGHTS):
        assert kept["claims"][name]["verdict"] == "undecided"
        assert "interrupted" in kept["claims"][name]["why"]
    assert kept["failed"] == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_while_something_is_measured_ends_that_at_once(
    number: int, code: int, planted: Study, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ranks(context: Any) -> Any:
        os.kill(os.getpid(), number)
        pytest.fail("it went on")

    monkeypatch.setattr("bakeoff.claims.weights.weight_ranks", ranks)
    with pytest.raises(ClaimsStopped) as stopped:
        run_claims([WEIGHTS], quick=True, out=place / "out")
    assert stopped.value.exit_code == code
    one = json.loads((place / "out/claims.json").read_text())["claims"][WEIGHTS]
    assert one == stopped.value.results.claims[WEIGHTS]
    assert one["verdict"] == "undecided" and "interrupted" in one["why"]


def test_a_signal_while_verdicts_are_computed_waits_until_they_are_written(
    planted: Study, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return judge_family(*arguments, **options)

    monkeypatch.setattr(running, "judge_family", judged)
    with pytest.raises(ClaimsStopped) as stopped:
        run_claims([FULL_RANK], quick=True, out=place / "out")
    assert stopped.value.exit_code == 143
    kept = json.loads((place / "out/claims.json").read_text())["claims"]
    assert kept[FULL_RANK]["verdict"] == "supported"
    assert (place / "out/claims.html").exists()


def test_a_study_that_the_budget_ended_is_the_last_of_its_call(
    planted: Study, cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends before the budget does, by what its report may take: no other is begun in that."""
    begun: list[str] = []

    def execute(mapping: Any, folder: Path, *_: Any) -> None:
        begun.append(folder.name)
        raise StoppedEarly(BudgetSpent(), None)

    monkeypatch.setattr(api, "execute", execute)
    measured = lambda *_: pytest.fail("it was measured in what was left")  # noqa: E731
    monkeypatch.setattr("bakeoff.claims.weights.weight_ranks", measured)
    call = ("claims", FULL_RANK, "init_matters", WEIGHTS, "--quick", "--out", "out")
    done = cli(*call, "--budget", "8h")
    assert done.code == 0, done.err
    assert len(begun) == 1 and "main" in begun[0]
    kept = json.loads((place / "out/claims.json").read_text())
    assert kept["failed"] == []
    for one in kept["claims"].values():
        assert one["verdict"] == "undecided" and "the budget ended" in one["why"]
    # The next call goes on with it, and then with the others.
    monkeypatch.setattr(api, "execute", lambda made, folder, *_: planted(made, folder, None))
    ranks = {"weight_rank": np.linspace(0.4, 0.5, 16)}
    monkeypatch.setattr("bakeoff.claims.weights.weight_ranks", lambda *_: ranks)
    assert cli(*call, "--budget", "8h").code == 0
    kept = json.loads((place / "out/claims.json").read_text())["claims"]
    assert all(one["effect"] is not None for one in kept.values())


@pytest.mark.parametrize("fails", [False, True], ids=["whole", "failed"])
def test_a_full_disk_costs_no_verdict_of_what_is_there(
    fails: bool, planted: Study, cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the note of what a study took nor what is measured can be written then."""

    def full(file: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    ranks = {"weight_rank": np.linspace(0.4, 0.5, 16)}
    monkeypatch.setattr("bakeoff.claims.weights.weight_ranks", lambda *_: ranks)
    monkeypatch.setattr("bakeoff.claims.spent.write_bytes", full)
    monkeypatch.setattr("bakeoff.claims.measured.write_bytes", full)
    if fails:
        planted.raises = lambda name: StoreError("out: the lock is another process's")
    done = cli("claims", FULL_RANK, WEIGHTS, "--quick", "--out", "out")
    assert done.code == 2 and "Traceback" not in done.err
    kept = json.loads((place / "out/claims.json").read_text())
    of_study, of_claim = kept["failed"]
    assert kept["claims"][FULL_RANK]["verdict"] == ("undecided" if fails else "supported")
    assert ("the lock is another" if fails else "seconds.json: cannot be written") in of_study
    assert of_claim.startswith(f"{WEIGHTS}: ") and "free some space" in of_claim
    assert kept["claims"][WEIGHTS]["verdict"] == "undecided"


def test_an_interrupted_call_says_what_failed_before(
    planted: Study, cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def execute(mapping: Any, folder: Path, *_: Any) -> None:
        if "labels" in folder.name:
            raise StoppedEarly(KeyboardInterrupt(), None)
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(api, "execute", execute)
    done = cli("claims", FULL_RANK, "init_matters", "--quick", "--out", "out")
    assert done.code == 130 and "Traceback" in done.err and "by zero" in done.err


def test_a_study_without_a_claim_that_may_run_is_not_begun(data: Any, tmp_path: Path) -> None:
    """And what every claim is refused for is said once, of the study."""
    shapes = [
        replace(NOMINAL, reference=name, parameters=10**i)
        for i, name in enumerate(("a", "b", "c"), 5)
    ]
    ran: list[list[str]] = []

    def run_study(mapping: Mapping[str, Any], place: Path, seconds: float | None) -> None:
        ran.append(list(mapping["methods"]))
        raise ConfigError("execution.executor: ray is not installed")

    suite: Any = suite_of((FEW, FULL_RANK, SCALE), tmp_path, data, Study())
    suite = replace(suite, facts=shapes, run_study=run_study)
    found = run_suite(suite)
    assert all(ran)
    assert len(found.failures.said) == 2  # the shared study, and scale
    assert found.failures.said[1].startswith(f"{SCALE}: ")
    assert all("ray is not installed" in finding.why for finding in found.findings.values())


def test_what_does_not_fit_into_memory_is_left_out_of_its_study(data: Any, tmp_path: Path) -> None:
    study = Study()

    def run_study(mapping: Mapping[str, Any], place: Path, seconds: float | None) -> None:
        if "full" in mapping["methods"]:
            raise DoesNotFitError("full needs 80 GB")
        study(mapping, place, seconds)

    suite: Any = suite_of((FEW, FULL_RANK), tmp_path, data, study)
    found = run_suite(replace(suite, run_study=run_study))
    assert found.findings[FEW].effect is not None
    assert "80 GB" in found.findings[FULL_RANK].why


def broken_design(facts: Any, size: Any) -> Any:
    raise KeyError("no such layer")


def broken_world(values: Values) -> Any:
    return {"x": values["not planted"]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"design": broken_design}, "KeyError: 'no such layer'"),
        ({"design": lambda facts, size: (Part(entrants={"x": {"rank": 1}}),)}, "KeyError: 'kind'"),
        (
            {"design": lambda facts, size: (Part(entrants={}, sets=("moon",)),)},
            "asks for the further sets ['moon']",
        ),
        (
            {
                "design": lambda facts, size: (Part(entrants={"full": full(NOMINAL)}),),
                "statistic": broken_world,
            },
            "KeyError: 'not planted'",
        ),
    ],
    ids=["design", "entrant", "sets", "world"],
)
def test_a_claim_of_a_package_that_is_broken_costs_the_others_nothing(
    changes: dict[str, Any], words: str, data: Any, tmp_path: Path
) -> None:
    planted = Planted(supported={"full": 0.2}, contradicted={}, noise=made().planted.noise)
    claim = made(**{"planted": planted, **changes})
    study = Study()
    suite: Any = suite_of((FULL_RANK,), tmp_path, data, study)
    suite = replace(suite, claims={"made": claim, **suite.claims})
    found = run_suite(suite)
    assert found.findings[FULL_RANK].verdict is Verdict.SUPPORTED
    assert found.findings["made"].verdict is Verdict.UNDECIDED
    assert words in str(found.failures.said)
    content = as_mapping(suite, found)
    json.dumps(content, allow_nan=False)
    assert "made" in build_page(suite, found)


def test_a_package_that_cannot_be_imported_is_left_out_where_nobody_named_its_claim(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = registry.claim_named

    def named(name: str) -> Any:
        if name == "lost":
            raise ConfigError("bakeoff claims: 'lost' cannot be imported; install its package")
        return real(name)

    monkeypatch.setattr(registry, "claim_named", named)
    monkeypatch.setattr(registry, "claim_names", lambda: (*registry.BUILT_IN, "lost"))
    done = cli("claims", "--list")
    assert done.code == 0 and done.out.splitlines() == list(registry.BUILT_IN)
    assert "lost is left out" in done.err
    done = cli("claims", "lost", "--list")
    assert done.code == 2 and "install its package" in done.err


def test_a_rate_that_diverged_is_one_that_is_too_high(data: Any, tmp_path: Path) -> None:
    """And not the end of the claim, as the search has it too."""
    rates = claims_named([RATES])
    [part] = rates[RATES].design(NOMINAL, SIZES["quick"])
    study = Study()
    run_suite(suite_of((RATES,), tmp_path, data, study))
    [(_, methods)] = study.ran
    by_entrant = dict(zip(part.entrants, methods, strict=True))
    losses = (2.4, 2.2, 2.05, 2.0, 2.02, 2.1, 2.6)
    study.losses = {
        by_entrant[f"{name}_{i}"]: loss
        for name in ("lora", "full")
        for i, loss in enumerate(losses)
    }
    worst = by_entrant["full_6"]
    study.states = {worst: RunState.DIVERGED}
    suite = suite_of((RATES,), tmp_path / "a", data, study)
    found = run_suite(suite)
    finding = found.findings[RATES]
    assert finding.verdict is Verdict.SUPPORTED and finding.repeats == 5
    kept = as_mapping(suite, found)["claims"][RATES]
    assert kept["conditions"]["rates:full_6"] == [None] * 5
    assert "learning rate" in build_page(suite, found)
    # Where it diverged with some seeds alone, these count as well.
    [place] = (tmp_path / "a" / "studies").glob("*-rates-*")
    results = read_results(place)
    record = results.methods[by_entrant["full_5"]]
    run = record.candidates[0]
    candidates = {
        **results.candidates,
        run: replace(results.candidates[run], state=RunState.DIVERGED),
    }
    methods_now = {**results.methods, by_entrant["full_5"]: replace(record, seeds=record.seeds[1:])}
    save(place, replace(results, candidates=candidates, methods=methods_now))
    found = run_suite(replace(suite, run_study=lambda *_: None))
    assert found.findings[RATES].repeats == 5
    assert np.isinf(found.evidence[RATES].values["rates:full_5"]).sum() == 1
    # Of another claim, which has no grid of its own, nothing can be said then.
    study.states = {"full": RunState.DIVERGED}
    found = run_suite(suite_of((FULL_RANK,), tmp_path / "b", data, study))
    assert found.findings[FULL_RANK].verdict is Verdict.UNTESTABLE


def test_what_a_claim_measures_besides_leaves_the_rows_of_its_losses(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that measures and reads losses has the rows' error, too."""
    monkeypatch.setattr(
        "bakeoff.claims.weights.update_ranks", lambda context: {"factor": np.full(5, 2.0)}
    )
    claim = made(
        design=lambda facts, size: (Part(entrants={"lora": lora(NOMINAL, 8)}),),
        statistic=lambda values: {"x": values["lora"] * values["factor"]},
        measure="bakeoff.claims.weights:update_ranks",
    )
    study = Study()
    suite: Any = suite_of((), tmp_path, data, study)
    suite = replace(suite, claims={"made": claim})
    found = run_suite(suite)
    assert len(found.evidence["made"].without) == 20
    assert found.findings["made"].effect is not None
