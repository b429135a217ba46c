"""What a method costs alone: seconds an epoch, peak memory, generation speed.

Each method is measured in processes of its own, after start-up: the base is loaded, and the method
is seated in a cohort of one. In one process a sample of the study's own steps and validation
batches is timed (``study/timing.py``); in another its largest step is run for its memory
(``study/rehearsal.py``).

``python -m bakeoff.measure.costs JOB.json`` serves all methods and forks for each figure, where
the system can, so that imports are paid once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bakeoff.base.weights.sources import TINY_REFERENCE
from bakeoff.engine.backends.memory import is_out_of_memory, release_memory
from bakeoff.execution.archive import Archive
from bakeoff.execution.progress import ProgressView
from bakeoff.measure.dry_run import rehearse
from bakeoff.measure.timing import Budget, time_epoch, time_generation, token_latency
from bakeoff.memory import (
    PeakMemory,
    give_back_at_once,
    keep_freed,
    settled_bytes,
)
from bakeoff.runs.folder import disk_errors
from bakeoff.study.options import Study, study_from_mapping
from bakeoff.study.results import Findings
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
            wanted, measured = study.options.protocol.micro_batch_size, outcome["micro_batch_size"]
            if measured < wanted:
                archive.keep_note(
                    f"the footprint of {name} was measured with a micro-batch of {measured} rows: "
                    f"memory ran out with the study's {wanted}"
                )
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
        release_memory()  # another process needs it more
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bakeoff.measure.costs", str(job)],
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


def measure_time(study: Study, name: str, device: str) -> dict[str, Any]:
    """Times one method in this process.

    Returns:
        ``epoch_seconds`` as ``timing.time_epoch`` gives them, ``generation_rows_per_second``,
        ``token_latency_seconds`` and ``micro_batch_size``, the study's or what memory has halved.
    """
    keep_freed()  # as the command line does
    bench = open_workbench(study, device)
    method = bench.methods[name][""]
    rows = study.options.protocol.micro_batch_size
    while True:
        try:
            return {
                "epoch_seconds": time_epoch(bench, method, rows, Budget()),
                "generation_rows_per_second": time_generation(bench, method, GENERATION_ROWS),
                "token_latency_seconds": token_latency(bench, method),
                "micro_batch_size": rows,
            }
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or rows == 1:
                raise
        release_memory()
        rows //= 2


def measure_memory(study: Study, name: str, device: str, rows: int) -> dict[str, Any]:
    """Measures the memory of one method in this process, which has loaded no base before.

    Returns:
        ``peak_memory_bytes`` of one update and one validation at the study's largest shapes.
    """
    # From the beginning: what was freed in the heap would be filled again, and not be seen.
    give_back_at_once()
    # What any base needs once, such as the libraries' code, is no method's cost.
    small = replace(study.options, base=TINY_REFERENCE, revision=None)
    load_base(replace(study, options=small), device)
    before = settled_bytes()
    bench = open_workbench(study, device)
    loaded = max(0, settled_bytes() - before)
    method = bench.methods[name][""]
    # Once to warm up what is kept between steps, such as kernels made for a shape.
    rehearse(bench, method, rows)
    release_memory()
    with PeakMemory(bench.base.device.type) as peak:
        rehearse(bench, method, rows)
    # On a GPU the allocator's peak holds the base already.
    on_gpu = bench.base.device.type == "cuda"
    return {"peak_memory_bytes": peak.bytes if on_gpu else peak.bytes + loaded}


def _serve(job_file: str) -> None:
    """The measuring process: forks for each figure, so that each starts from the same memory."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    study, device = study_from_mapping(job["study"], folder=Path.cwd()), job["device"]
    for name in job["names"]:
        outcome = apart(partial(measure_time, study, name, device))
        if "error" not in outcome:
            rows = outcome["micro_batch_size"]
            outcome |= apart(partial(measure_memory, study, name, device, rows))
        print(name, json.dumps(outcome), flush=True)


def apart(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``work`` gives in a fork of this process; here, where the system cannot fork.

    Returns:
        Its outcome, or ``error`` in words.
    """
    if not hasattr(os, "fork"):
        return _outcome(work)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w", encoding="utf-8") as pipe:
            json.dump(_outcome(work), pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if not text:
        return {"error": f"the process ended with status {status}, most likely out of memory"}
    found: dict[str, Any] = json.loads(text)
    return found


def _outcome(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except Exception as error:  # whatever it is, the study goes on without this figure
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    _serve(sys.argv[1])
