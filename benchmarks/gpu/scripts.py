"""A benchmark's script, run inside a stage: its lines of JSON become parts of the stage."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gpu.records import Report, SkippedError


class _Lines(io.TextIOBase):
    """A stream that hands on every whole line."""

    def __init__(self, handle: Callable[[str], None]) -> None:
        self._handle = handle
        self._begun = ""

    def write(self, text: str) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            self._handle(line)
        return len(text)


def run_script(
    report: Report,
    module: str,
    argv: Sequence[str],
    says: Callable[[dict[str, Any]], tuple[str, str]],
) -> None:
    """Runs a benchmark's ``main`` and reports each line as soon as it is printed.

    Args:
        report: records each line. module: the benchmark. argv: its arguments.
        says: maps a line to (the part's name, the sentence on it).
    """

    def handle(line: str) -> None:
        try:
            content = json.loads(line)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            print(line)  # a library's own
            return
        name, sentence = says(content)
        with report.part(name) as found:
            found |= content
            if "skipped" in content:
                raise SkippedError(str(content["skipped"]))
            found["says"] = sentence

    import sys

    log = sys.stdout
    lines = _Lines(lambda line: _outside(log, handle, line))
    with contextlib.redirect_stdout(lines):
        importlib.import_module(module).main(list(argv))


def says_training(line: Mapping[str, Any]) -> tuple[str, str]:
    """The part and the sentence of a line of ``train.py`` or ``large.py``."""
    if line.get("summary"):
        return "ratios", f"over each rival: {line['ratio']}; memory {line['memory_ratio']}"
    speed, peak = line.get("tokens_per_second", 0.0), line.get("peak_memory_bytes") or 0
    sentence = f"{speed:,.0f} tokens per second, peak {peak / 2**30:.2f} GiB, first step "
    return f"{line['case']}: {line['engine']}", f"{sentence}{line.get('first_step_seconds')} s"


def _outside(log: Any, handle: Callable[[str], None], line: str) -> None:
    with contextlib.redirect_stdout(log):
        handle(line)
