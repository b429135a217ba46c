"""What a method costs alone: seconds an epoch, peak memory, generation speed.

Each method is measured in a process of its own, after start-up: the base is loaded, the method is
seated in a cohort of one, a sample of the study's own steps and validation batches is run and timed
(``study/timing.py``), and then its largest step is run for its memory (``study/rehearsal.py``).

``python -m bakeoff.study.footprint JOB.json`` is that process; where the system can fork, one such
process serves all methods and forks for each, so that imports are paid once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from bakeoff.engine.memory import is_out_of_memory, release_memory
from bakeoff.methods.contract import Method
from bakeoff.metrics.memory import PeakMemory, give_back_at_once, settled_bytes
from bakeoff.model.sources import TINY_REFERENCE
from bakeoff.study.archive import Archive
from bakeoff.study.options import Study, study_from_mapping
from bakeoff.study.progress import ProgressView
from bakeoff.study.rehearsal import rehearse
from bakeoff.study.results import Findings
from bakeoff.study.store import disk_errors
from bakeoff.study.timing import Budget, time_epoch, time_generation, token_latency
from bakeoff.study.workbench import Workbench, load_base, open_workbench

GENERATION_ROWS = 8


def measure_footprints(
    bench: Workbench, findings: Findings, archive: Archive, view: ProgressView
) -> None:
    """Measures every method that has none yet; one that fails is noted and has no figures."""
    missing = [e.name for e in bench.study.entries if e.name not in findings.footprints]
    study = _as_chosen(bench, findings)
    if not missing:
        return
    title = "footprints"
    view.count(title, 0, len(missing))
    outcomes = _in_processes(study, bench.base.device.type, missing)
    for done, (name, outcome) in enumerate(outcomes, start=1):
        if "error" in outcome:
            archive.keep_note(f"the footprint of {name} could not be measured: {outcome['error']}")
        else:
            archive.keep_footprint(name, outcome)
        view.count(title, done, len(missing))
    view.clear()


def _as_chosen(bench: Workbench, findings: Findings) -> Study:
    """The study without its search: every method with the options that were chosen."""
    if bench.study.options.search is None:
        return bench.study
    entries = []
    for entry in bench.study.entries:
        search = findings.schedule.methods[entry.name]
        shown = search.chosen or search.best() or search.searched[0]
        variant = next(v for v in entry.variants if v.label == shown.variant)
        entries.append(
            replace(
                entry,
                rates=None,
                learning_rate=shown.learning_rate,
                variants=(replace(variant, label="", searched={}),),
            )
        )
    options = replace(bench.study.options, search=None)
    return replace(bench.study, options=options, entries=tuple(entries))


def _in_processes(
    study: Study, device: str, names: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Runs the measuring process and yields each method's outcome as it comes."""
    with ExitStack() as stack:
        with disk_errors(Path(tempfile.gettempdir())):
            job = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "job.json"
            content = {"study": study.resolved, "device": device, "names": list(names)}
            job.write_text(json.dumps(content), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bakeoff.study.footprint", str(job)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            cwd=study.root,
            text=True,
        )
        try:
            assert process.stdout is not None
            pending = list(names)
            for line in process.stdout:
                name, _, outcome = line.partition(" ")
                if name in pending:
                    pending.remove(name)
                    yield name, json.loads(outcome)
            for name in pending:
                yield name, {"error": "the measuring process ended early"}
        finally:
            process.kill()
            process.wait()


def measure(study: Study, name: str, device: str) -> dict[str, Any]:
    """Measures one method in this process, which has loaded no base before.

    Returns:
        ``epoch_seconds`` as ``timing.time_epoch`` gives them, ``generation_rows_per_second``,
        ``token_latency_seconds``, ``micro_batch_size`` and ``peak_memory_bytes``.
    """
    # What any base needs once, such as the libraries' code, is no method's cost.
    small = replace(study.options, base=TINY_REFERENCE, revision=None)
    load_base(replace(study, options=small), device)
    before = settled_bytes()
    bench = open_workbench(study, device)
    loaded = max(0, settled_bytes() - before)
    method = bench.methods[name][""]
    rows = study.options.protocol.micro_batch_size
    while True:
        try:
            figures = _figures(bench, method, rows)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or rows == 1:
                raise
        release_memory()
        rows //= 2
    if bench.base.device.type != "cuda":
        # On a GPU the allocator's peak holds the base already.
        figures["peak_memory_bytes"] += loaded
    return figures


def _figures(bench: Workbench, method: Method, rows: int) -> dict[str, Any]:
    return {
        "epoch_seconds": time_epoch(bench, method, rows, Budget()),
        "generation_rows_per_second": time_generation(bench, method, GENERATION_ROWS),
        "token_latency_seconds": token_latency(bench, method),
        "micro_batch_size": rows,
        "peak_memory_bytes": _peak_bytes(bench, method, rows),
    }


def _peak_bytes(bench: Workbench, method: Method, rows: int) -> int:
    """The peak of one update and one validation at the study's largest shapes.

    It comes last: the timing has warmed up all that is kept between steps, such as the kernels
    that the libraries generate for a shape, and from here on memory is given back at once, which
    is exact and slow.
    """
    release_memory()
    give_back_at_once()
    with PeakMemory(bench.base.device.type) as peak:
        rehearse(bench, method, rows)
    return peak.bytes


def _serve(job_file: str) -> None:
    """The measuring process: one fork a method, so that each starts from the same memory."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    study = study_from_mapping(job["study"], folder=Path.cwd())
    for name in job["names"]:
        answer = Path(job_file).with_name(f"{name}.json")
        if hasattr(os, "fork"):
            child = os.fork()
            if child == 0:
                _answer(study, name, job["device"], answer)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            if not answer.exists():
                reason = f"the process ended with status {status}, most likely out of memory"
                answer.write_text(json.dumps({"error": reason}), encoding="utf-8")
        else:
            _answer(study, name, job["device"], answer)
        print(name, answer.read_text(encoding="utf-8"), flush=True)


def _answer(study: Study, name: str, device: str, answer: Path) -> None:
    try:
        outcome = measure(study, name, device)
    except Exception as error:  # whatever it is, the study goes on without this figure
        outcome = {"error": f"{type(error).__name__}: {error}"}
    beside = answer.with_suffix(".part")
    beside.write_text(json.dumps(outcome), encoding="utf-8")
    beside.rename(answer)


if __name__ == "__main__":
    _serve(sys.argv[1])
