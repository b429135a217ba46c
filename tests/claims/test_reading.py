"""What a claim reads of finished studies: whose seeds, which draws, and what a reader must know."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.claims.completeness import untested
from bakeoff.claims.reading import Measured, Source, losses_of, measured_together
from bakeoff.errors import StoreError
from bakeoff.formatting import shown_rate
from bakeoff.runs.arrays import arrays_bytes
from bakeoff.runs.records import Results
from bakeoff.types import RunState
from tests.golden_folders import copy_of, golden, save, with_methods

METHODS = {"full": "full", "eight": "lora"}


def study(folder: Path, rows: int = 40, **changes: Any) -> Path:
    """A copy of a finished study of three seeds, with fields of its methods changed."""
    copy_of("four", folder)
    rng = np.random.default_rng(0)
    places = [folder / "baselines" / "zero_shot", *sorted((folder / "candidates").iterdir())]
    for place in places:
        sums = np.stack([rng.uniform(10.0, 20.0, rows), rng.integers(3, 9, rows)], axis=1)
        (place / "scores").mkdir()
        (place / "scores" / "test.npz").write_bytes(arrays_bytes({"nll": sums}))
    save(folder, with_methods(golden("four"), **changes))
    return folder


def losses(place: Path, method: str, *seeds: int) -> list[float]:
    results = golden("four")
    runs = {results.candidates[r].seed: r for r in results.methods[method].candidates}
    return [
        losses_of(place / "candidates" / runs[seed] / "scores" / "test.npz")[0] for seed in seeds
    ]


def test_a_seed_without_scores_is_left_out_of_every_entrant_and_said(tmp_path: Path) -> None:
    place = study(tmp_path / "a", lora={"seeds": (0, 2)})
    found = measured_together([Source(place=place, methods=METHODS)])
    assert found.values["full"] == pytest.approx(losses(place, "full", 0, 2))
    assert found.values["eight"] == pytest.approx(losses(place, "lora", 0, 2))
    assert [note for note in found.notes if "Seed 1" in note and "lora" in note]


@pytest.mark.parametrize(("rows", "blocks"), [(40, 20), (12, 12), (2, 2)])
def test_fewer_rows_than_blocks_are_a_block_each(tmp_path: Path, rows: int, blocks: int) -> None:
    """Empty blocks would make the error smaller than it is, and surer."""
    place = study(tmp_path / "a", rows=rows)
    found = measured_together([Source(place=place, methods=METHODS)])
    assert found.blocks == len(found.without) == blocks
    assert all(np.any(one["full"] != found.values["full"]) for one in found.without)


def test_one_test_row_decides_nothing(tmp_path: Path) -> None:
    place = study(tmp_path / "a", rows=1)
    with pytest.raises(StoreError, match="one test row says nothing of others"):
        measured_together([Source(place=place, methods=METHODS)])


def test_two_studies_are_read_with_the_seeds_that_both_have(tmp_path: Path) -> None:
    whole = study(tmp_path / "a", lora={"seeds": (0, 1)})
    shared = study(tmp_path / "b", lora={"seeds": (1, 2)})
    found = measured_together(
        [
            Source(place=whole, methods={"soft": "lora"}, part="whole"),
            Source(place=shared, methods={"soft": "lora"}, part="shared"),
        ]
    )
    assert found.values["whole:soft"] == pytest.approx(losses(whole, "lora", 1))
    assert found.values["shared:soft"] == pytest.approx(losses(shared, "lora", 1))
    assert len(found.notes) == 2
    apart = study(tmp_path / "c", lora={"seeds": (2,)})
    with pytest.raises(StoreError, match="no seed was tested with every entrant"):
        measured_together(
            [Source(place=whole, methods=METHODS), Source(place=apart, methods=METHODS, part="b")]
        )


def test_what_only_a_figure_has_takes_no_seed_from_what_decides(tmp_path: Path) -> None:
    place = study(tmp_path / "a", lora_small={"seeds": (0,)})
    methods = {**METHODS, "one": "lora_small", "two": "not_begun"}
    source = Source(place=place, methods=methods, figure_only=("one", "two"))
    found = measured_together([source])
    assert found.values["full"] == pytest.approx(losses(place, "full", 0, 1, 2))
    assert found.values["one"] == pytest.approx(losses(place, "lora_small", 0))
    assert "two" not in found.values
    assert [note for note in found.notes if "figure is without two" in note]
    with pytest.raises(StoreError, match="not_begun was not begun"):
        measured_together([replace(source, figure_only=())])


def test_a_study_of_the_figure_alone_may_be_missing(tmp_path: Path) -> None:
    place = study(tmp_path / "a")
    missing = Source(place=tmp_path / "b", methods={"soft": "lora"}, part="rows_16")
    main = Source(place=place, methods={"soft": "lora"})
    found = measured_together([main, replace(missing, figure_only=("rows_16:soft",))])
    assert len(found.values["soft"]) == 3
    assert "figure is without" in " ".join(found.notes)
    with pytest.raises(StoreError):
        measured_together([main, missing])


def few_shot(place: Path, change: Callable[[Results], Results] = lambda results: results) -> None:
    """Adds a baseline whose scores every seed drew its own examples for."""
    results = change(golden("four"))
    base = results.baselines["zero_shot"]
    save(place, replace(results, baselines={**results.baselines, "few_shot": base}))
    shutil.copytree(place / "baselines" / "zero_shot", place / "baselines" / "few_shot")
    for draw in range(3):
        file = place / "baselines/few_shot/scores" / (f"test-{draw}.npz" if draw else "test.npz")
        sums = np.stack([np.full(40, 10.0 + draw), np.full(40, 5.0)], axis=1)
        file.write_bytes(arrays_bytes({"nll": sums}))


def test_every_draw_of_examples_is_read_with_the_seed_that_drew_it(tmp_path: Path) -> None:
    place = study(tmp_path / "a")
    few_shot(place)
    found = measured_together([Source(place=place, methods=METHODS)])
    assert found.values["few_shot"] == pytest.approx([2.0, 2.2, 2.4])
    assert found.without[0]["few_shot"] == pytest.approx([2.0, 2.2, 2.4])
    assert found.values["zero_shot"].ndim == 0

    place = study(tmp_path / "b")
    few_shot(place, lambda results: with_methods(results, lora={"seeds": (0, 2)}))
    found = measured_together([Source(place=place, methods=METHODS)])
    assert found.values["few_shot"] == pytest.approx([2.0, 2.4])


def test_rates_at_an_edge_and_runs_that_still_improved_are_said(tmp_path: Path) -> None:
    assert not read(study(tmp_path / "a")).notes
    place = study(tmp_path / "b", full={"converged": False})
    assert [note for note in read(place).notes if note.startswith("full had not stopped")]
    searched = golden("searched").methods
    record = next(m.search for m in searched.values() if m.search is not None)
    place = study(tmp_path / "c", lora={"search": replace(record, best_at_edge=True)})
    assert [note for note in read(place).notes if "rate of lora lies at the edge" in note]


def test_rates_that_not_all_were_tried_at_are_said(tmp_path: Path) -> None:
    searched = golden("searched").methods
    record = next(m.search for m in searched.values() if m.search is not None)
    point, highest = record.curve[0], max(one.learning_rate for one in record.curve)
    grown = replace(
        record, curve=(*record.curve, replace(point, learning_rate=10 * highest)), grown=1
    )
    methods = {"a": "lora", "b": "lora_small"}
    place = study(tmp_path / "a", lora={"search": record}, lora_small={"search": record})
    found = measured_together([Source(place=place, methods=methods)])
    assert not [note for note in found.notes if "grid" in note]
    place = study(tmp_path / "b", lora={"search": grown}, lora_small={"search": record})
    [note] = measured_together([Source(place=place, methods=methods)]).notes[-1:]
    assert f"lora_small at {shown_rate(min(record.grid))} to {shown_rate(highest)}; lora at" in note
    # Grids of another kind, or around another rate, were never alike.
    methods["b"] = "full"
    place = study(tmp_path / "c", lora={"search": grown}, full={"search": record})
    found = measured_together([Source(place=place, methods=methods)])
    assert not [note for note in found.notes if "grid" in note]


def test_what_was_trained_and_not_tested_is_said_so() -> None:
    record = replace(golden("four").methods["lora"], seeds=(), reason=None)
    said = untested(record)
    assert said == "was not tested (it is trained, and its test was not reached)"
    assert untested(replace(record, state=RunState.RUNNING)) == "was not tested (it is RUNNING)"
    assert untested(replace(record, reason="no memory")) == "was not tested (no memory)"


def test_tokens_that_are_read_of_a_row_are_known(tmp_path: Path) -> None:
    place = study(tmp_path / "a")
    assert "rows#input" not in read(place).values
    results = golden("four")
    test = replace(results.data.test, tokens_read=1600)
    save(place, replace(results, data=replace(results.data, test=test)))
    assert read(place).values["rows#input"] == pytest.approx(1600 / test.examples)


def read(place: Path) -> Measured:
    return measured_together([Source(place=place, methods=METHODS)])


def test_what_makes_a_study_s_scores_worth_less_is_noted(tmp_path: Path) -> None:
    place = study(tmp_path / "a")
    results = golden("four")
    data = replace(results.data, cautions=("Half of the test rows are training rows.",))
    save(place, replace(results, data=data))
    parts = [Source(place=place, methods=METHODS, part=part) for part in ("one", "other")]
    found = measured_together(parts)
    assert found.notes.count("Half of the test rows are training rows. (a)") == 1
