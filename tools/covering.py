"""Which tests run which lines of the code, for ``tools.mutate``.

``python -m tools.covering ROOMS`` runs the tests of some rooms under coverage.py and keeps what
each line was run by in ``build/covering.json``: by file, by line, the tests, and whether it ran
while modules were imported, where any test may notice a change. Only what a test's own process runs
is seen.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
SOURCE: Final = ROOT / "src" / "bakeoff"
KEPT: Final = ROOT / "build" / "covering.json"
LEFT_OUT: Final = "not slow and not soak and not browser and not gpu and not fake_cuda"


class _Contexts:
    """Names what runs by the test for which it runs; the set-up that many share by the first."""

    def __init__(self, measuring: Any) -> None:
        self.measuring = measuring

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.measuring.switch_context(nodeid)

    def pytest_runtest_logfinish(self) -> None:
        self.measuring.switch_context("")


def measure(rooms: list[str]) -> None:
    """Runs the tests of some rooms, and keeps which ran which line.

    Raises:
        SystemExit: a test failed, whose lines would be too few.
    """
    import coverage
    import pytest

    sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
    os.chdir(ROOT)
    measuring = coverage.Coverage(
        data_file=None, config_file=False, source=[str(SOURCE)], concurrency=["thread"]
    )
    measuring.start()
    tests = [str(ROOT / "tests" / room) for room in rooms]
    options = ["-q", "-p", "no:cacheprovider", "-m", LEFT_OUT]
    code = pytest.main([*options, *tests], plugins=[_Contexts(measuring)])
    measuring.stop()
    if code:
        raise SystemExit(f"pytest ended with {int(code)}; mend what fails first")
    found = measuring.get_data()
    lines = {
        str(Path(file).relative_to(ROOT)): found.contexts_by_lineno(file)
        for file in found.measured_files()
    }
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps({"rooms": rooms, "lines": lines}), encoding="utf-8")
    print(f"{len(lines)} files, {sum(map(len, lines.values()))} lines in {KEPT}")


class Covering:
    """What was kept.

    Raises:
        OSError: nothing was.
    """

    def __init__(self) -> None:
        found = json.loads(KEPT.read_text(encoding="utf-8"))
        self._rooms: list[str] = found["rooms"]
        self._lines: dict[str, dict[str, list[str]]] = found["lines"]

    def has_passed(self, test: str) -> bool:
        """Whether a test was among those that were run, all of which passed."""
        return Path(test.partition("::")[0]).parts[1:2] in [(room,) for room in self._rooms]

    def tests_of(self, file: Path, line: int) -> list[str] | None:
        """The tests that run a line's statement.

        None where importing runs it, and where the tests of its room were not run.
        """
        name = str(file.relative_to(ROOT))
        if name not in self._lines or file.relative_to(SOURCE).parts[0] not in self._rooms:
            return None
        start, stop = _statement_at(ast.parse(file.read_text(encoding="utf-8")), line)
        found: dict[str, None] = {}
        for number in range(start, stop + 1):
            found |= dict.fromkeys(self._lines[name].get(str(number), ()))
        return None if "" in found else list(found)


def _statement_at(tree: ast.Module, line: int) -> tuple[int, int]:
    """First and last line of the innermost statement at a line, without a block's body."""
    spans = [(line, line)]
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            last = max(_header_lines(node), default=node.end_lineno or line)
            if line <= last:
                spans.append((node.lineno, last))
    return max(spans)


def _header_lines(node: ast.stmt) -> Iterator[int]:
    body = getattr(node, "body", None)
    if isinstance(body, list) and body:
        yield max(node.lineno, body[0].lineno - 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rooms", nargs="+", help="folders of tests")
    measure(parser.parse_args().rooms)
