"""Candidates that completed with fewer epochs than the study has now go on from their last one."""

from __future__ import annotations

import shutil

from bakeoff.engine.workbench import Workbench
from bakeoff.errors import CheckpointError
from bakeoff.execution.archive import Archive
from bakeoff.execution.checkpoints import Checkpoints
from bakeoff.execution.last_states import last_state
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.states import COHORTS
from bakeoff.search.schedule import StudySchedule
from bakeoff.types import RunState


def go_on(
    bench: Workbench,
    schedule: StudySchedule,
    archive: Archive,
    checkpoints: Checkpoints,
    view: ProgressView,
) -> None:
    """Lets chosen settings wait for further epochs, each where its last epoch left it.

    Those on fewer rows too, once they are named.

    The search's own candidates stay as they are: what was chosen was chosen with the epochs that
    there were. One that was stopped by its patience would have been stopped all the same.

    Args:
        bench: the study as it is now. schedule: with what an earlier call left.
        archive: has recalled its parts. checkpoints: where the states are.
        view: where what is lost is reported.
    """
    early = [
        candidate
        for candidate in (*schedule.finals, *schedule.on_curve)
        if candidate.state is RunState.COMPLETE
        and len(candidate.epochs) < bench.protocol.under(candidate.options).epochs
    ]
    if not early:
        return
    archive.forget_costs()
    # A worker that outlived its driver may have left a test of what is to be trained further.
    for place in (archive.folder.path / COHORTS).glob("test-*"):
        shutil.rmtree(place, ignore_errors=True)
    for candidate in early:
        before = len(candidate.epochs)
        try:
            candidate.snapshot = last_state(archive.folder.path, candidate)
            candidate.tensors = archive.tensors_of(candidate)
        except CheckpointError as error:
            candidate.start_again()
            archive.keep_note(str(error))
            view.on_note(str(error))
        else:
            # To the disk, as of one that waits for its rung.
            checkpoints.pause(candidate)
            candidate.state, candidate.reason = RunState.WAITING, None
        archive.forget(candidate)
        view.say(f"  {candidate.id:<28} goes on after epoch {before}")
    if schedule.search is not None:
        note = (
            f"the settings were chosen after {schedule.searched_epochs} epochs; only the chosen "
            f"ones were trained for {bench.protocol.epochs}"
        )
        archive.keep_note(note)
        view.on_note(note)
