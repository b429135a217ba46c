"""Runs of claims that end early, fail, or come back with other claims; training is planted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bakeoff.api import claims as api
from bakeoff.api.claim_data import made_data
from bakeoff.api.claims import run_claims
from bakeoff.claims import measured, running, suite
from bakeoff.claims.bases import facts_of
from bakeoff.claims.contract import SIZES
from bakeoff.claims.planning import method_name, plan_studies
from bakeoff.claims.registry import BUILT_IN, claims_named
from bakeoff.claims.rules import Verdict
from bakeoff.claims.running import run_suite
from bakeoff.errors import BaseModelError, ConfigError, StoreError
from bakeoff.methods.entries import check_name
from bakeoff.types import RunState
from tests.claims.planted import WHOLE, Study, suite_of

FEW, FULL_RANK, FORGETS = "few_tokens_suffice", "full_rank_lora_is_full", "tuning_forgets"
LOW_RANK, INIT = "update_is_low_rank", "init_matters"
SHORT = ["soft_5", "soft_20", "soft_100"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return made_data(tmp_path_factory.mktemp("claims"), SIZES["quick"])


def test_a_study_and_its_methods_are_called_alike_whichever_claims_there_are(data: Any) -> None:
    def planned(*names: str) -> dict[str, dict[str, Any]]:
        studies = plan_studies(claims_named(names), [WHOLE], WHOLE, SIZES["full"], data)
        return {one.name: dict(one.mapping["methods"]) for one in studies}

    whole = planned(*BUILT_IN[1:])
    for order in (BUILT_IN[1:], BUILT_IN[:0:-1]):
        for name in order:
            for study, methods in planned(name).items():
                assert methods.items() <= whole[study].items(), name
    assert planned(*BUILT_IN[:0:-1]) == whole
    # One content, one name.
    for methods in whole.values():
        contents = [json.dumps(one, sort_keys=True) for one in methods.values()]
        assert len(set(contents)) == len(contents)
    other = {"kind": "soft_prompt", "prompt_length": 20, "init": "a text"}
    assert method_name(other, WHOLE) != method_name({**other, "init": "a-text"}, WHOLE)


@pytest.mark.parametrize(
    ("base", "start"),
    [
        ("tiny", "tiny-main-"),
        ("someone/Base_1.5-B", "Base_1.5-B-main-"),
        ("scratch:tiny-llama", "scratch-tiny-llama-main-"),
        ("bases/my base", "my-base-main-"),
        ("bases/größe", "gr--e-main-"),
        ("bases/_hidden", "hidden-main-"),
        (".", "base-main-"),
        ("..", "base-main-"),
        ("größen/ß", "base-main-"),
        ("bases/" + "long" * 20, "longlong"),
    ],
)
def test_a_study_s_name_is_one_whatever_its_base_is_called(
    base: str, start: str, data: Any
) -> None:
    shapes = [replace(WHOLE, reference=one) for one in (base, f"other/{base}")]
    names = [
        study.name
        for facts in shapes
        for study in plan_studies(claims_named(BUILT_IN[1:]), shapes, facts, SIZES["full"], data)
    ]
    assert len(set(names)) == len(names)
    for name in names:
        check_name("name", name)
    assert any(name.startswith(start) for name in names)
    # A folder that is there goes on.
    [study] = plan_studies(claims_named([INIT]), [WHOLE], WHOLE, SIZES["quick"], data)
    assert study.name == "tiny-labels-768c2c78"


def test_only_the_methods_that_are_read_are_scored_on_a_further_set(data: Any) -> None:
    names = (FEW, FORGETS, "soft_beats_discrete")
    studies = plan_studies(claims_named(names), [WHOLE], WHOLE, SIZES["quick"], data)
    main, *few = studies
    assert main.mapping["also_test"]["corpus"]["methods"] == ["full", "lora_8"]
    # The soft prompt of all rows is that of the others, and written prompts ask the base alone.
    assert main.methods["soft_beats_discrete", "prompts"] == {"soft": "soft_20"}
    assert main.mapping["also_test"]["prompt_8"]["methods"] == []
    assert "few_shot" in str(main.mapping["baselines"])
    assert [one.mapping["task"]["examples"]["train"] for one in few] == [16, 64]
    [narrow] = {str(main.narrowed([FEW]).mapping["also_test"])}
    assert narrow == "{}"


def test_few_rows_have_as_many_updates_and_nothing_ends_them_early(data: Any) -> None:
    chosen = claims_named(("soft_beats_discrete",))
    for one in plan_studies(chosen, [WHOLE], WHOLE, SIZES["full"], data):
        rows, protocol = one.mapping["task"]["examples"]["train"], one.mapping["protocol"]
        updates = rows * protocol["epochs"] // protocol["micro_batch_size"]
        assert updates == 512, one.name
        assert (protocol["patience"] is None) == (rows < 2048)


def test_what_a_budget_left_out_of_a_study_is_undecided_and_the_rest_is_kept(
    data: Any, tmp_path: Path
) -> None:
    study = Study(leaves_out=["baselines/zero_shot/scores/also-corpus.npz"])
    found = run_suite(suite_of((FULL_RANK, FORGETS), tmp_path, data, study))
    assert found.findings[FULL_RANK].verdict is Verdict.SUPPORTED
    finding = found.findings[FORGETS]
    assert finding.verdict is Verdict.UNDECIDED
    assert "zero_shot has no scores on corpus" in finding.why
    assert found.evidence[FORGETS].untestable is None
    assert not found.failures.said
    study.leaves_out = ["candidates/lora_8-s2/scores/also-corpus.npz"]
    found = run_suite(suite_of((FULL_RANK, FORGETS), tmp_path / "other", data, study))
    assert "lora_8-s2 has no scores on corpus" in found.findings[FORGETS].why
    # Another claim has these runs too, and reads nothing of them on that set.
    study.leaves_out = ["candidates/full-s2/scores/also-corpus.npz"]
    found = run_suite(suite_of((FULL_RANK, FORGETS), tmp_path / "third", data, study))
    assert found.findings[FULL_RANK].verdict is Verdict.SUPPORTED
    assert "full-s2 has no scores on corpus" in found.findings[FORGETS].why
    study.leaves_out = []
    found = run_suite(suite_of((FULL_RANK, FORGETS), tmp_path, data, study))
    assert found.evidence[FORGETS].unmeasured is None
    assert found.findings[FORGETS].effect is not None


def test_a_claim_that_cannot_be_computed_leaves_the_others(data: Any, tmp_path: Path) -> None:
    def broken(values: Any) -> dict[str, Any]:
        raise KeyError("forget:full@corpus")

    both = suite_of((FULL_RANK, FEW), tmp_path, data, Study())
    claims = {**both.claims, FEW: replace(both.claims[FEW], statistic=broken)}
    found = run_suite(replace(both, claims=claims))
    assert found.findings[FULL_RANK].verdict is Verdict.SUPPORTED
    assert found.findings[FEW].verdict is Verdict.UNDECIDED
    assert "KeyError" in found.findings[FEW].why
    assert FEW in found.failures.claims and "forget:full@corpus" in found.failures.traces[0]


def test_an_error_is_no_verdict_and_what_is_on_disk_counts(data: Any, tmp_path: Path) -> None:
    study = Study()
    run_suite(suite_of((FULL_RANK,), tmp_path, data, study))
    study.raises = lambda name: StoreError("locked by another process")
    found = run_suite(suite_of((FULL_RANK, FEW), tmp_path, data, study))
    assert found.findings[FULL_RANK].verdict is Verdict.SUPPORTED
    assert found.findings[FEW].verdict is Verdict.UNDECIDED
    assert "locked by another process" in found.findings[FEW].why
    assert any("locked" in one for one in found.failures.said)
    study.raises = lambda name: None
    found = run_suite(suite_of((FULL_RANK, FEW), tmp_path, data, study))
    assert not found.failures.said


def test_a_failure_that_a_later_study_of_the_call_made_good_is_forgotten(
    data: Any, tmp_path: Path
) -> None:
    calls: list[str] = []

    def once(name: str) -> Exception | None:
        calls.append(name)
        return StoreError("the disk was full") if len(calls) == 1 else None

    study = Study(raises=once)
    found = run_suite(suite_of((FULL_RANK, FEW), tmp_path, data, study, deadline=float("inf")))
    assert len(calls) == 2
    assert not found.failures.said
    assert found.findings[FULL_RANK].verdict is Verdict.SUPPORTED


def test_what_diverged_with_every_seed_is_untestable(data: Any, tmp_path: Path) -> None:
    study = Study(states={"full": RunState.DIVERGED, "soft_5": RunState.FAILED})
    found = run_suite(suite_of((FULL_RANK, FEW), tmp_path, data, study))
    assert found.findings[FULL_RANK].verdict is Verdict.UNTESTABLE
    assert found.findings[FEW].verdict is Verdict.UNDECIDED
    assert "soft_5 was not tested (said so)" in found.findings[FEW].why
    # A budget that has not ended is no reason.
    late = run_suite(suite_of((FEW,), tmp_path / "late", data, study, deadline=float("inf")))
    assert "soft_5 was not tested (said so); the same" in late.findings[FEW].why
    # A call with another claim leaves it so.
    found = run_suite(suite_of((FULL_RANK, FEW), tmp_path, data, study, asked=(FEW,)))
    assert found.findings[FULL_RANK].verdict is Verdict.UNTESTABLE


def test_seconds_are_of_all_calls_and_of_what_was_trained(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock: list[float] = [0.0]
    for module in (suite, running):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    study = Study(seconds={"full": 90.0, "lora_128": 10.0})

    def run_study(mapping: Any, place: Path, seconds: float | None) -> None:
        clock[0] += 30.0
        if len(study.ran) == 0:
            study.ran.append(("stopped", []))
            place.mkdir(parents=True)
            raise KeyboardInterrupt
        study(mapping, place, seconds)

    both: Any = replace(suite_of((FULL_RANK, LOW_RANK), tmp_path, data, study), run_study=run_study)
    found_ranks = measured.Measurement(values={"update_rank": np.full(5, 0.5)}, seconds=0.0)
    monkeypatch.setattr(measured, "_measured", lambda *_: found_ranks)
    assert run_suite(both).failures.stopped is not None
    found = run_suite(both)
    assert sum(found.seconds.values()) == pytest.approx(60.0)
    # Full tuning is of both claims, and took nine times what the LoRAs did. One LoRA is at rank 32.
    names = {method for _, methods in study.ran for method in methods}
    lora = 60.0 * sum(study.seconds.get(n, 1.0) for n in names if n != "full")
    whole = 90.0 + sum(study.seconds.get(n, 1.0) for n in names if n != "full")
    assert found.seconds[FULL_RANK] == pytest.approx(lora / whole + 30.0 * 90.0 / whole)
    # What was not trained yet takes no part of it.
    one = plan_studies(both.claims, [WHOLE], WHOLE, both.size, data)[0]
    assert one.share(FULL_RANK, {"lora_128": 5.0}) == 1.0
    assert one.share(LOW_RANK, {"lora_128": 5.0}) == 0.0


def test_a_call_with_another_claim_keeps_the_earlier_ones(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study()
    monkeypatch.setattr(api, "made_data", lambda *_: data)
    monkeypatch.setattr(api, "execute", lambda made, place, *_: study(made, place, None))
    monkeypatch.setattr(api, "Study", SimpleNamespace(from_mapping=lambda mapping: mapping))
    # So that rows of both claims are the same, and they share a study.
    monkeypatch.setattr(
        "bakeoff.claims.bases.facts_of", lambda name: replace(facts_of(name), learnt=None)
    )
    run_claims([FULL_RANK], quick=True, out=tmp_path)
    first = json.loads((tmp_path / "claims.json").read_text())["claims"][FULL_RANK]
    study.ran.clear()
    found = run_claims([FEW], quick=True, out=tmp_path)
    kept = json.loads((tmp_path / "claims.json").read_text())["claims"]
    assert list(found.claims) == [FULL_RANK, FEW]
    assert kept[FULL_RANK]["effect"] == first["effect"]
    # Both are of one family.
    assert kept[FULL_RANK]["level"] > first["level"]
    assert f'id="{FULL_RANK}"' in (tmp_path / "claims.html").read_text()
    # Nothing is left out of the study's results, and nothing of others is run.
    assert [set(methods) for _, methods in study.ran] == [{*SHORT, "full", "lora_128"}]
    study.ran.clear()
    found = run_claims([INIT], quick=True, out=tmp_path)
    assert [name.split("-")[1] for name, _ in study.ran] == ["labels"]
    assert list(found.claims) == [FULL_RANK, FEW, INIT]
    with pytest.raises(ConfigError, match="size 'quick' and 'full'"):
        run_claims([FEW], out=tmp_path)
    with pytest.raises(ConfigError, match=r"base 'tiny' and 'wire-0\.3m'"):
        run_claims([FEW], quick=True, base="wire-0.3m", out=tmp_path)
    # A version whose designs have other numbers is another design, too.
    monkeypatch.setattr(api, "SIZES", {"quick": replace(SIZES["quick"], seeds=7)})
    with pytest.raises(ConfigError, match=r"'seeds': 5.* and .*'seeds': 7"):
        run_claims([FEW], quick=True, out=tmp_path)


def test_what_an_earlier_call_did_not_reach_waits_for_its_name(data: Any, tmp_path: Path) -> None:
    study = Study()
    both = suite_of((FULL_RANK, FEW), tmp_path, data, study, asked=[FEW])
    found = run_suite(both)
    assert [methods for _, methods in study.ran] == [SHORT]
    assert "a call that names it goes on" in found.findings[FULL_RANK].why
    assert found.findings[FEW].verdict is Verdict.SUPPORTED


def test_what_is_measured_hangs_on_the_adapters_and_not_on_when_the_study_ended(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def ranks(context: Any) -> dict[str, Any]:
        measured.append(context.place.name)
        return {"update_rank": np.linspace(0.4, 0.5, 5)}

    monkeypatch.setattr("bakeoff.claims.weights.update_ranks", ranks)
    study = Study()
    run_suite(suite_of((LOW_RANK,), tmp_path, data, study))
    # Another claim's methods come to the study, whose results are written again.
    found = run_suite(suite_of((LOW_RANK, FULL_RANK), tmp_path, data, study))
    assert len(measured) == 1
    assert found.findings[LOW_RANK].verdict is Verdict.CONTRADICTED
    study.adapters = "1" * 64
    run_suite(suite_of((LOW_RANK, FULL_RANK), tmp_path, data, study))
    assert len(measured) == 2


def test_nothing_is_measured_once_the_budget_ended_and_what_comes_first_is_before_it(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, measured = [0.0], []
    for module in (suite, running):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    study = Study()

    def run_study(mapping: Any, place: Path, seconds: float | None) -> None:
        clock[0] += 60.0
        study(mapping, place, seconds)

    def ranks(context: Any) -> dict[str, Any]:
        measured.append(context.place)
        return {"update_rank": np.linspace(0.4, 0.5, 5)}

    monkeypatch.setattr("bakeoff.claims.weights.update_ranks", ranks)
    both: Any = suite_of((LOW_RANK, FEW), tmp_path / "a", data, study, deadline=100.0)
    found = run_suite(replace(both, run_study=run_study))
    assert len(measured) == 1, "before the next claim's study"
    assert found.findings[LOW_RANK].verdict is Verdict.CONTRADICTED
    clock[0] = 0.0
    late = replace(both, run_study=run_study, out=tmp_path / "b", deadline=30.0)
    found = run_suite(late)
    assert len(measured) == 1
    assert found.findings[LOW_RANK].verdict is Verdict.UNDECIDED
    assert "budget ended" in found.findings[LOW_RANK].why


def test_a_base_that_cannot_be_measured_so_is_untestable_and_an_error_is_not(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(error: Exception) -> Any:
        def ranks(context: Any) -> Any:
            raise error

        return ranks

    one = suite_of((LOW_RANK, FULL_RANK), tmp_path, data, Study())
    monkeypatch.setattr("bakeoff.claims.weights.update_ranks", fails(BaseModelError("no MLP")))
    assert run_suite(one).findings[LOW_RANK].verdict is Verdict.UNTESTABLE
    monkeypatch.setattr("bakeoff.claims.weights.update_ranks", fails(RuntimeError("no memory")))
    found = run_suite(one)
    assert found.findings[LOW_RANK].verdict is Verdict.UNDECIDED
    assert "RuntimeError: no memory" in found.findings[LOW_RANK].why
    assert found.failures.traces and found.findings[FULL_RANK].verdict is Verdict.SUPPORTED
