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

COMPILES: Final = (
    "the layers of the base are compiled, which takes half a minute and pays in a training as long "
    "as this one; leave them as they are with --set engine.compile=false"
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
