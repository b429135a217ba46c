"""What is tried once before a study begins, so that it does not fail after hours."""

from __future__ import annotations

from bakeoff.engine.workbench import Workbench
from bakeoff.metrics.python_function import try_functions


def try_metrics(bench: Workbench) -> None:
    """Tries users' own functions on a row of every test set.

    Only where a study begins or is planned: in the processes that measure, what such a function
    loads would count as a method's memory.

    Raises:
        DataError: a function raises or returns no number.
    """
    tested = {
        "test": (bench.task, bench.data.splits["test"]),
        **{name: (also.task, also.data) for name, also in bench.also.items()},
    }
    for name, (task, part) in tested.items():
        if task.reads_whole_rows:
            try_functions(task.metrics, part.expected, what=name)
