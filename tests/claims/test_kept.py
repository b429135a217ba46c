"""What a claim was decided by outlives its studies; training is planted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from bakeoff.api.claims import run_claims
from bakeoff.claims import registry
from bakeoff.claims.contract import SIZES, Noise, Part, Planted
from bakeoff.claims.kept import _key_of
from bakeoff.claims.listing import NOMINAL
from bakeoff.claims.planning import plan_studies
from bakeoff.claims.registry import BUILT_IN, claims_named
from bakeoff.claims.rules import Verdict
from bakeoff.claims.running import run_suite
from bakeoff.claims.suite import EVIDENCE, STUDIES, Found, Suite
from bakeoff.claims.writing import as_mapping
from bakeoff.execution.stopping import BudgetSpent
from bakeoff.runs.arrays import arrays_bytes, read_arrays
from bakeoff.types import RunState
from tests.claims.planted import Study, suite_of
from tests.claims.test_rules import made

INIT, FULL_RANK, LOW_RANK = "init_matters", "full_rank_lora_is_full", "update_is_low_rank"
RATES, SOFT = "rate_of_lora_is_ten_times_full", "soft_beats_discrete"


def entry(suite: Suite, found: Found, name: str) -> dict[str, Any]:
    """Of ``claims.json``, as a reader of the file has it."""
    content: dict[str, Any] = json.loads(json.dumps(as_mapping(suite, found)))["claims"][name]
    return content


def kept_file(place: Path, name: str = FULL_RANK) -> Path:
    return place / EVIDENCE / f"{name}.json"


@pytest.fixture
def decided(data: Any, tmp_path: Path) -> Suite:
    """A folder with one decided claim, for a call that names another."""
    study = Study(losses={"full": 1.5}, seconds={"full": 30.0})
    run_suite(suite_of((FULL_RANK,), tmp_path, data, study))
    draws = np.random.default_rng(0)
    for file in sorted(tmp_path.glob(f"{STUDIES}/*/candidates/*/scores/test.npz")):
        sums = read_arrays(file)
        assert sums is not None
        sums["nll"][:, 0] += draws.normal(0.0, 3.0, len(sums["nll"]))
        file.write_bytes(arrays_bytes(sums))
    other = suite_of((FULL_RANK, INIT), tmp_path, data, study, asked=[INIT])
    run_suite(other)
    return other


def test_a_claim_is_decided_to_the_bit_when_its_studies_are_gone(
    decided: Suite, tmp_path: Path
) -> None:
    shutil.copytree(tmp_path, tmp_path / "whole")
    whole = replace(decided, out=tmp_path / "whole")
    expected = entry(whole, run_suite(whole), FULL_RANK)
    assert expected["verdict"] == "contradicted" and expected["low"] < expected["high"]
    shutil.rmtree(tmp_path / STUDIES)
    for _ in range(2):  # and the note does not come twice
        found = entry(decided, run_suite(decided), FULL_RANK)
        *notes, note = found.pop("notes")
        assert notes == expected["notes"]
        assert note.startswith(
            "It is decided by what an earlier call kept of it "
            "(evidence/full_rank_lora_is_full.json). What is there now would not decide it: "
        )
        assert note.endswith(": there are no results yet.")
        seconds = found.pop("seconds")
        assert found == {k: v for k, v in expected.items() if k not in ("notes", "seconds")}
        assert seconds == expected["seconds"]


def test_what_lacks_one_file_is_decided_by_what_was_kept(decided: Suite, tmp_path: Path) -> None:
    [score] = tmp_path.glob(f"{STUDIES}/*/candidates/full-s1/scores/test.npz")
    score.unlink()
    found = run_suite(decided)
    assert found.findings[FULL_RANK].verdict is Verdict.CONTRADICTED
    [*_, note] = found.evidence[FULL_RANK].notes
    assert "full-s1" in note


def test_a_call_that_names_it_trains_it_again(decided: Suite, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / STUDIES)
    study = Study(losses={"full": 2.0})
    again = replace(decided, asked=[FULL_RANK], run_study=study)
    found = run_suite(again)
    assert [sorted(methods) for _, methods in study.ran] == [["full", "lora_128"]]
    assert found.findings[FULL_RANK].effect == 0.0 and not found.evidence[FULL_RANK].notes
    kept = json.loads(kept_file(tmp_path).read_text())
    assert kept["values"]["full"][0] == pytest.approx(2.0)


def torn(text: str) -> str:
    return text[: len(text) // 2]


def of_other_rows(text: str) -> str:
    content = json.loads(text)
    return json.dumps({**content, "key": {**content["key"], "design": "0" * 64}})


def without_an_entrant(text: str) -> str:
    content = json.loads(text)
    del content["values"]["full"]
    return json.dumps(content)


def no_numbers(text: str) -> str:
    content = json.loads(text)
    return json.dumps({**content, "values": ["full"]})


@pytest.mark.parametrize("spoilt", [torn, of_other_rows, without_an_entrant, no_numbers])
def test_what_cannot_be_read_or_is_about_something_else_decides_nothing(
    spoilt: Any, decided: Suite, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / STUDIES)
    file = kept_file(tmp_path)
    file.write_text(spoilt(file.read_text()))
    found = run_suite(decided)
    assert found.findings[FULL_RANK].verdict is Verdict.UNDECIDED
    assert "a call that names it goes on" in found.findings[FULL_RANK].why
    assert not found.failures.said
    assert found.findings[INIT].verdict is Verdict.CONTRADICTED


@pytest.mark.parametrize("other", ["base", "size", "rows"])
def test_another_design_is_not_decided_by_it(other: str, decided: Suite, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / STUDIES)
    suite: Suite = {
        "base": replace(decided, main=replace(decided.main, fingerprint="of other weights")),
        "size": replace(decided, size=replace(SIZES["quick"], train_rows=127)),
        "rows": replace(decided, data=replace(decided.data, sha256="1" * 64)),
    }[other]
    assert run_suite(suite).findings[FULL_RANK].verdict is Verdict.UNDECIDED


def test_losses_that_diverged_are_kept_as_such(data: Any, tmp_path: Path) -> None:
    """A rate that is too high has an infinite loss, which JSON has no number for."""
    study = Study()
    one = suite_of((RATES, INIT), tmp_path, data, study)
    planned = next(
        study
        for study in plan_studies(one.claims, one.facts, one.main, one.size, data)
        if RATES in study.claims
    )
    study.states = {planned.methods[(RATES, "rates")]["full_4"]: RunState.DIVERGED}
    expected = run_suite(one)
    assert np.isinf(expected.evidence[RATES].values["rates:full_4"]).all()
    shutil.rmtree(tmp_path / STUDIES)
    found = run_suite(replace(one, asked=[INIT]))
    assert found.findings[RATES] == expected.findings[RATES]
    for name, values in expected.evidence[RATES].values.items():
        np.testing.assert_array_equal(found.evidence[RATES].values[name], values)


def test_what_was_measured_besides_is_kept_with_it(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bakeoff.claims.weights.update_ranks",
        lambda context: {"update_rank": np.linspace(0.4, 0.5, 5)},
    )
    one = suite_of((LOW_RANK, INIT), tmp_path, data, Study())
    expected = run_suite(one)
    assert expected.findings[LOW_RANK].verdict is Verdict.CONTRADICTED
    for folder in (STUDIES, "measured"):
        shutil.rmtree(tmp_path / folder)
    found = run_suite(replace(one, asked=[INIT]))
    assert found.findings[LOW_RANK] == expected.findings[LOW_RANK]
    assert found.evidence[LOW_RANK].measured_on == expected.evidence[LOW_RANK].measured_on != ""


def test_evidence_that_cannot_be_written_costs_no_verdict(data: Any, tmp_path: Path) -> None:
    (tmp_path / EVIDENCE).write_text("a file where the folder would be")
    found = run_suite(suite_of((FULL_RANK, INIT), tmp_path, data, Study(losses={"full": 1.5})))
    assert found.findings[FULL_RANK].verdict is Verdict.CONTRADICTED
    said = [one.split(":")[0] for one in found.failures.said]
    assert said == [f"{name}, what is kept of it" for name in (FULL_RANK, INIT)]


def test_a_folder_without_its_studies_keeps_its_claims(planted: Study, tmp_path: Path) -> None:
    """Also their names, of which the note is among the studies."""
    first = run_claims([FULL_RANK], quick=True, out=tmp_path).claims[FULL_RANK]
    shutil.rmtree(tmp_path / STUDIES)
    both = run_claims([INIT], quick=True, out=tmp_path).claims
    assert list(both) == [FULL_RANK, INIT]
    assert both[FULL_RANK]["effect"] == first["effect"]
    assert both[FULL_RANK]["level"] == both[INIT]["level"] > first["level"]
    page = (tmp_path / "claims.html").read_text()
    assert "evidence/full_rank_lora_is_full.json" in page.replace("<wbr>", "")


def test_seconds_are_those_that_it_took_where_one_study_is_gone(
    decided: Suite, tmp_path: Path
) -> None:
    """The note of what studies took is still there then, but not whose passes they were."""
    kept = json.loads(kept_file(tmp_path).read_text())["seconds"]
    [study] = tmp_path.glob(f"{STUDIES}/tiny-main-*")
    seconds = tmp_path / STUDIES / "seconds.json"
    seconds.write_text(json.dumps({**json.loads(seconds.read_text()), study.name: 1000.0}))
    shutil.rmtree(study)
    assert run_suite(decided).seconds[FULL_RANK] == kept < 1000.0


def test_a_call_without_names_trains_nothing_again_that_was_decided(
    decided: Suite, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / STUDIES)
    study = Study(losses={"full": 2.0})
    of_all = replace(decided, asked=[FULL_RANK, INIT], is_anew=False, run_study=study)
    kept_file(tmp_path, INIT).unlink()
    found = run_suite(of_all)
    assert [name.split("-")[1] for name, _ in study.ran] == ["labels"]
    assert found.findings[FULL_RANK].verdict is Verdict.CONTRADICTED
    # What was decided by too few seeds has more to come.
    content = json.loads(kept_file(tmp_path).read_text())
    few = {name: value[:3] if isinstance(value, list) else value for name, value in
           content["values"].items()}  # fmt: skip
    kept_file(tmp_path).write_text(json.dumps({**content, "values": few, "without": []}))
    run_suite(of_all)
    assert [name.split("-")[1] for name, _ in study.ran] == ["labels", "main", "labels"]


def test_a_training_that_is_cut_takes_nothing_away(decided: Suite, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / STUDIES)
    study = Study(losses={"full": 1.9})

    def cut(mapping: Mapping[str, Any], place: Path, seconds: float | None) -> None:
        study({**mapping, "protocol": {**mapping["protocol"], "seeds": 2}}, place, seconds)
        raise BudgetSpent

    again = replace(decided, asked=[FULL_RANK], run_study=cut)
    found = run_suite(again)
    assert found.findings[FULL_RANK].effect == pytest.approx(0.5, abs=0.1)
    assert found.evidence[FULL_RANK].notes[-1] == (
        "It is decided by what an earlier call kept of it (evidence/full_rank_lora_is_full.json). "
        "What is there now is less."
    )
    # Nor where another claim is named then.
    found = run_suite(decided)
    assert found.findings[FULL_RANK].repeats == 5
    found = run_suite(replace(again, run_study=study))
    assert found.findings[FULL_RANK].effect == pytest.approx(0.1)


def test_curves_of_studies_that_are_gone_are_kept(data: Any, tmp_path: Path) -> None:
    study = Study(losses={"zero_shot": 3.0, "few_shot": 2.9})
    both = suite_of((SOFT, INIT), tmp_path, data, study)
    expected = run_suite(both)
    for place in tmp_path.glob(f"{STUDIES}/tiny-rows-*"):
        shutil.rmtree(place)
    for _ in range(2):
        found = run_suite(replace(both, asked=[INIT]))
        assert found.curves[SOFT] == expected.curves[SOFT] != []


def test_what_came_out_untestable_brings_no_older_verdict_back(
    decided: Suite, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / STUDIES)
    diverged = Study(states={"full": RunState.DIVERGED})
    found = run_suite(replace(decided, asked=[FULL_RANK], run_study=diverged))
    assert found.findings[FULL_RANK].verdict is Verdict.UNTESTABLE
    shutil.rmtree(tmp_path / STUDIES)
    assert run_suite(decided).findings[FULL_RANK].verdict is Verdict.UNDECIDED


def test_scores_that_cannot_be_read_are_no_reason_for_older_ones(
    decided: Suite, tmp_path: Path
) -> None:
    for score in tmp_path.glob(f"{STUDIES}/*/candidates/full-s*/scores/test.npz"):
        score.write_bytes(b"torn")
    found = run_suite(decided)
    assert found.findings[FULL_RANK].verdict is Verdict.UNDECIDED and found.failures.said


def test_what_is_to_be_measured_on_another_device_is_not_what_was_kept(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = {"update_rank": np.linspace(0.4, 0.5, 5)}
    monkeypatch.setattr("bakeoff.claims.weights.update_ranks", lambda context: ranks)
    one = suite_of((LOW_RANK, INIT), tmp_path, data, Study())
    run_suite(one)

    def interrupted(context: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("bakeoff.claims.weights.update_ranks", interrupted)
    found = run_suite(replace(one, device="cuda", asked=[LOW_RANK]))
    assert found.findings[LOW_RANK].verdict is Verdict.UNDECIDED
    found = run_suite(replace(one, device="cuda", asked=[INIT]))
    assert found.findings[LOW_RANK].verdict is Verdict.CONTRADICTED


@pytest.mark.parametrize("size", ["quick", "full"])
def test_what_evidence_is_about_hangs_on_no_other_claim(size: Any, data: Any) -> None:
    facts = [
        replace(NOMINAL, reference=name, parameters=n, fingerprint=name)
        for n, name in enumerate(("tiny", "another", "a third"), start=1)
    ]

    def keys(names: Sequence[str]) -> dict[str, Any]:
        suite = suite_of(tuple(names), Path("nowhere"), data, Study())
        suite = replace(suite, facts=facts, main=facts[0], size=SIZES[size])
        studies = plan_studies(suite.claims, facts, facts[0], suite.size, data)
        own = {name: [one for one in studies if name in one.claims] for name in names}
        return {name: _key_of(suite, name, own[name]) for name in names}

    whole = keys(BUILT_IN)
    assert keys(sorted(BUILT_IN)) == whole
    assert all(keys([name])[name] == whole[name] for name in BUILT_IN)
    assert len({one["design"] for one in whole.values()}) > len(BUILT_IN) / 2


def test_a_claim_of_a_package_s_own_kind_is_kept(data: Any, tmp_path: Path) -> None:
    entrants = MappingProxyType({"full": MappingProxyType({"kind": "full"})})
    mine = made(
        design=lambda facts, size: (Part(entrants=entrants),),
        statistic=lambda values: {"x": values["full"]},
        planted=Planted(
            supported={"full": 0.2}, contradicted={"full": 0.0}, noise=Noise(seed=0.02)
        ),
    )
    suite = suite_of((), tmp_path, data, Study(losses={"full": 1.5}))
    found = run_suite(replace(suite, claims={"made": mine}))
    assert not found.failures.said and kept_file(tmp_path, "made").exists()
    shutil.rmtree(tmp_path / STUDIES)
    later = replace(suite, claims={"made": mine, **claims_named([INIT])}, asked=[INIT])
    assert run_suite(later).findings["made"].effect == found.findings["made"].effect


def test_the_command_without_names_trains_nothing_again(
    planted: Study, cli: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BUILT_IN", (FULL_RANK, INIT))
    assert cli("claims", FULL_RANK, "--out", "out").code == 0
    shutil.rmtree(place / "out" / STUDIES)
    planted.ran.clear()
    assert cli("claims", "--out", "out").code == 0
    assert [name.split("-")[1] for name, _ in planted.ran] == ["labels"]
    assert cli("claims", FULL_RANK, "--out", "out").code == 0
    assert [name.split("-")[1] for name, _ in planted.ran] == ["labels", "main"]
