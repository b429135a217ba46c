"""With what a study is run: versions, device, threads."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version

import torch
import transformers

from bakeoff.engine.workbench import Workbench
from bakeoff.runs.records import Environment, Provenance
from bakeoff.version import __version__

VERSIONED = ("bakeoff", "torch", "transformers", "peft")
"""What must be alike in all calls that one run is made by."""


def versions() -> dict[str, str]:
    """The versions that results depend on, by library."""
    # PEFT is imported where a method needs it: with what it imports it takes seconds.
    found = (__version__, torch.__version__, transformers.__version__, version("peft"))
    return dict(zip(VERSIONED, found, strict=True))


def device_name(device: torch.device) -> str:
    """The card's name, or ``cpu``."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def provenance_of(bench: Workbench) -> Provenance:
    """With what this process makes the records of a study."""
    found = versions()
    return Provenance(
        bakeoff=found["bakeoff"],
        torch=found["torch"],
        transformers=found["transformers"],
        peft=found["peft"],
        python=platform.python_version(),
        device=device_name(bench.base.device),
        precision=str(bench.base.compute_dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
    )


def environment_of(
    bench: Workbench, started: str, wall_seconds: Mapping[str, float]
) -> Environment:
    """Where a study ran, and when.

    Args:
        bench: the study's. started: as ``now`` writes it. wall_seconds: of each stage.
    """
    made_with = provenance_of(bench)
    return Environment(
        bakeoff=made_with.bakeoff,
        torch=made_with.torch,
        transformers=made_with.transformers,
        peft=made_with.peft,
        python=made_with.python,
        platform=platform.platform(),
        device=made_with.device or "cpu",
        processors=os.cpu_count(),
        threads=made_with.threads,
        precision=made_with.precision or "",
        base=bench.base.source.description,
        base_fingerprint=bench.base.source.fingerprint,
        seed_of_data=bench.data.seed,
        started=started,
        finished=now(),
        wall_seconds={stage: round(seconds, 3) for stage, seconds in wall_seconds.items()},
    )


def now() -> str:
    """The present time, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
