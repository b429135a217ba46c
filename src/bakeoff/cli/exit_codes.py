"""What the exit code means; ``bakeoff --help`` and ``docs/guide/run-folder.md`` print this."""

from __future__ import annotations

from typing import Final

OK: Final = 0
FAULT: Final = 1
BAD_INPUT: Final = 2
HUNG_UP: Final = 129
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141
TERMINATED: Final = 143

MEANINGS: Final = {
    OK: "all is well, also where --budget ended the study early; a candidate that failed is "
    "reported as FAILED, and a judge that could not be asked is said to be missing; neither "
    "changes this",
    FAULT: "a fault of bakeoff's own; the traceback goes to stderr and into the run's run.log",
    BAD_INPUT: "bad input, or a refusal; the reason goes to stderr",
    HUNG_UP: "the terminal was closed; what is there is saved and reported",
    INTERRUPTED: "interrupted; what is there is saved and reported",
    BROKEN_PIPE: "what read the output has closed it, as head does; a study goes on without it",
    TERMINATED: "terminated; what is there is saved and reported",
}
