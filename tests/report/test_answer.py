"""What the first screen warns of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bakeoff.report.answer import build_answer
from bakeoff.report.page import evidence
from bakeoff.report.table import build_rows, shown_columns
from bakeoff.runs.records import Comparable, DecisionWarning, Estimate, Outputs, Results
from bakeoff.types import RunState
from tests.golden_folders import decided, golden, with_methods, with_verdicts


def caveats(results: Results) -> list[str]:
    return build_answer(results, build_rows(results)).caveats


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("better", ["lead-3, which trains nothing, is better in ROUGE-1: 45.0 against 35.0."]),
        (
            "equivalent",
            ["lead-3, which trains nothing, is equivalent in ROUGE-1: 45.0 against 35.0."],
        ),
        (
            "undecided",
            [
                "lead-3, which trains nothing, cannot be told apart from full in ROUGE-1: "
                "45.0 against 35.0."
            ],
        ),
        ("worse", []),
    ],
)
def test_a_baseline_that_is_not_beaten_is_named(verdict: Comparable, expected: list[str]) -> None:
    results = golden("four")
    ours = {**results.methods["full"].test, "rouge1": Estimate(mean=0.35, low=0.31, high=0.38)}
    lead = replace(results.baselines["lead"], test={"rouge1": Estimate(mean=0.45)})
    changed = replace(
        with_methods(results, full={"test": ours}),
        baselines={**results.baselines, "lead": lead},
    )
    changed = with_verdicts(changed, {("lead", "full"): verdict}, "rouge1")
    assert [text for text in caveats(changed) if "which trains nothing" in text] == expected


def test_a_baseline_that_is_not_beaten_by_the_deciding_metric_is_named_too() -> None:
    results = with_verdicts(golden("four"), {("full", "zero_shot"): "undecided"})
    found = [text for text in caveats(results) if "which trains nothing" in text]
    assert found[0].startswith(
        "zero-shot, which trains nothing, cannot be told apart from full in NLL: 5.554 against "
    )


def test_what_the_referee_warns_of_is_said_of_the_metrics_that_are_shown() -> None:
    results = golden("four")
    assert results.decision is not None
    warnings = (
        DecisionWarning(set="test", metric="nll", text="a few rows make most of it"),
        DecisionWarning(set="test", metric="rouge2", text="not shown"),
        DecisionWarning(set="other", metric="nll", text="not this set"),
    )
    found = caveats(replace(results, decision=replace(results.decision, warnings=warnings)))
    assert "Test NLL: a few rows make most of it." in found
    assert not any("not shown" in text or "not this set" in text for text in found)
    assert caveats(replace(results, decision=None))


def test_what_a_budget_cut_is_said_on_the_first_screen() -> None:
    results = golden("four")
    said = "for the budget of 2.0 min the study was cut: epochs 5 to 4"
    whole = f"{said} (in all at most 55.4 s: load 1.0 s)"
    shown = "For the budget of 2.0 min the study was cut: epochs 5 to 4."
    assert shown in caveats(replace(results, notes=(*results.notes, whole)))
    held = "the budget of 2.0 min holds the whole study (in all at most 55.4 s: load 1.0 s)"
    assert not any("budget" in text for text in caveats(replace(results, notes=(held,))))


def test_a_study_that_was_cut_off_names_what_is_missing() -> None:
    results = golden("four")
    full, lora = results.methods["full"], results.methods["lora"]
    changed = with_methods(
        replace(results, status="partial"),
        full={"test": {}},
        lora={"cost": replace(lora.cost, epoch_seconds=None)},
    )
    assert full.test and lora.test
    [said] = [text for text in caveats(changed) if text.startswith("The study was cut off")]
    assert said.endswith(" Not tested: full. Costs not measured: lora.")


def test_a_method_that_diverged_is_said_with_its_reason() -> None:
    wild = golden("partial").methods["wild"]
    assert wild.state is RunState.DIVERGED
    assert f"wild diverged: {wild.reason}." in caveats(golden("partial"))


def test_one_seed_says_nothing_of_another() -> None:
    results = golden("four")
    assert not any(text.startswith("One seed of") for text in caveats(results))
    single = with_methods(results, lora={"seeds": (0,)})
    assert any(text.startswith("One seed of lora: the intervals") for text in caveats(single))
    every = with_methods(results, **{name: {"seeds": (0,)} for name in results.methods})
    assert any(text.startswith("One seed of each method:") for text in caveats(every))


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        ({}, ""),
        ({("full", "lora"): "undecided"}, "the one with lora reads undecided."),
        (
            {("lora", "full"): "equivalent", ("full", "zero_shot"): "undecided"},
            "the one with zero-shot reads undecided and with lora reads equivalent.",
        ),
    ],
)
def test_a_best_one_whose_pair_says_less_is_explained(
    verdicts: dict[tuple[str, str], Comparable], sentence: str
) -> None:
    results = decided(with_verdicts(golden("four"), verdicts))
    assert (results.recommendation.verdict, results.recommendation.method) == ("best", "full")
    sure = build_answer(results, build_rows(results)).sure
    assert "Verdicts hold at the 95\u00a0% level for all 10 pairs together" in sure
    assert "surely differ by less than " in sure and "a tenth of what the best method gains" in sure
    assert sure.endswith(sentence or "on validation).")


def test_short_training_is_said_before_anything_else_of_the_methods() -> None:
    results = golden("four")
    note = "training has 12 updates, fewer than 300, so methods may not have come to their ends"
    found = caveats(replace(results, notes=("something else", note)))
    assert found[0] == f"T{note[1:]}."
    assert not any("updates" in text for text in caveats(replace(results, notes=())))


def test_an_older_run_claims_nothing_of_the_new_rules() -> None:
    results = golden("schema1")
    answer = build_answer(results, build_rows(results))
    assert answer.method == "lora" and answer.sure == ""
    assert answer.why == results.recommendation.why


def test_a_search_that_ends_at_its_grids_edge_is_a_caveat() -> None:
    results = golden("searched")
    search = results.methods["lora"].search
    assert search is not None
    edge = with_methods(results, lora={"search": replace(search, best_at_edge=True)})
    assert any("is at the edge of what was tried" in text for text in caveats(edge))
    assert not any("one learning rate only" in text for text in caveats(edge))
    curve = tuple(replace(point, state=RunState.FAILED) for point in search.curve[:1])
    failed = replace(search, curve=curve + search.curve[1:], best_at_edge=False)
    found = caveats(with_methods(results, lora={"search": failed}))
    assert any(text.startswith(f"1 of lora's {len(search.curve)} candidates") for text in found)


def test_test_rows_that_stand_in_the_training_data_are_a_caveat() -> None:
    results = golden("four")
    data = replace(results.data, overlap={**results.data.overlap, "train_test": 12})
    found = caveats(replace(results, data=data))
    assert "12 test rows are also in the training data." in found
    near = replace(results.data, overlap={**results.data.overlap, "train_test_near": 3})
    found = caveats(replace(results, data=near))
    assert "3 test rows are nearly the same as training rows." in found


def test_what_was_found_in_the_data_is_a_caveat() -> None:
    results = golden("four")
    caution = "Test and validation are the same set: all 12 rows of test are in validation."
    data = replace(results.data, cautions=(caution,))
    assert caution in caveats(replace(results, data=data))
    assert caution not in caveats(results)


def test_a_method_that_writes_nothing_is_flagged_and_counts_stand_in_the_table() -> None:
    results = golden("four")
    outputs = {"examples": 48, "unfinished": 0, "invalid": 0}
    quiet = replace(
        results,
        methods={
            name: replace(record, outputs=Outputs(**outputs, empty=empty))
            for (name, record), empty in zip(results.methods.items(), (47, 3, 2, 0), strict=True)
        },
        baselines={},
    )
    rows = build_rows(quiet)
    assert [c.label for c in shown_columns(quiet.task.metrics, rows) if "answers" in c.label] == [
        "Empty answers"
    ]
    found = [text for text in caveats(quiet) if "writes nothing" in text]
    first, second, *_ = quiet.methods
    assert found == [
        f"{first} writes nothing in 97.9 % of its answers and {second} writes nothing in 6.25 % of "
        "its answers.",
    ]


@pytest.mark.parametrize(
    ("base", "seeds", "expected"),
    [
        (
            "llama, 134,515,008 parameters, 30 layers",
            [3, 3],
            "135 M parameters, 64 test rows, 3 seeds",
        ),
        ("a base of its own", [1, 1], "64 test rows, 1 seed"),
        ("x, 9 parameters", [3, 5], "9 parameters, 64 test rows, 3 to 5 seeds"),
    ],
)
def test_what_the_answer_rests_on(base: str, seeds: list[int], expected: str) -> None:
    results = golden("four")
    names = list(results.methods)[: len(seeds)]
    made = replace(
        results,
        environment=replace(results.environment, base=base),
        data=replace(results.data, test=replace(results.data.test, examples=64)),
        methods={
            name: replace(results.methods[name], seeds=tuple(range(count)))
            for name, count in zip(names, seeds, strict=True)
        },
    )
    assert evidence(made) == expected
