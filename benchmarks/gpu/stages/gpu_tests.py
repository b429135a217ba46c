"""One of the tests that need a card, in all its parameters."""

from __future__ import annotations

import importlib.util
from typing import Any

from gpu.processes import Place
from gpu.records import Report, SkippedError
from gpu.table import GPU_TESTS, ROOT


class _Outcomes:
    """A plugin of pytest: what became of each test."""

    def __init__(self) -> None:
        self.collected: list[str] = []
        self.ended: dict[str, tuple[str, float, str]] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        self.collected = [item.nodeid for item in items]

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = str(report.nodeid)
        if report.when == "call" or report.outcome != "passed":
            self.ended[name] = (str(report.outcome), float(report.duration), report.longreprtext)


def run(report: Report, place: Place, name: str) -> None:
    """See the module; a dry run collects the test and leaves it, since it compares values.

    Args:
        report: records each parameter. place: where. name: the test's function.
    """
    if importlib.util.find_spec("pytest") is None:
        raise SkippedError("pytest is not installed")
    import pytest

    outcomes = _Outcomes()
    test = f"{GPU_TESTS}::{name}"
    flags = ["-p", "no:cacheprovider", "-p", "no:xdist", f"--rootdir={ROOT}", "-m", "gpu"]
    if place.dry_run:
        flags.append("--collect-only")
    code = pytest.main([test, *flags], plugins=[outcomes])
    for test in outcomes.collected:
        with report.part(test.rpartition("::")[2]) as found:
            if place.dry_run:
                found["says"] = "collected, not run: it compares values"
                continue
            outcome, seconds, text = outcomes.ended.get(test, ("did not end", 0.0, ""))
            if outcome == "skipped":
                raise SkippedError(text.strip().splitlines()[-1] if text else "skipped")
            found["says"] = f"{outcome} in {seconds:.1f} s"
            assert outcome == "passed", f"the test {outcome}: {text[-3000:]}"
    if not outcomes.collected:
        raise RuntimeError(f"{test}: pytest found nothing to run (exit code {int(code)})")
