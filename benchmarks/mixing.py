"""What it costs that different methods share one cohort: processor time of one update on `tiny`.

    python benchmarks/mixing.py

Each method alone in a cohort of one, then all of them together, then eight slots of one method.
Processor time of one thread, the best of some updates, so that other work on the machine does not
count.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.base.weights.sources import load_source
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.methods.contract import Method
from bakeoff.methods.registry import method_type
from bakeoff.study.opening import cache_folder

ROWS, TOKENS, SUPERVISED = 4, 256, 56
ENTRIES: list[tuple[str, dict[str, Any]]] = [
    ("lora", {}),
    ("soft_prompt", {}),
    ("p_tuning", {}),
    ("prefix", {}),
    ("prefix", {"projection": True}),
    ("bottleneck", {}),
    ("bottleneck", {"variant": "houlsby"}),
    ("bottleneck", {"placement": "parallel", "reduction_factor": 2.0, "scale": 4.0}),
    ("ia3", {}),
    ("bitfit", {}),
    ("bitfit", {"norms": True}),
]


def batch(num_slots: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random rows whose last tokens are supervised, as ``Cohort.losses`` takes them."""
    ids_KBT = torch.randint(2000, (num_slots, ROWS, TOKENS), generator=generator)
    last_N = torch.arange(TOKENS - SUPERVISED - 1, TOKENS - 1)
    source_N = (torch.arange(ROWS)[:, None] * TOKENS + last_N).flatten()
    targets_KN = torch.randint(2000, (num_slots, len(source_N)), generator=generator)
    return (
        ids_KBT,
        source_N.expand(num_slots, -1),
        targets_KN,
        torch.ones_like(targets_KN, dtype=torch.bool),
    )


def seconds(base: Base, methods: list[Method], repeats: int) -> float:
    """Processor seconds of one update of a cohort with one slot for each of the methods."""
    generator = torch.Generator().manual_seed(0)
    best = float("inf")
    with Cohort(base, methods, len(methods), ProtocolOptions()) as cohort:
        for slot, method in enumerate(methods):
            cohort.seat(slot, method, method.initial(generator))
        assert cohort.optimizer is not None
        rates_K = torch.full((len(methods),), 1e-3, dtype=torch.float64)
        inputs = batch(len(methods), generator)
        for _ in range(repeats + 1):
            started = time.process_time()
            cohort.optimizer.zero_grad()
            sums_K, _ = cohort.losses(*inputs)
            sums_K.sum().backward()
            cohort.optimizer.step(rates_K, sums_K.detach())
            best = min(best, time.process_time() - started)
    return best


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    source = load_source("tiny", root=Path.cwd(), cache_dir=cache_folder())
    base = Base(source, device=torch.device("cpu"), dtype=getattr(torch, arguments.dtype))
    methods = []
    for kind, options in ENTRIES:
        chosen = method_type(kind, where="kind")
        methods.append(chosen(chosen.options_type(**options), base, where=f"methods.{kind}"))
    alone = [seconds(base, [method], arguments.repeats) for method in methods]
    for (kind, options), spent in zip(ENTRIES, alone, strict=True):
        print(f"{kind} {options or ''}: {spent * 1e3:.0f} ms")
    together = seconds(base, methods, arguments.repeats)
    print(f"{len(methods)} alone, one after the other: {sum(alone) * 1e3:.0f} ms")
    print(f"{len(methods)} in one cohort: {together * 1e3:.0f} ms")
    for kind in ("lora", "prefix"):
        index = [entry[0] for entry in ENTRIES].index(kind)
        eight = seconds(base, [methods[index]] * 8, arguments.repeats)
        print(f"8 of {kind}: {8 * alone[index] * 1e3:.0f} ms alone, {eight * 1e3:.0f} ms together")


if __name__ == "__main__":
    main()
