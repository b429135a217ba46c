"""What an update must cost on a card that is not here: operations, bytes, and the least time.

    python benchmarks/roofline.py --card H100
    python benchmarks/roofline.py --card T4 --precision float16 --method lora-all --slots 1 8

One update (``--rows`` x ``--length`` tokens, ``--supervised`` of each) is traced on tensors without
values, as the engine would run it on the card, without compiled layers and without our own kernels.
Each operation takes the longest of three: its arithmetic at 40 % of the card's peak, its bytes at
70 % of its bandwidth, and 8 microseconds to start it from Python, which a captured update does not
pay. What most of the time goes to is what bounds the update. Nothing of it is measured: no card's
time has been held against it.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bakeoff.base.meta_model import MetaBase
from bakeoff.base.model import Base
from bakeoff.engine.acceleration import accelerated
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import EngineOptions, ProtocolOptions
from bakeoff.engine.step import train_step
from bakeoff.measure.cards import (
    ARITHMETIC_EFFICIENCY,
    BANDWIDTH_EFFICIENCY,
    LAUNCH_SECONDS,
    Card,
    card_named,
)
from bakeoff.measure.tracing import Trace, fake_world, traced
from engines.ours import METHODS, load_source_of, method_of
from engines.workload import SEED, random_plan

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


class Bounds:
    """Seconds of a traced update by what bounds each operation."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.seconds: dict[str, float] = defaultdict(float)
        self.captured: dict[str, float] = defaultdict(float)

    def cost(self, flops: float, moved: float, dtype: torch.dtype) -> float:
        """One operation; see ``measure.tracing.Trace``."""
        peak = self.card.half if dtype.itemsize <= 2 else self.card.single
        parts = {
            "arithmetic": flops / (ARITHMETIC_EFFICIENCY * 1e12 * peak),
            "memory": moved / (BANDWIDTH_EFFICIENCY * 1e9 * self.card.bandwidth),
        }
        bound = max(parts, key=lambda name: parts[name])
        self.captured[bound] += parts[bound]
        if parts[bound] < LAUNCH_SECONDS:
            bound, parts = "starts", {"starts": LAUNCH_SECONDS}
        self.seconds[bound] += parts[bound]
        return parts[bound]

    def clear(self) -> None:
        """Starts over."""
        self.seconds.clear()
        self.captured.clear()


def update_of(
    source: Any, card: Card, dtype: torch.dtype, name: str, slots: int, given: argparse.Namespace
) -> dict[str, Any]:
    """One traced update."""
    real = Base(source, device=torch.device("cpu"), dtype=torch.float32)
    plan = random_plan(
        steps=1,
        rows_per_step=given.rows,
        max_length=given.length,
        supervised=given.supervised,
        vocabulary=real.vocabulary,
    )
    bounds = Bounds(card)
    with traced(fake_world(), gpu=card.profile()):
        base = MetaBase(real, dtype=dtype)
        method = method_of(name, base)
        trace = Trace((base.model, base.source.model), bounds.cost)
        cohort = Cohort(base, [method] * slots, slots, ProtocolOptions())
        for slot in range(slots):
            cohort.seat(slot, method, method.initial(torch.Generator().manual_seed(SEED)))
        rates = torch.full((slots,), 1e-3, dtype=torch.float64)
        step = plan.epoch(SEED, 0)[0]
        engine = EngineOptions(compile=False)
        with cohort, accelerated(cohort, given.length, engine) as graphs, trace:
            trace.begin()
            bounds.clear()
            train_step(
                cohort, TokenSource(base.device), plan, [step] * slots, rates, given.rows, graphs
            )
            work, peak = trace.work, trace.peak_bytes
    tokens = slots * given.rows * given.length
    eager, captured = sum(bounds.seconds.values()), sum(bounds.captured.values())
    bound = max(bounds.captured, key=lambda name: bounds.captured[name])
    return {
        "method": name,
        "slots": slots,
        "operations": work.operations,
        "gigabytes": work.bytes_moved / 1e9,
        "teraflop": sum(work.flops.values()) / 1e12,
        "float32_share": work.flops.get(torch.float32, 0.0) / sum(work.flops.values()),
        "peak_gigabytes": peak / 1e9,
        "eager_ms": 1e3 * eager,
        "captured_ms": 1e3 * captured,
        "captured_bound": bound,
        "captured_share": bounds.captured[bound] / captured,
        "tokens_per_second": tokens / captured,
    }


COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "method": lambda row: row["method"],
    "slots": lambda row: str(row["slots"]),
    "operations": lambda row: f"{row['operations']:,}",
    "GB moved": lambda row: f"{row['gigabytes']:.1f}",
    "TFLOP (in float32)": lambda row: f"{row['teraflop']:.2f} ({row['float32_share']:.0%})",
    "ms, each started": lambda row: f"{row['eager_ms']:.1f}",
    "ms, captured": lambda row: f"{row['captured_ms']:.1f}",
    "bound by": lambda row: f"{row['captured_bound']} ({row['captured_share']:.0%})",
    "tokens per second": lambda row: f"{row['tokens_per_second']:,.0f}",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table, and all of it as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--base", default="scratch:gpt-neo-125m")
    parser.add_argument("--card", default="H100")
    parser.add_argument("--precision", choices=DTYPES, default="bfloat16")
    parser.add_argument("--method", nargs="+", choices=METHODS, default=["lora", "lora-all"])
    parser.add_argument("--slots", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--supervised", type=int, default=64)
    given = parser.parse_args(arguments)
    card, source = card_named(given.card), load_source_of(given.base)
    rows = [
        update_of(source, card, DTYPES[given.precision], name, slots, given)
        for name in given.method
        for slots in ([1] if name == "full" else given.slots)
    ]
    print(f"{given.base}, {card.name}, {given.precision}: {given.rows} x {given.length} tokens")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for row in rows:
        print(f"| {' | '.join(shown(row) for shown in COLUMNS.values())} |")
    print(json.dumps({"base": given.base, "card": card.name, "updates": rows}))


if __name__ == "__main__":
    main()
