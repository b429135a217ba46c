"""What claims measure besides their studies, kept beside these by the adapters that were read."""

from __future__ import annotations

import hashlib
import importlib
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bakeoff.claims.contract import Floats
from bakeoff.claims.estimates import Evidence
from bakeoff.claims.measuring import Context
from bakeoff.claims.planning import PlannedStudy
from bakeoff.claims.suite import BUDGET_ENDED, INTERRUPTED, Failures, Suite
from bakeoff.errors import BaseModelError
from bakeoff.files import disk_errors, write_bytes
from bakeoff.formatting import counted
from bakeoff.runs.reading import read_json, read_results
from bakeoff.version import __version__

_MEASURED: Final = "measured"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a claim measured besides its studies.

    Attributes:
        values: by condition. seconds: that it took. on: which processor or card; empty in files
            of earlier versions. is_earlier: whether another version of bakeoff made it.
    """

    values: Mapping[str, Floats]
    seconds: float
    on: str = ""
    is_earlier: bool = False


def try_to_measure(
    suite: Suite, name: str, measure: str, studies: Sequence[PlannedStudy], failures: Failures
) -> Measurement | Evidence:
    """What a claim's own measurement gives, or why it gives nothing."""
    try:
        kept = measured_before(suite, name, studies)
        if kept is not None:
            return kept
        if name in failures.claims:
            return Evidence(unmeasured=f"Measuring failed: {failures.claims[name]}", is_fault=True)
        if failures.is_stopped(suite):
            return Evidence(unmeasured=f"Measuring: {INTERRUPTED}")
        if suite.asked is not None and name not in suite.asked:
            return Evidence(unmeasured="It was not measured; a call that names it goes on.")
        if failures.is_late(suite):
            return Evidence(unmeasured=f"Measuring: {BUDGET_ENDED}")
        with suite.interruptible():
            return _measured(suite, name, measure, studies)
    except KeyboardInterrupt as error:
        failures.stopped = error
        return Evidence(unmeasured=f"Measuring: {INTERRUPTED}")
    except BaseModelError as error:
        return Evidence(untestable=str(error))
    except Exception as error:  # also of a claim of somebody's own
        return Evidence(unmeasured=f"Measuring failed: {failures.keep(name, error)}", is_fault=True)


def _measured(
    suite: Suite, name: str, measure: str, studies: Sequence[PlannedStudy]
) -> Measurement:
    """Measures, and keeps what was found for later calls."""
    suite.say(f"measuring {name}")
    module, _, function = measure.partition(":")
    context = Context(
        facts=suite.main,
        device=suite.device,
        size=suite.size,
        place=suite.place_of(studies[0]) if studies else None,
        methods=_methods_of(name, studies),
    )
    started = time.monotonic()
    values = getattr(importlib.import_module(module), function)(context)
    seconds = time.monotonic() - started
    found = Measurement(values=values, seconds=seconds, on=_machine(suite.device))
    content = {
        "key": _key_of(suite, name, studies),
        "seconds": seconds,
        "on": found.on,
        "values": {n: v.tolist() for n, v in values.items()},
    }
    file = suite.out / _MEASURED / f"{name}.json"
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, (json.dumps(content) + "\n").encode())
    return found


def measured_before(suite: Suite, name: str, studies: Sequence[PlannedStudy]) -> Measurement | None:
    """What an earlier call measured of the same; None where there is nothing.

    What a call does not run it takes as an earlier one measured it, on whatever device and by
    whatever version.
    """
    file = suite.out / _MEASURED / f"{name}.json"
    kept = read_json(file) if file.exists() else None
    key = _key_of(suite, name, studies)
    if not isinstance(kept, dict) or not isinstance(kept.get("key"), dict):
        return None
    known = kept["key"]
    if suite.asked is not None and name not in suite.asked:
        key = {part: key[part] for part in ("size", "adapters")}
        # Once the base's name was kept and not its weights' hash.
        if known.get("base") not in (suite.main.fingerprint, suite.main.reference):
            return None
    if {part: known.get(part) for part in key} != key:
        return None
    return Measurement(
        values={n: np.array(v) for n, v in kept["values"].items()},
        seconds=float(kept["seconds"]),
        on=str(kept.get("on", "")),
        is_earlier=known.get("bakeoff") != __version__ or "on" not in kept,
    )


def _key_of(suite: Suite, name: str, studies: Sequence[PlannedStudy]) -> dict[str, Any]:
    """What a measurement depends on: the adapters that it reads, not when their study ended."""
    return {
        "bakeoff": __version__,
        "base": suite.main.fingerprint,
        "size": suite.size.name,
        "adapters": _hash_of_adapters(suite, name, studies),
        "device": suite.device,
    }


def _machine(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    capability = torch.backends.cpu.get_cpu_capability()
    threads = counted(torch.get_num_threads(), "thread", "threads")
    return f"{platform.machine()} ({capability}), {threads}"


def _hash_of_adapters(suite: Suite, name: str, studies: Sequence[PlannedStudy]) -> str | None:
    """SHA-256 of the names and hashes of the tested runs' adapters; None where none are read."""
    if not studies:
        return None
    results = read_results(suite.place_of(studies[0]))
    lines = []
    for method in sorted(set(_methods_of(name, studies).values())):
        record = results.methods[method]
        for run in record.candidates:
            one = results.candidates[run]
            if one.seed in record.seeds:
                lines += [f"{run} {p} {f.sha256}" for p, f in one.files.items() if _is_adapter(p)]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _is_adapter(path: str) -> bool:
    return path.startswith("adapter/")


def _methods_of(name: str, studies: Sequence[PlannedStudy]) -> Mapping[str, str]:
    """By entrant, what the study whose adapters a claim measures calls it."""
    return next(
        (found for study in studies for (of, _), found in study.methods.items() if of == name), {}
    )
