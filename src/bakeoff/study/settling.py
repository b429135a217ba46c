"""What a study leaves open about how it is computed, decided once it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bakeoff.engine.compiling import keep_compiled_apart, pays_to_compile
from bakeoff.engine.workbench import Workbench
from bakeoff.measure.fit import check_fit
from bakeoff.measure.needs import compiled, recomputing_of
from bakeoff.ranks import ranks
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.on_processes import pays_in_processes
from bakeoff.study.stages import ElsewherePlan

COMPILES: Final = (
    "the layers of the base are compiled, which takes half a minute and pays in a training as long "
    "as this one; leave them as they are with --set engine.compile=false"
)

TAKES_PROCESSES: Final = (
    "the base is narrow, and one process would make little of the cores, so that each has a "
    "process of its own (--executor local computes in this one)"
)
PROCESSES_PAY: Final = (
    "the base is narrow, and one process makes little of the cores; with execution.executor: "
    "processes each has a process of its own, and training is up to three times as fast"
)


def as_it_runs(
    bench: Workbench,
    schedule: StudySchedule,
    note: Callable[[str], None],
    *,
    force: bool,
    compiled_before: bool | None,
) -> tuple[Workbench, int | None]:
    """The study as it is to run, and the bytes that it is forecast to take.

    Args:
        bench: as loaded. schedule: its candidates.
        note: called with a sentence on what a user may want to change.
        force: whether a study that does not fit into memory runs all the same.
        compiled_before: whether an earlier call of the run compiled layers, so that this one goes
            on as it began, with another number of epochs too; None where there was none.

    Returns:
        The study; and the forecast, None where nothing was traced.

    Raises:
        DoesNotFitError: see ``check_fit``.
    """
    forecast: int | None = None
    if ranks().count > 1:  # what each holds of a sharded base is not forecast
        if bench.engine.gradient_checkpointing == "auto":
            bench = recomputing_of(bench)
    elif not force:
        bench, forecast = check_fit(bench, schedule)
    if compiled_before is None:
        compiled_before = pays_to_compile(bench)
    if compiled_before and bench.engine.compile == "auto":
        note(COMPILES)
        bench = compiled(bench)
    if bench.engine.compile is True:
        keep_compiled_apart()
    return bench, forecast


def as_processes(
    bench: Workbench,
    schedule: StudySchedule,
    note: Callable[[str], None],
    in_processes: Callable[[], ElsewherePlan] | None,
    before: bool | None,
) -> ElsewherePlan | None:
    """Processes of this machine as those that run a study's jobs; None where this process does.

    Args:
        bench, schedule, note: see ``as_it_runs``.
        in_processes: makes them; None where they are not to be.
        before: whether processes ran the jobs in the run's first call, so that this one goes on
            as it began: one thread rounds otherwise than several. None where there was none.
    """
    pays = pays_in_processes(bench, schedule.candidates) if before is None else before
    if not pays:
        return None
    if in_processes is None:
        if before is None:
            note(PROCESSES_PAY)
        return None
    note(TAKES_PROCESSES)
    return in_processes()
