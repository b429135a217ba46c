"""A search looked at afterwards is the same search: the golden runs' decisions, made again.

Their records alone say what every round was decided on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from bakeoff.methods.entries import entry_of
from bakeoff.runs.records import CandidateRecord, Results
from bakeoff.search.options import SearchOptions
from bakeoff.search.rounds import decide, first_specs
from bakeoff.search.schedule import rungs_of
from bakeoff.search.space import MethodSpace, space_of
from bakeoff.types import RunState
from tests.golden_folders import golden


def spaces(results: Results) -> list[MethodSpace]:
    kept = results.study["search"]
    search = SearchOptions(**kept)
    rungs = rungs_of(search, results.study["protocol"]["epochs"])
    [seed] = results.study["protocol"]["seeds"]
    return [
        space_of(entry_of(name, given, may_search=True), search, seed=seed, rungs=rungs)
        for name, given in results.study["methods"].items()
    ]


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


def replay(space: MethodSpace, wholes: Mapping[str, CandidateRecord]) -> tuple[object, ...]:
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


@pytest.mark.parametrize("name", ["searched", "schema1"])
def test_the_golden_searches_follow_from_their_records(name: str) -> None:
    results = golden(name)
    for space in spaces(results):
        wholes = {
            id: record
            for id, record in results.candidates.items()
            if record.method == space.method and record.seed == space.seed
        }
        records, chosen, order = replay(space, wholes)
        assert order == list(wholes)  # all of them, in the order in which they were named
        assert isinstance(records, dict)
        for id, record in wholes.items():
            assert (records[id].state, records[id].reason) == (record.state, record.reason)
            assert records[id].epochs == record.epochs
        method = results.methods[space.method]
        assert method.search is not None
        assert chosen == method.search.chosen
        assert sum(len(r.epochs) < 3 for r in wholes.values()) > 0  # something was pruned
