"""What a claim was decided by outlives its studies; training is planted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.api.claims import run_claims
from bakeoff.claims.contract import SIZES
from bakeoff.claims.planning import plan_studies
from bakeoff.claims.rules import Verdict
from bakeoff.claims.running import run_suite
from bakeoff.claims.suite import EVIDENCE, STUDIES, Found, Suite
from bakeoff.claims.writing import as_mapping
from bakeoff.runs.arrays import arrays_bytes, read_arrays
from bakeoff.types import RunState
from tests.claims.planted import Study, suite_of

INIT, FULL_RANK, LOW_RANK = "init_matters", "full_rank_lora_is_full", "update_is_low_rank"
RATES = "rate_of_lora_is_ten_times_full"


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
            "It is decided by what an earlier call kept of its studies "
            "(evidence/full_rank_lora_is_full.json). What they hold now would not decide it: "
        )
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
    assert [one.split(":")[0] for one in found.failures.said] == [FULL_RANK, INIT]


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
