"""What a study leaves open about how it is computed, decided once it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.compiling import keep_compiled_apart, pays_to_compile
from bakeoff.engine.workbench import Workbench
from bakeoff.measure.fit import check_fit
from bakeoff.measure.needs import compiled, recomputing_of
from bakeoff.ranks import ranks
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.execution_options import ExecutionOptions
from bakeoff.study.measuring import registered_names
from bakeoff.study.on_processes import OnProcesses, pays_in_processes, room_for

COMPILES: Final = (
    "the layers of the base are compiled, which takes half a minute and pays in a training as long "
    "as this one; leave them as they are with --set engine.compile=false"
)

TAKES_PROCESSES: Final = (
    "the base is narrow, and one process would make little of the cores, so that each has a "
    "process of its own (--executor local computes in this one)"
)
GOES_ON: Final = "jobs go on in processes of this machine, as in the call before"
NO_ROOM: Final = (
    "the base is narrow, and one process makes little of the cores; {cores} processes would make "
    "more of them, but memory has no room for so many (--executor processes --workers N takes N)"
)
REGISTERED: Final = (
    "the base is narrow, and one process makes little of the cores; but the {what} is registered "
    "in it, so that no others are started (execution.executor: processes starts them, and imports "
    "the module that it is defined in)"
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
    if bench.engine.compiles_on(bench.base.device.type):
        keep_compiled_apart()
    return bench, forecast


def wants_processes(
    bench: Workbench, candidates: Sequence[Candidate], forecast: int | None = None
) -> bool:
    """Whether ``executor: auto`` has processes of this machine run a study's jobs.

    Args:
        bench, candidates, forecast: see ``as_processes``.
    """
    return (
        pays_in_processes(bench, candidates)
        and room_for(bench, forecast) >= torch.get_num_threads()
        and not registered_names()
    )


def as_processes(
    bench: Workbench,
    schedule: StudySchedule,
    note: Callable[[str], None],
    options: ExecutionOptions,
    *,
    before: bool | None,
    forecast: int | None,
) -> OnProcesses | None:
    """Processes of this machine as those that run a study's jobs; None where this process does.

    Args:
        bench, schedule, note: see ``as_it_runs``. options: with ``executor: auto``.
        before: whether processes ran the jobs in the run's last call, so that this one goes on so:
            one thread rounds otherwise than several. None where there was none.
        forecast: see ``OnProcesses``.
    """
    if before is not None:
        if not before:
            return None
        note(GOES_ON)
    elif wants_processes(bench, schedule.candidates, forecast):
        note(TAKES_PROCESSES)
    else:
        if pays_in_processes(bench, schedule.candidates):
            note(_why_not(registered_names()))
        return None
    return OnProcesses(options, forecast)


def _why_not(registered: Sequence[str]) -> str:
    if registered:
        return REGISTERED.format(what=registered[0])
    return NO_ROOM.format(cores=torch.get_num_threads())
