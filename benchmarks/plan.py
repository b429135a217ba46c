"""What ``bakeoff plan`` says against what is measured, method by method.

    python benchmarks/plan.py [--base tiny ...] [--rows 16] [--processor-time] [--json FILE]
    python benchmarks/plan.py --bits --base tiny smollm2-135m

With ``--bits`` only memory is looked at, of LoRA over the base in 16, 8 and 4 bits.

Prints a JSON line a case and a summary. A plan is made in one process (memory traced, a few steps
timed), and then each method is measured in processes of its own, as a study does after training.
``--processor-time`` takes seconds of the process instead of the wall's: what else the machine does
then matters less. With one thread (OMP_NUM_THREADS=1) both are the same on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from bakeoff.measure import timing
from bakeoff.measure.costs import apart, measure_memory, measure_time
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.measuring import opener_of
from bakeoff.study.planning import plan_study
from bakeoff.study.study import Study

METHODS: dict[str, dict[str, Any]] = {
    "head": {"kind": "head"},
    "head_tied": {"kind": "head", "tied": True},
    "lora": {"kind": "lora", "rank": 8},
    "lora_all": {"kind": "lora", "rank": 8, "target_modules": "all-linear"},
    "soft_prompt": {"kind": "soft_prompt", "prompt_length": 20},
    "full": {"kind": "full"},
}
_LORA: dict[str, Any] = {"kind": "lora", "rank": 8, "target_modules": "all-linear"}
BITS: dict[str, dict[str, Any]] = {
    "16 bits": _LORA,
    "8 bits": {**_LORA, "quantization": "int8"},
    "4 bits": {**_LORA, "quantization": "nf4"},
}
MEMORY_GOAL, TIME_GOAL = 0.10, 0.25


def study_of(
    base: str,
    rows: int,
    micro_batch_size: int,
    methods: Mapping[str, Mapping[str, Any]] = METHODS,
    precision: str = "auto",
) -> Study:
    """A study of some methods on generated data."""
    return study_from_mapping(
        {
            "name": "plan",
            "base": base,
            "task": {
                "source": "wire",
                "document": "article",
                "summary": "highlights",
                "examples": {"train": rows, "validation": max(8, rows // 4), "test": 8},
                "cleaning": ["collapse_whitespace"],
                "template": "{document} {summary}",
                "max_length": 256,
                "max_target_tokens": 64,
            },
            "protocol": {
                "epochs": 3,
                "micro_batch_size": micro_batch_size,
                "grad_accum_steps": 1,
            },
            "methods": methods,
            "precision": precision,
            "generation": {"max_new_tokens": 16},
        },
        folder=Path.cwd(),
    )


def measured_alone(study: Study, name: str, device: str) -> dict[str, Any]:
    """What one method costs alone, from two processes."""
    opener = opener_of({"study": study.resolved, "device": device})
    found = apart(lambda: measure_time(opener.bench(), name))
    rows = found.get("micro_batch_size", 1)
    return found | apart(partial(measure_memory, opener, name, rows))


def compared(
    base: str,
    rows: int,
    micro_batch_size: int,
    device: str = "cpu",
    methods: Sequence[str] = tuple(METHODS),
) -> Iterator[dict[str, Any]]:
    """One row per method: predicted, measured and how far apart.

    Args:
        base: its reference. rows: training examples. micro_batch_size: of the protocol.
        device: ``cpu`` or ``cuda``, which this process must not have opened: it is forked.
        methods: some of ``METHODS``.
    """
    study = study_of(base, rows, micro_batch_size, {name: METHODS[name] for name in methods})
    plan = apart(lambda: plan_study(study, device).as_mapping())
    if "error" in plan:
        yield {"base": base, **plan}
        return
    for name in methods:
        measured = measured_alone(study, name, device)
        planned = plan["methods"][name]
        case: dict[str, Any] = {"base": base, "method": name}
        if "error" in measured or planned["epoch_seconds"] is None:
            yield case | {"error": measured.get("error", "not timed")}
            continue
        pairs = {
            "memory_bytes": (planned["peak_memory_bytes"], measured["peak_memory_bytes"]),
            "epoch_seconds": (planned["epoch_seconds"]["mean"], measured["epoch_seconds"]["mean"]),
            "token_seconds": (
                planned["token_latency_seconds"],
                (measured["token_latency_seconds"] or {}).get("mean"),
            ),
        }
        for key, (predicted, found) in pairs.items():
            case[key] = {
                "planned": predicted,
                "measured": found,
                "error": round(predicted / found - 1, 4) if predicted and found else None,
            }
        yield case


def bits_compared(base: str, rows: int, micro_batch_size: int) -> Iterator[dict[str, Any]]:
    """Peak memory of training over the base in 16, 8 and 4 bits: predicted and measured."""
    study = study_of(base, rows, micro_batch_size, BITS, "bfloat16")
    plan = apart(lambda: plan_study(study, "cpu").as_mapping())
    if "error" in plan:
        yield {"base": base, **plan}
        return
    opener = opener_of({"study": study.resolved, "device": "cpu"})
    for name in BITS:
        found = apart(partial(measure_memory, opener, name, micro_batch_size))
        case: dict[str, Any] = {"base": base, "method": name}
        if "error" in found:
            yield case | {"error": found["error"]}
            continue
        planned, measured = plan["methods"][name]["peak_memory_bytes"], found["peak_memory_bytes"]
        error = round(planned / measured - 1, 4)
        case["memory_bytes"] = {"planned": planned, "measured": measured, "error": error}
        yield case


def print_bits(bases: Sequence[str], rows: int) -> None:
    """Prints a line a case and the largest error; exits with 1 where it is beyond the goal."""
    worst = 0.0
    for base in bases:
        for case in bits_compared(base, rows, 2):
            print(json.dumps(case), flush=True)
            worst = max(worst, abs(case["memory_bytes"]["error"]) if "error" not in case else inf)
    print(json.dumps({"largest_error": worst}))
    sys.exit(0 if worst <= MEMORY_GOAL else 1)


def main() -> None:
    """Runs the cases and prints them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", nargs="+", default=["tiny", "scratch:gpt-neo-125m"])
    parser.add_argument("--rows", type=int, default=16, help="training rows of the larger base")
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--json", type=Path, help="also writes the lines to a file")
    parser.add_argument("--bits", action="store_true", help="memory in 16, 8 and 4 bits alone")
    given = parser.parse_args()
    if given.bits:
        print_bits(given.base, given.rows)
    if given.processor_time:
        timing.clock = time.process_time
    lines: list[str] = []

    def print_line(content: dict[str, Any]) -> None:
        lines.append(json.dumps(content))
        print(lines[-1], flush=True)

    worst = {"memory_bytes": 0.0, "epoch_seconds": 0.0, "token_seconds": 0.0}
    num_cases = within_memory = within_time = 0
    for base in given.base:
        rows = 256 if base == "tiny" else given.rows
        for case in compared(base, rows, 4 if base == "tiny" else 2):
            print_line(case)
            num_cases += 1
            if "error" in case:
                continue
            # What was not measured is as far off as can be.
            found = {key: case[key]["error"] for key in worst}
            errors = {key: inf if error is None else abs(error) for key, error in found.items()}
            worst = {key: max(value, errors[key]) for key, value in worst.items()}
            within_memory += errors["memory_bytes"] <= MEMORY_GOAL
            within_time += errors["epoch_seconds"] <= TIME_GOAL
    print_line(
        {
            "cases": num_cases,
            "memory_within_10_percent": within_memory,
            "epoch_seconds_within_25_percent": within_time,
            "largest_errors": {key: round(value, 4) for key, value in worst.items()},
        }
    )
    if given.json:
        given.json.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    sys.exit(0 if within_memory == within_time == num_cases else 1)


if __name__ == "__main__":
    main()
