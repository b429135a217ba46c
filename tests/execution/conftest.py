"""Studies of these tests are run many times over: what their methods cost is measured once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bakeoff.runs.records import CostRecord
from tests.studies import measured_here

_MEASURED: dict[str, CostRecord] = {}


def _measured_once(
    command: Sequence[str], job: Mapping[str, Any], names: Sequence[str], folder: Path
) -> Iterator[tuple[str, CostRecord]]:
    """As ``measured_here``; a study that this process has measured costs what it did then."""
    for name in names:
        key = json.dumps([name, job["study"], job["device"]])
        if key not in _MEASURED:
            [(_, _MEASURED[key])] = measured_here(command, job, [name], folder)
        yield name, _MEASURED[key]


@pytest.fixture
def quick(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quicker still: no test here is about what methods cost."""
    monkeypatch.setattr("bakeoff.study.costs.measure_costs", _measured_once)
