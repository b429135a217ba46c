"""Training speed against the loop that a user would write, in one run, interleaved.

    python benchmarks/train.py --base scratch:gpt-neo-125m --method lora --slots 1 8

Prints one JSON object per line: engine, case, tokens per second, peak memory; the last line sums
up, with ``ratio`` (ours over each rival's) for each case, and ``memory_ratio`` likewise. All
engines see the same batches and start from the same tensors; their first losses must agree.

A head alone trains on hidden states that are computed once: its ``tokens_per_second`` is that of an
epoch after the first, counting the tokens that its examples have.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

# As the command line does, and for all engines alike.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from bakeoff.base.model import Base
from bakeoff.base.precision import choose_device, choose_dtype
from bakeoff.engine.compiling import is_faster_compiled
from bakeoff.engine.options import EngineOptions
from bakeoff.methods.contract import ExecutionPath
from common.flags import common_flags, parsed, positive, run_main
from engines.measuring import (
    Contest,
    Entrant,
    cold_compiler,
    device_name,
    print_record,
)
from engines.ours import METHODS, OurTraining, initial_tensors, load_base, load_source_of, method_of
from engines.rivals import plain_loops
from engines.speeds import Figures, run_training
from engines.workload import Workload, random_plan

OURS = "bakeoff"


def main(argv: Sequence[str] | None = None) -> None:
    """Runs all cases."""
    arguments = _arguments(argv)
    device = choose_device(arguments.device)
    dtype = choose_dtype(arguments.precision, device)
    if arguments.compile is None:
        arguments.compile = device.type == "cuda"
    model = load_source_of(arguments.base).model
    base, base_bytes = load_base(arguments.base, device, dtype)
    work = Workload(
        plan=random_plan(
            steps=arguments.warmup + arguments.steps,
            rows_per_step=arguments.micro_batch_size * arguments.accumulate,
            max_length=arguments.max_length,
            supervised=arguments.supervised,
            vocabulary=base.vocabulary,
        ),
        rows=arguments.micro_batch_size,
        device=device,
        dtype=dtype,
    )
    ratios: dict[str, dict[str, float]] = {}
    memory: dict[str, dict[str, float]] = {}
    with cold_compiler():
        for method in arguments.method:
            for slots in arguments.slots:
                case = f"{arguments.base} {method} {slots} slots"
                found = _case(arguments, base, base_bytes, model, work, method, slots, case)
                if found:
                    ratios[case] = _over_rivals({n: s for n, (s, _) in found.items()})
                    memory[case] = _over_rivals({n: b for n, (_, b) in found.items() if b})
    print_record(
        summary=True,
        device=device_name(device),
        precision=str(dtype).removeprefix("torch."),
        ratio=ratios,
        memory_ratio=memory,
    )


def _case(
    arguments: argparse.Namespace,
    base: Base,
    base_bytes: int,
    model: Any,
    work: Workload,
    method: str,
    slots: int,
    case: str,
) -> Figures:
    """Tokens per second and peak memory of each engine; nothing where ours cannot be."""
    on_method = method_of(method, base)
    if on_method.execution_path is ExecutionPath.OWN_BASE and slots > 1:
        print_record(
            engine=OURS, case=case, skipped=f"{method} has a base of its own and trains alone"
        )
        return {}
    contest = Contest(case, base.device, required=[OURS, "plain"])
    start = on_method, initial_tensors(on_method)
    loops = plain_loops(model, method, work, start, compiled=arguments.compile)
    try:
        # Ours sets how shapes are compiled for as long as it is there, so the rivals go first.
        for name, build in loops.items():
            contest.enter(name, build)
        options = EngineOptions(
            gradient_checkpointing=arguments.gradient_checkpointing,
            # As in a study that trains for minutes.
            compile=True if is_faster_compiled(base) else "auto",
        )
        contest.enter(OURS, lambda: OurTraining(base, base_bytes, method, slots, work, options))
        return run_training(
            contest,
            case,
            work,
            arguments.warmup,
            further=lambda one: _counts(one, work) | _first_epoch(one.engine, one.median),
        )
    finally:
        contest.close()


def _counts(entrant: Entrant, work: Workload) -> dict[str, float]:
    """Arithmetic and memory traffic for each token of each candidate, as a trace counts them."""
    seen = entrant.watched(work.plan.num_steps - 1)
    if seen is None or seen.flops is None or seen.bytes_moved is None:
        return {}
    tokens = entrant.engine.share * work.tokens_per_step
    return {
        "megaflops_per_token": round(seen.flops / tokens / 1e6, 1),
        "megabytes_per_token": round(seen.bytes_moved / tokens / 1e6, 2),
    }


def _first_epoch(engine: Any, step_seconds: float) -> dict[str, float]:
    """The speed of the epoch that computes the hidden states too, where there are some."""
    if not isinstance(engine, OurTraining) or not engine.trains_on_hidden_states:
        return {}
    plan = engine.work.plan
    seconds = engine.hidden_seconds + plan.num_steps * step_seconds
    speed = engine.share * plan.tokens_padded / seconds
    return {"first_epoch_tokens_per_second": round(speed, 1)}


def _over_rivals(figures: dict[str, Any]) -> dict[str, float]:
    return {n: round(figures[OURS] / f, 3) for n, f in figures.items() if n != OURS}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = common_flags(__doc__, methods=sorted(METHODS), method="lora")
    parser.add_argument(
        "--slots", nargs="+", type=positive, default=[1, 8], help="candidates in a pass"
    )
    parser.add_argument("--accumulate", type=positive, default=4, help="micro-batches of an update")
    parser.add_argument("--steps", type=positive, default=10, help="timed updates of each engine")
    parser.add_argument(
        "--warmup", type=positive, default=3, help="updates before those, at least one"
    )
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="whether torch.compile is a rival, too; on a GPU it is by default",
    )
    parser.add_argument(
        "--gradient-checkpointing", action="store_true", help="of ours: computes layers again"
    )
    return parsed(
        parser,
        argv,
        base="tiny",
        method=["lora", "soft_prompt"],
        slots=[1, 4],
        micro_batch_size=8,
        accumulate=1,
        max_length=192,
        supervised=48,
        steps=5,
        warmup=1,
    )


if __name__ == "__main__":
    run_main(main)
