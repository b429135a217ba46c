"""Small studies in forked processes to which something happens, and what must come of it.

``test_faults.py`` and ``soak.py`` start ``python -m tests.faults.parts``, which imports everything
once, computes nothing, and then forks a process for every run. So each run has its memory, signals
and limits to itself, a process group of its own as a shell would give it, and starts at once.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import math
import operator
import os
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load

import bakeoff.report
from bakeoff.cli.main import main
from bakeoff.config import loading
from bakeoff.execution.archive import VARIANT_KEY
from bakeoff.metrics import background
from bakeoff.runs import reading
from bakeoff.runs.reading import from_json, read_json
from bakeoff.runs.records import CostRecord
from bakeoff.study import costs
from tests.faults.studies import write_studies
from tests.studies import ScorerHere, measured_here, without_times

_SAYS_OTHERWISE = ("notes", "environment")
WRONG = ("Traceback (most recent call last)", "Logging error", "a fault of bakeoff's own")
"""What no run may print, whatever happens to it."""
_ROUNDING = 1e-4
"""How far numbers may lie apart, relative and absolute, where passes were made smaller."""
_ZIP = b"PK"
"""What an ``.npz`` begins with."""


_COSTS: dict[str, CostRecord] = {}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended: its exit code, or minus the signal, and all that it printed."""

    code: int
    out: str

    @property
    def words(self) -> str:
        """What it printed in one line."""
        return " ".join(self.out.split())


def set_up(place: Path) -> None:
    """Prepares this process, and everything forked from it, for runs in a folder."""
    torch.set_num_threads(1)
    os.environ["BAKEOFF_CACHE"] = str(place / "cache")
    os.environ["HF_HUB_CACHE"] = str(place / "hub")
    os.environ["OMP_WAIT_POLICY"] = "passive"
    # These take seconds to start and are tested elsewhere.
    setattr(background, "RougeScorer", ScorerHere)  # noqa: B010
    setattr(costs, "measure_costs", measured_here)  # noqa: B010
    setattr(bakeoff.report, "write_report", lambda folder, *_: folder / "report.html")  # noqa: B010
    write_studies(place)
    os.chdir(place)


def known_costs(costs_file: Path) -> None:
    """From here on methods cost what a run has measured, as measuring is tested elsewhere."""
    found = read_json(costs_file)
    for name, content in found.items() if isinstance(found, dict) else ():
        content.pop(VARIANT_KEY, None)
        _COSTS[name] = from_json(CostRecord, content, where=name)

    def replayed(
        command: Sequence[str], job: Mapping[str, Any], names: Sequence[str], folder: Path
    ) -> Iterator[tuple[str, CostRecord]]:
        return ((name, _COSTS[name]) for name in names)

    setattr(costs, "measure_costs", replayed)  # noqa: B010


def warm_up(modules: Sequence[str], records: Sequence[str]) -> None:
    """Imports what a run imports on its way, and makes what reads its records, once for all runs.

    Args:
        modules: names. records: classes, as ``loading:MODULE:NAME`` or ``reading:MODULE:NAME``.
    """
    for name in modules:
        if not name.startswith(("__", "tests")):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    for record in records:
        room, module, name = record.split(":")
        with contextlib.suppress(Exception):
            found = getattr(importlib.import_module(module), name)
            (loading if room == "loading" else reading).adapter_of(found)
    gc.collect()
    gc.freeze()  # so that no collection in a run copies the pages of what it shares


def warmed() -> dict[str, list[str]]:
    """What this process has imported and made; see ``warm_up``."""
    made = {"loading": loading._ADAPTERS, "reading": reading._ADAPTERS}
    records = [
        f"{room}:{cls.__module__}:{cls.__qualname__}"
        for room, adapters in made.items()
        for cls in adapters
        if isinstance(cls, type)
    ]
    return {"modules": list(sys.modules), "records": records}


def run(
    folder: Path,
    before: Callable[[], None] = lambda: None,
    *options: str,
    study: str = "plain",
) -> Ended:
    """Runs a study in a folder in a process of its own.

    Args:
        before: called in that process first. options: further ones of ``bakeoff run``.
        study: which of ``STUDIES``.
    """
    said = folder.parent / f"{folder.name}.said"
    pid = os.fork()
    if pid == 0:
        _become_run(folder, said, before, (f"{study}.yaml", "--out", str(folder), *options))
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return Ended(code=code, out=said.read_text(encoding="utf-8", errors="replace"))


def _become_run(
    folder: Path, said: Path, before: Callable[[], None], arguments: tuple[str, ...]
) -> None:
    """Never returns."""
    code = 99
    try:
        os.setpgid(0, 0)
        # A campaign behind nohup, or in the background of a script, is deaf to them.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.argv = ["bakeoff", "run", *arguments]
        before()
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def numbers(folder: Path, *, without: str = "") -> dict[str, Any]:
    """All that a run found out, to the bit: results without times and notes, and its files.

    Args:
        folder: the run's. without: the name of a file that is left out.
    """
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = {
        "results": without_times({k: v for k, v in results.items() if k not in _SAYS_OTHERWISE})
    }
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if file.name == without:
            continue
        if file.is_file() and name.split("/")[0] in ("candidates", "baselines"):
            if file.suffix in (".safetensors", ".npz"):
                found[name] = file.read_bytes()
            elif file.name == "predictions.jsonl":
                found[name] = [json.loads(line) for line in file.read_text().splitlines()]
    return found


def fault_of(
    ended: Ended,
    folder: Path,
    whole: Mapping[str, Any],
    *,
    without: str = "",
    rounds: bool = False,
) -> str | None:
    """What is wrong with a run that was resumed: nothing where it has all numbers.

    Args:
        ended: how. folder: its. whole: the right numbers.
        without: the name of a file that may be gone, as the run says.
        rounds: whether numbers may differ by rounding, as memory made passes smaller.
    """
    if any(words in ended.out for words in WRONG):
        return f"printed a traceback: {ended.out[-1500:]}"
    if ended.code != 0:
        return f"ended with {ended.code}: {ended.words[-600:]}"
    found = numbers(folder, without=without)
    if found["results"]["status"] != "complete":
        return f"is {found['results']['status']}: {ended.words[-600:]}"
    right = {k: v for k, v in whole.items() if not without or not k.endswith(f"/{without}")}
    if rounds:
        return _difference(_without_hashes(found), _without_hashes(right), _is_close)
    return _difference(found, right, operator.eq)


def _without_hashes(found: Any) -> Any:
    """Contents without what memory changes: hashes, sizes, slots and rows of a pass."""
    if isinstance(found, list):
        return [_without_hashes(one) for one in found]
    if not isinstance(found, dict):
        return found
    return {
        re.sub(r"\blast-[0-9a-f]+\.", "last.", name): _without_hashes(value)
        for name, value in found.items()
        if name not in ("sha256", "bytes", "made_with")
    }


def _is_close(one: object, other: object) -> bool:
    """Whether two numbers, or the tensors of two files, differ by rounding alone."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    if isinstance(one, bytes) and isinstance(other, bytes):
        arrays, others = _arrays(one), _arrays(other)
        return arrays.keys() == others.keys() and all(
            np.allclose(arrays[name], others[name], rtol=_ROUNDING, atol=_ROUNDING)
            for name in arrays
        )
    return one == other


def _arrays(content: bytes) -> dict[str, Any]:
    """What a ``.npz`` or a ``.safetensors`` holds, by name."""
    if content.startswith(_ZIP):
        with np.load(io.BytesIO(content)) as found:
            return dict(found)
    return dict(load(content))


def _difference(
    found: Any, right: Any, equal: Callable[[Any, Any], bool], where: str = ""
) -> str | None:
    """The first place where two contents differ."""
    if found == right:
        return None
    if isinstance(found, dict) and isinstance(right, dict):
        keys = sorted({*found, *right})
        pairs = [(key, found.get(key), right.get(key)) for key in keys]
    elif isinstance(found, list) and isinstance(right, list) and len(found) == len(right):
        pairs = [(n, *both) for n, both in enumerate(zip(found, right, strict=True))]
    elif equal(found, right):
        return None
    else:
        pairs = []
    for key, one, other in pairs:
        if said := _difference(one, other, equal, f"{where}/{key}"):
            return said
    if pairs:
        return None
    return f"other numbers: {where}: {found!r:.200}, not {right!r:.200}"


def copied(source: Path, target: Path) -> Path:
    """A copy of a run's folder."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    return target
