"""What ends one process of a run that several share, and what the first keeps of it."""

from __future__ import annotations

from bakeoff.engine.backends.memory import is_out_of_memory
from bakeoff.ranks import LeftAloneError, is_lost, ranks


def end_if_alone(error: Exception) -> None:
    """Ends this process where an error may be its own: the others wait for it in a collective.

    What fails alike in all of them, such as a method's own error, is no matter of this.

    Raises:
        LeftAloneError: memory ran out, or another process is gone.
    """
    if ranks().count == 1:
        return
    if is_out_of_memory(error):
        raise LeftAloneError(
            f"memory ran out in process {ranks().rank} of {ranks().count}, which ends the run "
            f"({error}); the same command goes on from its checkpoint, in training with half the "
            "rows in a micro-batch; if it comes again, lower task.max_length or "
            "generation.batch_rows, or start more processes"
        ) from error
    if is_lost(error):
        raise LeftAloneError(
            f"process {ranks().rank} of {ranks().count} has lost another one, whose own error says "
            "why; the same command goes on from the run's checkpoint"
        ) from error
