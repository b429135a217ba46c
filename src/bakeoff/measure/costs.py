"""What a method costs alone: seconds per epoch, peak memory, generation speed.

Every figure is of the method's trained adapter, seated in a cohort of one, in a process that has
loaded nothing before. Each method's memory is measured in a process of its own, once, by its
largest step (``measure/dry_run.py``). All methods are timed in one process, in turns
(``measure/rounds.py``), beside the same method in a plain loop of Transformers and PEFT.

One process serves all and forks for each of these, where the system can, so that imports are paid
once. What it is started with (``study/measuring.py``) knows how a study is opened.
"""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from bakeoff.base.model import Base
from bakeoff.children import die_with_parent, dying_with_parent
from bakeoff.engine.backends.memory import is_out_of_memory, release_memory
from bakeoff.engine.compiling import compiled_or_written
from bakeoff.engine.workbench import Workbench
from bakeoff.files import disk_errors
from bakeoff.measure.dry_run import dry_run
from bakeoff.measure.rounds import GENERATION_ROWS as GENERATION_ROWS
from bakeoff.measure.rounds import SAMPLE, time_methods
from bakeoff.measure.timing import Budget
from bakeoff.memory import (
    PeakMemory,
    give_back_at_once,
    keep_freed,
    settled_bytes,
)
from bakeoff.runs.reading import from_json
from bakeoff.runs.records import CostRecord

_ASKS_THE_DRIVER = "PYTORCH_NVML_BASED_CUDA_CHECK"
"""Has PyTorch ask the driver's library whether a GPU is there, without opening it: a process that
has opened one cannot fork into others that use it."""
_ERROR_LINES = 40
"""Of what a measuring process wrote before it died."""


@dataclass(frozen=True, kw_only=True)
class CostFailure:
    """A method that could not be measured.

    Attributes:
        reason: in one line. traceback: the whole, as far as it is known.
    """

    reason: str
    traceback: str = ""


@dataclass(frozen=True, kw_only=True)
class Opener:
    """How the measuring process opens the study.

    Attributes:
        bench: loads bases and data. alone: the same with no other base than that of one method;
            None where there is but one.
        small: loads a small base, for what any base needs once.
        plain: loads the base as Transformers has it; None measures no plain loop.
        adapters: folders of trained adapters, by method.
    """

    bench: Callable[[], Workbench]
    small: Callable[[], object]
    alone: Callable[[str], Workbench] | None = None
    plain: Callable[[], PreTrainedModel] | None = None
    adapters: Mapping[str, Path] = field(default_factory=dict)


def measure_costs(
    command: Sequence[str], job: Mapping[str, Any], names: Sequence[str], folder: Path
) -> Iterator[tuple[str, CostRecord | CostFailure]]:
    """Runs the measuring process and yields each method's outcome as it comes.

    Args:
        command: starts the process; a job's file is added to it.
        job: what the process needs to open the study, as plain values.
        names: of the methods.
        folder: the process's working directory.
    """
    with ExitStack() as stack:
        with disk_errors(Path(tempfile.gettempdir())):
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            job_file = place / "job.json"
            job_file.write_text(json.dumps({**job, "names": list(names)}), encoding="utf-8")
            errors = stack.enter_context((place / "stderr").open("w+b"))
        release_memory()  # another process needs it more
        process = subprocess.Popen(
            dying_with_parent([*command, str(job_file)]),
            env={_ASKS_THE_DRIVER: "1"}
            | os.environ
            | {"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            text=True,
        )
        try:
            assert process.stdout is not None
            pending = list(names)
            for line in process.stdout:
                name, _, outcome = line.partition(" ")
                if name in pending:
                    pending.remove(name)
                    yield name, _outcome(json.loads(outcome))
            if pending:
                code = process.wait()
                errors.seek(0)
                said = errors.read().decode("utf-8", "replace").splitlines()[-_ERROR_LINES:]
                last = f": {said[-1].strip()}" if said else ""
                reason = f"the measuring process ended early with status {code}{last}"
                for name in pending:
                    yield name, CostFailure(reason=reason, traceback="\n".join(said))
        finally:
            process.kill()
            process.wait()


def _outcome(content: dict[str, Any]) -> CostRecord | CostFailure:
    if "error" in content:
        return CostFailure(reason=content["error"], traceback=content.get("traceback", ""))
    return from_json(CostRecord, content, where="the measuring process")


def measure_time(bench: Workbench, name: str, budget: Budget = SAMPLE) -> dict[str, Any]:
    """Times one method in this process, once, with fresh tensors.

    Args:
        bench: the study. name: the method's. budget: seconds that the samples may take.

    Returns:
        The timed figures of a ``CostRecord``; ``micro_batch_size`` is the study's, or what memory
        has halved.

    Raises:
        RuntimeError: it failed; with the error's traceback.
    """
    found = time_methods(bench, [name], rounds=1, sample=budget)[name]
    if "error" in found:
        raise RuntimeError(found["traceback"])
    return found


def measure_memory(opener: Opener, name: str, rows: int | None = None) -> dict[str, Any]:
    """Measures the memory of one method in this process, which has loaded no base before.

    Args:
        opener: how the study is opened. name: the method's.
        rows: of a micro-batch; None takes the study's, halved while memory runs out.

    Returns:
        ``peak_memory_bytes`` of one update and one validation at the study's largest shapes, and
        the ``micro_batch_size`` that they had.
    """
    # From the beginning: what was freed in the heap would be filled again, and not be seen.
    give_back_at_once()
    # What any base needs once, such as the libraries' code, is not a method's cost.
    opener.small()
    before = settled_bytes()
    bench = opener.bench() if opener.alone is None else opener.alone(name)
    loaded = max(0, settled_bytes() - before)
    method = bench.methods[name][""]
    tensors = method.load(opener.adapters[name]) if name in opener.adapters else None
    most = bench.protocol.micro_batch_size if rows is None else rows

    def warm_up(found: Workbench) -> None:
        dry_run(found, method, most, tensors=tensors)

    while True:
        try:
            # Once to warm up what is kept between steps, such as kernels made for a shape.
            bench, _ = compiled_or_written(bench, warm_up)
            release_memory()
            with PeakMemory(str(bench.base.device)) as peak:
                dry_run(bench, method, most, tensors=tensors)
            break
        except (RuntimeError, MemoryError) as error:
            if rows is not None or most == 1 or not is_out_of_memory(error):
                raise
        release_memory()
        most //= 2
    found = peak.bytes + _beside_peak(method.base, loaded)
    return {"peak_memory_bytes": found, "micro_batch_size": most}


def _beside_peak(base: Base, loaded: int) -> int:
    """Bytes that were there before what ``PeakMemory`` measured, and that it leaves out.

    Args:
        base: what a method is on. loaded: how far the process's own memory grew by loading it.
    """
    if base.device.type == "cuda":
        return 0  # the allocator's peak has all that is on the card
    # Weights that stay mapped are a file's pages and not the process's own: `loaded` has none of
    # them, and the warm-up has touched them all before the peak is measured.
    return max(loaded, base.held_bytes)


def serve(names: Sequence[str], opener: Opener, deadline: float = math.inf) -> None:
    """The measuring process: forks for each part, so that each starts from the same memory.

    Prints a line per method: its name and its figures, or its ``error``, as JSON.

    Args:
        names: of the methods. opener: how the study is opened.
        deadline: in seconds since the epoch, by when it should be done.
    """
    # What is imported stays; no fork's collection has to go through it, again and again.
    gc.collect()
    gc.freeze()
    memory = {name: apart(partial(measure_memory, opener, name)) for name in names}
    rows = {n: found["micro_batch_size"] for n, found in memory.items() if "error" not in found}

    def timed(chosen: Sequence[str]) -> dict[str, Any]:
        keep_freed()  # as the command line does
        return time_methods(
            opener.bench(),
            chosen,
            adapters=opener.adapters,
            plain_model=opener.plain,
            rows=rows,
            peaks={n: memory[n]["peak_memory_bytes"] for n in rows},
            seconds=deadline - time.time(),
        )

    times = apart(partial(timed, list(rows))) if rows else {}
    for name in names:
        if name not in rows:
            outcome = memory[name]
        elif "error" in times and name not in times:
            # The process died over one of them, so that each is timed alone.
            alone = apart(partial(timed, [name]))
            outcome = memory[name] | alone.get(name, alone)
        else:
            outcome = memory[name] | times[name]
        print(name, json.dumps(outcome), flush=True)


def apart(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``work`` gives in a fork of this process; here, where the system cannot fork.

    Returns:
        Its outcome, or ``error`` in words and ``traceback``.
    """
    if not hasattr(os, "fork"):
        return _guarded(work)
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            die_with_parent(parent)
            os.close(reading)
            with os.fdopen(writing, "w", encoding="utf-8") as pipe:
                json.dump(_guarded(work), pipe)
            code = 0
        finally:
            os._exit(code)  # whatever is raised: this copy of the parent must not go on as it would
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if status or not text:
        code = os.waitstatus_to_exitcode(status)
        why = "most likely out of memory" if code < 0 else "before it had sent its figures"
        return {"error": f"the process ended with code {code}, {why}"}
    found: dict[str, Any] = json.loads(text)
    return found


def _guarded(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except Exception as error:  # whatever it is, the study goes on without this figure
        reason = f"{type(error).__name__}: {error}"
        return {"error": reason, "traceback": traceback.format_exc()}
