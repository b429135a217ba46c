"""Runs cases and probes on the device of shapes: ``python -m tests.fake_cuda.child NAME...``.

A name is a case's id, ``probe:`` and a probe's name, or ``budget:`` and an entry's.

For each it prints one line of JSON: ``id``, and ``found`` or ``error`` (with ``trace``). It must be
started with the guard (``guard.environment``).
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from bakeoff.base.model import Base
from tests.fake_cuda import actions, budgets, probes
from tests.fake_cuda.bridge import base_of, method_of, prepare
from tests.fake_cuda.cases import Case
from tests.fake_cuda.device import fake_device

PROBE: Final = "probe:"
_LONGEST_ERROR: Final = 600


@cache
def _base(name: str, dtype: str) -> Base:
    return base_of(name, dtype)


def outcome(name: str) -> dict[str, Any]:
    """What came of a piece of work: its findings or its error."""
    try:
        if name.startswith(PROBE):
            found = probes.RUN[name.removeprefix(PROBE)]()
        elif name.startswith(budgets.PROBE):
            found = budgets.measured(name.removeprefix(budgets.PROBE))
        else:
            case = Case.of_id(name)
            base = _base(case.base, case.dtype)
            found = actions.RUN[case.action](base, method_of(base, case.method))
    except Exception as error:
        text = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]
        trace = "".join(traceback.format_tb(error.__traceback__))
        return {"id": name, "error": text, "trace": trace}
    return {"id": name, "found": found}


def main(names: Sequence[str]) -> None:
    """Runs the named cases in order."""
    prepare()
    # Following memory takes time.
    with fake_device(memory=any(name.startswith(budgets.PROBE) for name in names)):
        for name in names:
            print(json.dumps(outcome(name)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    # The engine's threads wait for a device that is none: there is nothing to wind up.
    os._exit(0)
