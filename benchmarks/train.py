"""Training speed against the loop that a user would write, in one run, interleaved.

    python benchmarks/train.py --base scratch:gpt-neo-125m --method lora --slots 1 8

Prints one JSON object a line: engine, case, tokens a second, peak memory; the last line sums up,
with ``ratio`` (ours over the plain loop's) for each case. All engines see the same batches and
start from the same tensors; their first losses must agree.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# As the command line does, and for all engines alike.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from rivals import LEARNING_RATE, SEED, PlainLoop, plain_micro_batches, random_plan

from bakeoff.data.batches import BatchPlan
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.feed import Feed, TokenFeed
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.train import train_step
from bakeoff.methods import method_type
from bakeoff.methods.contract import Method
from bakeoff.model.base import Base
from bakeoff.model.precision import choose_device, choose_dtype
from bakeoff.model.sources import load_source
from bakeoff.study.workbench import cache_folder

TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 2e-2}
OPTIONS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 8},
    "lora-all": {"rank": 8, "target_modules": "all-linear"},
    "soft_prompt": {"prompt_length": 12},
    "head": {},
    "full": {},
}


class Ours:
    """The engine, with some slots of one method."""

    def __init__(self, base: Base, method: str, slots: int, plan: BatchPlan, rows: int) -> None:
        self.plan, self.rows, self.slots = plan, rows, slots
        kind = method_type(method.removesuffix("-all"), where="--method")
        self.method: Method = kind(kind.options_type(**OPTIONS[method]), base, where="--method")
        protocol = ProtocolOptions(micro_batch_size=rows, weight_decay=0.01)
        self.cohort = Cohort(base, [self.method], slots, protocol)
        start = self.method.initial(torch.Generator().manual_seed(SEED))
        for slot in range(slots):
            self.cohort.seat(slot, self.method, start)
        self.rates = torch.full((slots,), LEARNING_RATE, dtype=torch.float64, device=base.device)
        self.feed: Feed = TokenFeed(base.device)

    def step(self, index: int) -> float:
        """One update of all slots; returns the first slot's mean NLL."""
        steps = [self.plan.epoch(SEED, 0)[index]] * self.slots
        with self.cohort:
            nll_K, tokens_K = train_step(
                self.cohort, self.feed, self.plan, steps, self.rates, self.rows
            )
        return float(nll_K[0] / tokens_K[0])


def main() -> None:
    arguments = _arguments()
    device = choose_device(arguments.device)
    dtype = choose_dtype(arguments.precision, device)
    source = load_source(arguments.base, root=Path.cwd(), cache_dir=cache_folder())
    rivals_model = load_source(arguments.base, root=Path.cwd(), cache_dir=cache_folder()).model
    base = Base(source, device=device, dtype=dtype)
    rows_per_step = arguments.micro_batch_size * arguments.accumulate
    plan = random_plan(
        steps=arguments.warmup + arguments.steps,
        rows_per_step=rows_per_step,
        max_length=arguments.max_length,
        supervised=arguments.supervised,
        vocabulary=base.vocabulary,
    )
    ratios: dict[str, Any] = {}
    for method in arguments.method:
        for slots in arguments.slots:
            case = f"{arguments.base} {method} {slots} slots"
            ratios[case] = _case(arguments, base, rivals_model, plan, method, slots, dtype, case)
    print(json.dumps({"summary": True, "device": _name(device), "ratio": ratios}))


def _case(
    arguments: argparse.Namespace,
    base: Base,
    model: Any,
    plan: BatchPlan,
    method: str,
    slots: int,
    dtype: torch.dtype,
    case: str,
) -> dict[str, float]:
    rows = arguments.micro_batch_size
    ours = Ours(base, method, slots, plan, rows)
    engines: dict[str, tuple[Callable[[int], float], int]] = {"bakeoff": (ours.step, slots)}
    for name, compiled in (("plain", False), ("plain+compile", True)):
        if compiled and not arguments.compile:
            continue
        loop = PlainLoop(model, method, device=base.device, dtype=dtype, compiled=compiled)
        if method in ("lora", "lora-all", "soft_prompt"):
            _same_start(loop, ours)
        engines[name] = (_plain_step(loop, plan, rows, base.device), 1)
    first: dict[str, float] = {}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    peaks: dict[str, int | None] = {}
    for index in range(arguments.warmup + arguments.steps):
        for name, (step, _) in engines.items():
            if base.device.type == "cuda":
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
            started = time.perf_counter()
            loss = step(index)
            if base.device.type == "cuda":
                torch.cuda.synchronize()
                peaks[name] = torch.cuda.max_memory_allocated()
            first.setdefault(name, loss)
            if index >= arguments.warmup:
                seconds[name].append(time.perf_counter() - started)
    tokens = plan.rows_per_step * arguments.max_length
    speeds = {
        name: share * tokens / statistics.median(seconds[name])
        for name, (_, share) in engines.items()
    }
    for name, speed in speeds.items():
        row = {
            "engine": name,
            "case": case,
            "tokens_per_second": round(speed, 1),
            "peak_memory_bytes": peaks.get(name),
            "first_loss": first[name],
        }
        print(json.dumps(row), flush=True)
    for name, loss in first.items():
        gap = abs(loss - first["bakeoff"]) / abs(loss)
        if gap > TOLERANCES[dtype]:
            raise SystemExit(
                f"{case}: the first loss of {name} is {loss}, bakeoff's {first['bakeoff']} "
                f"(relative gap {gap:.2e}, allowed {TOLERANCES[dtype]:g})"
            )
    return {
        name: round(speeds["bakeoff"] / speed, 3)
        for name, speed in speeds.items()
        if name != "bakeoff"
    }


def _same_start(loop: PlainLoop, ours: Ours) -> None:
    """Gives the plain loop's adapter the engine's initial tensors, through PEFT's own file."""
    import tempfile

    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory() as folder:
        start = ours.method.initial(torch.Generator().manual_seed(SEED))
        ours.method.save(start, Path(folder))
        state = load_file(Path(folder) / "adapter_model.safetensors")
    set_peft_model_state_dict(loop.model, state)


def _plain_step(
    loop: PlainLoop, plan: BatchPlan, rows: int, device: torch.device
) -> Callable[[int], float]:
    return lambda index: loop.step(plain_micro_batches(plan, index, rows, device))


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="scratch:gpt-neo-125m")
    parser.add_argument("--method", nargs="+", choices=sorted(OPTIONS), default=["lora"])
    parser.add_argument("--slots", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--micro-batch-size", type=int, default=16)
    parser.add_argument("--accumulate", type=int, default=4)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--supervised", type=int, default=64)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--steps", type=int, default=10, help="timed updates of each engine")
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="also the loop with torch.compile")
    parser.add_argument("--quick", action="store_true", help="the tiny base, small and short")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.base, arguments.slots = "tiny", [1, 4]
        arguments.method = ["lora", "soft_prompt"]
        arguments.micro_batch_size, arguments.accumulate = 8, 1
        arguments.max_length, arguments.supervised = 192, 48
        arguments.steps, arguments.warmup = 5, 1
    return arguments


if __name__ == "__main__":
    main()
