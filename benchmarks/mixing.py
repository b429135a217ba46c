"""What it costs that different methods share one cohort: processor time of one update.

    python benchmarks/mixing.py [--base tiny] [--tokens 256] [--methods lora,dora,...]

Each method alone in a cohort of one, then all of them together: each acting on the slots of its own
kind, as on a CPU, and on all slots, as compiled and captured passes need it. Then eight slots of
one method. Processor time of one thread, the best of some updates, so that other work on the
machine hardly counts.
"""

from __future__ import annotations

import argparse
import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.base.weights.sources import load_source
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.memory import keep_freed
from bakeoff.methods.contract import Method
from bakeoff.methods.registry import method_type
from bakeoff.study.opening import cache_folder

ROWS, SUPERVISED = 4, 16
ALL_LINEAR = {"rank": 8, "target_modules": "all-linear"}
ENTRIES: list[tuple[str, dict[str, Any]]] = [
    ("lora", ALL_LINEAR),
    ("dora", ALL_LINEAR),
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


def batch(
    num_slots: int, tokens: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random rows whose last tokens are supervised, as ``Cohort.losses`` takes them."""
    ids_KBT = torch.randint(2000, (num_slots, ROWS, tokens), generator=generator)
    last_N = torch.arange(tokens - SUPERVISED - 1, tokens - 1)
    source_N = (torch.arange(ROWS)[:, None] * tokens + last_N).flatten()
    targets_KN = torch.randint(2000, (num_slots, len(source_N)), generator=generator)
    return (
        ids_KBT,
        source_N.expand(num_slots, -1),
        targets_KN,
        torch.ones_like(targets_KN, dtype=torch.bool),
    )


def seconds(
    base: Base, methods: list[Method], tokens: int, repeats: int, *, everywhere: bool = False
) -> float:
    """Processor seconds of one update of a cohort with one slot for each of the methods.

    Args:
        everywhere: whether each kind acts on all slots.
    """
    generator = torch.Generator().manual_seed(0)
    best = float("inf")
    with Cohort(base, methods, len(methods), ProtocolOptions()) as cohort:
        for slot, method in enumerate(methods):
            cohort.seat(slot, method, method.initial(generator))
        if everywhere:
            cohort._acting_by_kind = lambda rows: nullcontext()  # type: ignore[method-assign]
        assert cohort.optimizer is not None
        rates_K = torch.full((len(methods),), 1e-3, dtype=torch.float64)
        inputs = batch(len(methods), tokens, generator)
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
    parser.add_argument("--base", default="tiny")
    parser.add_argument("--tokens", type=int, default=256, help="of a row")
    parser.add_argument("--methods", help="kinds, by commas; each of their variants takes part")
    parser.add_argument("--dtype", default="float32", choices=["bfloat16", "float32"])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed()  # as the command line does
    source = load_source(arguments.base, root=Path.cwd(), cache_dir=cache_folder())
    base = Base(source, device=torch.device("cpu"), dtype=getattr(torch, arguments.dtype))
    methods = []
    kinds = arguments.methods.split(",") if arguments.methods else None
    entries = [entry for entry in ENTRIES if kinds is None or entry[0] in kinds]
    for kind, options in entries:
        chosen = method_type(kind, where="kind")
        methods.append(chosen(chosen.options_type(**options), base, where=f"methods.{kind}"))
    size = (arguments.tokens, arguments.repeats)
    alone = [seconds(base, [method], *size) for method in methods]
    for (kind, options), spent in zip(entries, alone, strict=True):
        print(f"{kind} {options or ''}: {spent * 1e3:.0f} ms")
    print(f"{len(methods)} alone, one after the other: {sum(alone) * 1e3:.0f} ms")
    print(f"{len(methods)} in one cohort: {seconds(base, methods, *size) * 1e3:.0f} ms")
    everywhere = seconds(base, methods, *size, everywhere=True)
    print(f"{len(methods)} in one cohort, acting on all slots: {everywhere * 1e3:.0f} ms")
    for kind in sorted({entry[0] for entry in entries} & {"lora", "prefix"}):
        index = [entry[0] for entry in entries].index(kind)
        eight = seconds(base, [methods[index]] * 8, *size)
        print(f"8 of {kind}: {8 * alone[index] * 1e3:.0f} ms alone, {eight * 1e3:.0f} ms together")


if __name__ == "__main__":
    main()
