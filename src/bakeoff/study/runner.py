"""A study from beginning to end, each part kept as soon as it is there.

Every part (a candidate, its test scores, a footprint, a baseline) has a file of its own in the
run's folder. A second call takes what is there and makes the rest, so that a complete study trains
nothing and an interrupted one goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

from bakeoff.errors import StoreError
from bakeoff.methods.contract import Ground
from bakeoff.study.archive import Archive
from bakeoff.study.footprint import measure_footprints
from bakeoff.study.options import Study
from bakeoff.study.progress import ProgressView
from bakeoff.study.results import Findings, build_results, now
from bakeoff.study.store import RESULTS_FILE, RunFolder
from bakeoff.study.testing import Tester
from bakeoff.study.training import train_group
from bakeoff.study.workbench import Workbench, open_workbench
from bakeoff.types import RunState


class Runner:
    """Runs one study in one folder.

    Args:
        study: what to run.
        folder: where, opened for this study.
        device: ``auto``, ``cpu`` or ``cuda``.
        console: where progress is told.
    """

    def __init__(self, study: Study, folder: RunFolder, device: str, console: Console) -> None:
        self.study = study
        self.folder = folder
        self.device = device
        self.console = console

    def is_complete(self) -> bool:
        """Whether the folder holds the whole study already."""
        results = self.folder.read_json(RESULTS_FILE)
        return isinstance(results, dict) and results.get("status") == "complete"

    def run(self) -> dict[str, Any]:
        """Makes whatever is missing.

        Returns:
            The results, complete.

        Raises:
            BakeoffError: for bad input, before anything is trained.
            KeyboardInterrupt: after the partial result has been written.
        """
        started = time.perf_counter()
        wall: dict[str, float] = {}
        with _timed(wall, "load"):
            bench = open_workbench(self.study, self.device)
        self._introduce(bench)
        self.folder.claim(bench.fingerprints())
        findings = Findings(candidates=bench.candidates(), started=now(), wall_seconds=wall)
        archive = Archive(self.folder, bench, findings)
        archive.recall()
        try:
            epochs = self.study.options.protocol.epochs
            with ProgressView(self.console, epochs=epochs) as view:
                self._work(bench, findings, archive, view)
        except StoreError:
            raise
        except (KeyboardInterrupt, Exception):
            self._write(bench, findings, wall, started, complete=False)
            raise
        # A failure may have had a cause that can be removed, so the next call tries it again.
        failed = any(c.state is RunState.FAILED for c in findings.candidates)
        return self._write(bench, findings, wall, started, complete=not failed)

    def _work(
        self, bench: Workbench, findings: Findings, archive: Archive, view: ProgressView
    ) -> None:
        wall = findings.wall_seconds
        tester = Tester(bench, findings, archive, view)
        archive.keep_examples()
        with _timed(wall, "baselines"):
            tester.baselines()
        with _timed(wall, "training"):
            for ground in Ground:
                waiting = [
                    c
                    for c in findings.candidates
                    if c.method.ground is ground and not c.state.is_final
                ]
                if waiting:
                    train_group(bench, waiting, archive, view)
        with _timed(wall, "test"):
            tester.candidates()
        with _timed(wall, "footprint"):
            measure_footprints(bench, findings, archive, view)

    def _write(
        self,
        bench: Workbench,
        findings: Findings,
        wall: dict[str, float],
        started: float,
        *,
        complete: bool,
    ) -> dict[str, Any]:
        wall["total"] = time.perf_counter() - started
        results = build_results(bench, findings, complete=complete)
        self.folder.write_json(RESULTS_FILE, results)
        return results

    def _introduce(self, bench: Workbench) -> None:
        options, base = self.study.options, bench.base
        sizes = ", ".join(
            f"{len(bench.data.splits[split])} {split}" for split in ("train", "validation", "test")
        )
        self.console.print(
            f"[bold]{options.name}[/]: {escape(base.source.description)}; {base.device.type}, "
            f"{str(base.compute_dtype).removeprefix('torch.')}; {sizes}",
            highlight=False,
            soft_wrap=True,
        )
        for warning in bench.data.warnings:
            self.console.print(
                f"  [yellow]note[/] {escape(warning)}", highlight=False, soft_wrap=True
            )


@contextmanager
def _timed(wall: dict[str, float], part: str) -> Iterator[None]:
    before = time.perf_counter()
    try:
        yield
    finally:
        wall[part] = wall.get(part, 0.0) + time.perf_counter() - before
