"""A search looked at afterwards is the same search: a run's decisions, made again.

Its records alone say what every round was decided on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakeoff.runs.reading import read_results
from bakeoff.runs.records import CandidateRecord
from bakeoff.search.rounds import decide, first_specs
from bakeoff.search.schedule import rungs_of
from bakeoff.search.space import MethodSpace, space_of
from bakeoff.study.loading import load_study
from bakeoff.study.study import Study
from bakeoff.types import RunState


def spaces(study: Study) -> list[MethodSpace]:
    search, protocol = study.options.search, study.options.protocol
    assert search is not None
    rungs = rungs_of(search, protocol.epochs)
    return [
        space_of(entry, search, seed=protocol.search_seed, rungs=rungs) for entry in study.entries
    ]


Replayed = tuple[dict[str, CandidateRecord], str | None, list[str]]


def trained(whole: CandidateRecord, before: int, rungs: tuple[int, ...]) -> CandidateRecord:
    """A candidate as it stood once it had trained up to its next rung, or to its end."""
    rung = next((r for r in rungs if r > before), None)
    if rung is None or len(whole.epochs) < rung:
        return whole
    epochs = whole.epochs[:rung]
    if len(whole.epochs) == rung and whole.state is not RunState.PRUNED:
        return whole
    best = min(epochs, key=lambda e: e.val_nll).epoch
    return replace(
        whole, epochs=epochs, best_epoch=best, state=RunState.PAUSED, reason=None, files={}
    )


def replay(space: MethodSpace, wholes: Mapping[str, CandidateRecord]) -> Replayed:
    """The records that follow from the functions, and the choice."""
    records: dict[str, CandidateRecord] = {}
    coming, number = [spec.id for spec in first_specs(space)], 0
    while True:
        for name in coming:
            before = len(records[name].epochs) if name in records else 0
            records[name] = trained(wholes[name], before, space.rungs)
        number += 1
        decision = decide(space, sorted(records.values(), key=lambda r: r.id), number)
        for stop in decision.verdicts.stops:
            records[stop.id] = replace(records[stop.id], state=RunState.PRUNED, reason=stop.reason)
        coming = [*(spec.id for spec in decision.new), *decision.verdicts.continuations]
        if decision.is_final:
            return records, decision.chosen, list(records)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("strategy", ["grid", "random"])
def test_a_runs_search_follows_from_its_records(
    run_small: Callable[..., Any], place: Path, strategy: str
) -> None:
    methods = {"head": {}, "lora": {"rank": [1, 2]}, "wild": {"kind": "lora", "rank": 4}}
    search = {"strategy": strategy, "learning_rates": 4, "growth": 2, "grid_factor": 30.0}
    assert run_small(methods=methods, search=search, protocol={"epochs": 3}).code == 0
    study, results = load_study(place / "study.yaml"), read_results(place / "out")
    pruned = 0
    for space in spaces(study):
        wholes = {
            id: record
            for id, record in results.candidates.items()
            if record.method == space.method and record.seed == space.seed
        }
        records, chosen, order = replay(space, wholes)
        assert order == list(wholes)  # all of them, in the order in which they were named
        for id, record in wholes.items():
            assert (records[id].state, records[id].reason) == (record.state, record.reason)
            assert records[id].epochs == record.epochs
        method = results.methods[space.method]
        assert method.search is not None
        assert chosen == method.search.chosen
        pruned += sum(record.state is RunState.PRUNED for record in wholes.values())
    assert pruned > 4
