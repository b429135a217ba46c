"""What the first screen warns of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bakeoff.report.answer import build_answer
from bakeoff.report.table import build_rows
from bakeoff.runs.records import Estimate, Results
from bakeoff.types import RunState
from tests.golden_folders import golden, with_methods


def caveats(results: Results) -> list[str]:
    return build_answer(results, build_rows(results)).caveats


@pytest.mark.parametrize(
    ("lead", "low", "expected"),
    [
        (0.45, 0.41, ["lead-3, which trains nothing, has the higher ROUGE-1: 45.0 against 35.0."]),
        (
            0.36,
            0.33,
            [
                "lead-3, which trains nothing, has the higher ROUGE-1: "
                "36.0 against 35.0, though their intervals overlap."
            ],
        ),
        (0.34, 0.30, []),
    ],
    ids=["apart", "overlapping", "lower"],
)
def test_a_baseline_is_called_higher_only_where_the_intervals_part(
    lead: float, low: float, expected: list[str]
) -> None:
    results = golden("four")
    ours = {**results.methods["full"].test, "rouge1": Estimate(mean=0.35, low=0.31, high=0.38)}
    theirs = replace(
        results.baselines["lead"], test={"rouge1": Estimate(mean=lead, low=low, high=0.5)}
    )
    changed = replace(
        with_methods(results, full={"test": ours}),
        baselines={**results.baselines, "lead": theirs},
    )
    assert [text for text in caveats(changed) if "which trains nothing" in text] == expected


def test_a_method_that_diverged_is_said_with_its_reason() -> None:
    wild = golden("partial").methods["wild"]
    assert wild.state is RunState.DIVERGED
    assert f"wild diverged: {wild.reason}." in caveats(golden("partial"))


def test_one_seed_says_nothing_of_another() -> None:
    results = golden("four")
    one = {key: c for key, c in results.candidates.items() if c.seed == 0}
    found = caveats(replace(results, candidates=one))
    assert any(text.startswith("One seed per method:") for text in found)
    assert not any(text.startswith("One seed per method:") for text in caveats(results))


def test_a_search_that_ends_at_its_grids_edge_is_a_caveat() -> None:
    results = golden("searched")
    search = results.methods["lora"].search
    assert search is not None
    edge = with_methods(results, lora={"search": replace(search, best_at_edge=True)})
    assert any("is at the edge of what was tried" in text for text in caveats(edge))
    assert not any("One learning rate per method" in text for text in caveats(edge))
    curve = tuple(replace(point, state=RunState.FAILED) for point in search.curve[:1])
    failed = replace(search, curve=curve + search.curve[1:], best_at_edge=False)
    found = caveats(with_methods(results, lora={"search": failed}))
    assert any(text.startswith(f"1 of lora's {len(search.curve)} candidates") for text in found)


def test_test_rows_that_stand_in_the_training_data_are_a_caveat() -> None:
    results = golden("four")
    data = replace(results.data, overlap={**results.data.overlap, "train_test": 12})
    found = caveats(replace(results, data=data))
    assert "12 test rows are also in the training data." in found
