"""What an update spends its time in: the top kernels, eager, captured and compiled."""

from __future__ import annotations

from typing import Any

from torch._C._autograd import DeviceType
from torch.profiler import profile, supported_activities

from engines.memory import synchronize
from engines.ours import OurTraining, load_base
from engines.workload import Workload, random_plan
from gpu.card import CUDA, DTYPES, require_card
from gpu.processes import Place
from gpu.records import Report
from gpu.stages.updates import MODES

FULL_BASE, DRY_BASE = "scratch:gpt-neo-125m", "scratch:tiny-gpt-neo"
TOP = 15
_UPDATES, _WARMUP = 4, 3


def run(report: Report, place: Place) -> None:
    """See the module."""
    require_card()
    reference, length, slots = (DRY_BASE, 64, 2) if place.dry_run else (FULL_BASE, 256, 8)
    base, base_bytes = load_base(reference, CUDA, DTYPES["bfloat16"])
    work = Workload(
        plan=random_plan(
            steps=_WARMUP + _UPDATES,
            rows_per_step=16,
            max_length=length,
            supervised=length // 4,
            vocabulary=base.vocabulary,
        ),
        rows=16,
        device=CUDA,
        dtype=DTYPES["bfloat16"],
    )
    for mode, options in MODES.items():
        with report.part(f"{reference} lora {slots} slots {mode}") as found:
            training = OurTraining(base, base_bytes, "lora", slots, work, options)
            try:
                for index in range(_WARMUP):
                    training.update(index)
                synchronize(CUDA)
                with profile(activities=supported_activities()) as seen:
                    for index in range(_WARMUP, _WARMUP + _UPDATES):
                        training.update(index)
                    synchronize(CUDA)
            finally:
                training.close()
            found["kernels"] = kernels = top_kernels(seen.key_averages())
            total = sum(kernel["microseconds"] for kernel in kernels)
            found["says"] = f"{total / 1e3 / _UPDATES:.2f} ms of kernels per update: " + ", ".join(
                f"{kernel['name'][:40]} {kernel['share']:.0%}" for kernel in kernels[:4]
            )


def top_kernels(events: Any) -> list[dict[str, Any]]:
    """The kernels that take most of a card's time, or where there are none, of the host's.

    Args:
        events: of ``key_averages``.

    Returns:
        ``name``, ``calls``, ``microseconds`` and ``share`` of the sum over all.
    """
    on_card = [event for event in events if event.device_type == DeviceType.CUDA]
    if on_card:
        spent = [(event, float(event.self_device_time_total)) for event in on_card]
    else:
        spent = [(event, float(event.self_cpu_time_total)) for event in events]
    total = sum(microseconds for _, microseconds in spent) or 1.0
    spent.sort(key=lambda pair: -pair[1])
    return [
        {
            "name": event.key[:120],
            "calls": event.count,
            "microseconds": round(microseconds, 1),
            "share": round(microseconds / total, 4),
        }
        for event, microseconds in spent[:TOP]
    ]
