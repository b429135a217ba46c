"""The stage that measures what every method costs, in processes of its own."""

from __future__ import annotations

import itertools
import logging
import math
from dataclasses import asdict, replace
from pathlib import Path

import torch

from bakeoff.base.set_aside import set_aside
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.workbench import Workbench
from bakeoff.execution.archive import ERROR_FILE, Archive
from bakeoff.execution.clock import COSTS_SHARE
from bakeoff.execution.executors import Executor
from bakeoff.execution.findings import Findings
from bakeoff.execution.packing import pack_measuring
from bakeoff.execution.progress import ProgressView
from bakeoff.measure.costs import CostFailure, measure_costs
from bakeoff.runs.events import CohortJob, EventLog
from bakeoff.runs.records import CostRecord
from bakeoff.study.measuring import COMMAND, jobs_of, shown_candidate
from bakeoff.study.study import Study

_log = logging.getLogger(__name__)


def measure_all(bench: Workbench, findings: Findings, events: EventLog, executor: Executor) -> None:
    """Measures every method whose chosen options have no costs.

    Args:
        bench, findings, events: the run's. executor: who runs the jobs.
    """
    shown = {name: shown_candidate(findings.schedule, name) for name in findings.schedule.methods}
    missing = [shown[name] for name in _missing(findings)]
    executor.run(pack_measuring(missing, events, bench.protocol.micro_batch_size))
    lacking = set(_missing(findings))
    measured = {candidate.id for name, candidate in shown.items() if name not in lacking}
    # Of earlier jobs too: a process may have died before it came to accept what it had kept.
    for job in events.jobs("measure"):
        events.accept(job, [name for name in job.candidates if name in measured])


def _missing(findings: Findings) -> list[str]:
    """The methods whose chosen options have no costs."""
    schedule, costs_of = findings.schedule, findings.costs_of
    variants = {name: shown_candidate(schedule, name).variant for name in schedule.methods}
    return [
        name
        for name, variant in variants.items()
        if name not in findings.costs or costs_of.get(name, variant) != variant
    ]


class CostsWorker:
    """Measures what the methods of a job cost; one that fails is noted.

    Args:
        study: what is run. bench, findings, archive, view: the run's.
    """

    def __init__(
        self,
        study: Study,
        bench: Workbench,
        findings: Findings,
        archive: Archive,
        view: ProgressView,
    ) -> None:
        self._study, self._bench = study, bench
        self._findings, self._archive, self._view = findings, archive, view

    def run(self, job: CohortJob) -> None:
        """Measures those of a job whose costs are missing."""
        findings, archive, view = self._findings, self._archive, self._view
        shown = {
            name: candidate
            for name in _missing(findings)
            if (candidate := shown_candidate(findings.schedule, name)).id in job.candidates
        }
        view.count("costs", 0, len(shown))
        processes = jobs_of(
            replace(self._study, options=replace(self._study.options, engine=self._bench.engine)),
            str(self._bench.base.device),
            findings.schedule,
            list(shown),
            adapters=_trained_adapters(findings, archive),
            seconds=seconds_for_costs(findings, beside=_processes(archive)),
        )
        outcomes = itertools.chain.from_iterable(
            measure_costs(COMMAND, content, names, self._study.root) for content, names in processes
        )
        # The process loads a base of its own, for which a card that this one's fill has no room.
        with set_aside(self._bench.held_bases):
            for done, (name, found) in enumerate(outcomes, start=1):
                self._take(name, found, shown[name])
                view.count("costs", done, len(shown))
        view.clear()

    def _take(self, name: str, found: CostRecord | CostFailure, shown: Candidate) -> None:
        """Keeps what was found of a method, or says why there is nothing."""
        findings, archive, view = self._findings, self._archive, self._view
        outcome = found if isinstance(found, CostFailure) else _finite(found)
        if isinstance(outcome, CostFailure):
            _measuring_failed(name, outcome, findings, archive, view)
            return
        archive.keep_cost(name, outcome, shown.variant)
        protocol = self._bench.protocol.under(shown.options)
        _note_smaller_batch(name, outcome, protocol, archive, view)


def _processes(archive: Archive) -> int:
    """How many of one thread train side by side, about."""
    return torch.get_num_threads() if archive.folder.in_processes_before() else 1


def seconds_for_costs(findings: Findings, *, beside: int = 1) -> float:
    """So much of what all else has taken that costs are less than a quarter of the whole.

    A third would be a quarter; the process's start and the last repeat come on top of it.

    What all else has taken is the wall clock of this call's stages or, where an earlier call has
    trained, the time of all epochs: an epoch's is shared by the candidates of its pass.

    Args:
        findings: the run's. beside: processes of one thread that train side by side.
    """
    wall = sum(value for stage, value in findings.wall_seconds.items() if stage != "total")
    epochs = 0.0
    for record in findings.records.values():
        made = record.made_with
        shared = 1 if made is None else max(1, made.slots or 1)
        if made is not None and made.threads == 1:
            shared *= beside
        epochs += sum(epoch.seconds for epoch in record.epochs) / shared
    return COSTS_SHARE * max(wall, epochs)


def _finite(cost: CostRecord) -> CostRecord | CostFailure:
    """The costs, unless one of their numbers is none: such a record could not be read again."""
    pairs: list[tuple[str, object]] = list(asdict(cost).items())
    while pairs:
        key, value = pairs.pop()
        if isinstance(value, dict):
            pairs += [(f"{key}.{inner}", part) for inner, part in value.items()]
        elif isinstance(value, float) and not math.isfinite(value):
            return CostFailure(reason=f"{key} is {value}, which is not a finite number")
    return cost


def _trained_adapters(findings: Findings, archive: Archive) -> dict[str, Path]:
    """Of each method the adapter of its first candidate that ended well."""
    found: dict[str, Path] = {}
    for name in findings.schedule.methods:
        for candidate in findings.finals(name):
            adapter = archive.folder.path / "candidates" / candidate.id / "adapter"
            if candidate.state.is_eligible and adapter.is_dir():
                found[name] = adapter
                break
    return found


def _note_smaller_batch(
    name: str, cost: CostRecord, protocol: ProtocolOptions, archive: Archive, view: ProgressView
) -> None:
    """Says so where memory held only smaller micro-batches than the study's."""
    wanted, measured = protocol.micro_batch_size, cost.micro_batch_size
    if measured is not None and measured < wanted:
        note = (
            f"the costs of {name} were measured with a micro-batch of {measured} rows: memory "
            f"ran out with the study's {wanted}"
        )
        archive.keep_note(note)
        view.on_note(note)


def _measuring_failed(
    name: str,
    failure: CostFailure,
    findings: Findings,
    archive: Archive,
    view: ProgressView,
) -> None:
    """What it was is in the folder of the method's first run, and on the screen."""
    search = findings.schedule.methods[name]
    shown = (search.finals or search.candidates)[0]
    archive.keep_error(shown, failure.traceback or failure.reason)
    note = (
        f"the costs of {name} could not be measured: {failure.reason} (the whole error is in "
        f"candidates/{shown.id}/{ERROR_FILE})"
    )
    archive.keep_note(note)
    view.on_note(note)
    _log.error("%s", note)
