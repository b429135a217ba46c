"""Choices after a shared prompt against a full row for each, in one run, interleaved.

    python benchmarks/choose.py --base scratch:gpt-neo-125m --device cpu --precision float32

Prints one JSON object per line: engine, case, examples per second, peak memory; the last line sums
up, with ``ratio`` for each case: ``choose`` over full rows by the engine (``rows``) and over full
rows by Transformers or PEFT (``plain``), each with its best number of rows in a batch. All engines
must give every choice the same likelihood.

``--max-length`` is prompt and choice together, and ``--supervised`` a choice's tokens, as in
training. Without ``--method`` the untuned base is asked.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

# As the command line does, and for all engines alike.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from bakeoff.base.model import Base
from bakeoff.base.precision import choose_device, choose_dtype
from bakeoff.methods.contract import Method, Tensors
from common.flags import common_flags, parsed, positive, run_main
from engines.choosers import Floats, FullRows, PlainRows, Questions, SharedPrompts
from engines.measuring import TOLERANCES, Contest, cold_compiler, device_name, print_record
from engines.ours import initial_tensors, load_base, load_source_of, method_of
from engines.workload import SEED
from engines.writers import cast_copy

UNTUNED = "none"
OURS, ROWS, PLAIN = "choose", "rows", "plain"
_SPREAD = 0.02
"""Of the noise on a method's first tensors, which alone might change nothing."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs all cases."""
    arguments = _arguments(argv)
    device = choose_device(arguments.device)
    dtype = choose_dtype(arguments.precision, device)
    model = load_source_of(arguments.base).model
    base, base_bytes = load_base(arguments.base, device, dtype)
    questions = Questions.drawn(
        arguments.examples,
        arguments.max_length - arguments.supervised,
        arguments.choices,
        arguments.supervised,
        base.vocabulary,
        SEED,
    )
    ratios: dict[str, dict[str, float]] = {}
    with cold_compiler():
        for name in arguments.method:
            case = (
                f"{arguments.base} {name} {arguments.max_length - arguments.supervised} + "
                f"{arguments.choices} x {arguments.supervised} tokens"
            )
            speeds = _speeds(case, name, arguments, base, base_bytes, model, questions)
            ratios[case] = {
                rival: round(speeds[OURS] / speeds[rival], 3)
                for rival in (ROWS, PLAIN)
                if rival in speeds
            }
    print_record(
        summary=True,
        device=device_name(device),
        threads=torch.get_num_threads(),
        precision=str(dtype).removeprefix("torch."),
        ratio=ratios,
    )


def _speeds(
    case: str,
    name: str,
    arguments: argparse.Namespace,
    base: Base,
    base_bytes: int,
    model: Any,
    questions: Questions,
) -> dict[str, float]:
    """Examples per second of each engine, with its best number of rows."""
    tuned = None
    if name != UNTUNED:
        method = method_of(name, base)
        generator = torch.Generator().manual_seed(SEED)
        tensors = {
            part: tensor + _SPREAD * torch.randn(tensor.shape, generator=generator)
            for part, tensor in initial_tensors(method).items()
        }
        tuned = method, tensors
    required = [f"{engine} {rows}" for engine in (OURS, ROWS) for rows in arguments.rows]
    contest = Contest(case, base.device, required=required)
    try:
        for rows in arguments.rows:
            ours = (base, base_bytes, tuned, questions, rows)
            contest.enter(f"{OURS} {rows}", partial(SharedPrompts, *ours))
            contest.enter(f"{ROWS} {rows}", partial(FullRows, *ours))
            contest.enter(
                f"{PLAIN} {rows}",
                partial(_plain, model, name, tuned, base, questions, rows),
            )
        _compare(case, {n: e.engine.step(1) for n, e in contest.entrants.items()}, base)
        contest.run([range(i, i + 1) for i in range(1, 1 + arguments.repeats)], warmup=0)
        best: dict[str, float] = {}
        for entered, entrant in contest.entrants.items():
            engine, rows_of_batch = entered.split()
            speed = len(questions.prompts) / entrant.median
            best[engine] = max(speed, best.get(engine, 0.0))
            print_record(
                engine=engine,
                rows=int(rows_of_batch),
                case=case,
                examples_per_second=round(speed, 3),
                peak_memory_bytes=entrant.peak_memory_bytes(1),
                first_step_seconds=round(entrant.first_step_seconds, 3),
            )
        return best
    finally:
        contest.close()


def _plain(
    model: Any,
    name: str,
    tuned: tuple[Method, Tensors] | None,
    base: Base,
    questions: Questions,
    rows: int,
) -> PlainRows:
    copied = cast_copy(model, name, base.device, base.compute_dtype, tuned)
    return PlainRows(copied, base.device, questions, rows)


def _compare(case: str, found: dict[str, Floats], base: Base) -> None:
    """Holds that all engines found every choice as likely as the first one did.

    Raises:
        SystemExit: naming the engine that did not.
    """
    first, expected = next(iter(found.items()))
    for name, nats in found.items():
        gap = float(np.abs(nats / expected - 1).max())
        if not gap <= TOLERANCES[base.compute_dtype]:
            raise SystemExit(
                f"{case}: {name} finds a choice {gap:.2e} more or less likely than {first} does "
                f"(relatively, in nats; allowed {TOLERANCES[base.compute_dtype]:g})"
            )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = common_flags(
        __doc__, methods=[UNTUNED, "lora", "lora-all", "soft_prompt", "head"], method=UNTUNED
    )
    parser.add_argument("--examples", type=positive, default=16, help="of one step")
    parser.add_argument("--choices", type=positive, default=4, help="of an example")
    parser.add_argument("--rows", nargs="+", type=positive, help="of a batch; several are tried")
    parser.add_argument("--repeats", type=positive, default=5)
    parser.set_defaults(micro_batch_size=None, max_length=264, supervised=8)
    arguments = parsed(
        parser, argv, base="tiny", method=[UNTUNED, "lora"], max_length=136, rows=[16], repeats=3
    )
    if arguments.rows is None:
        arguments.rows = [arguments.micro_batch_size or 16]
    return arguments


if __name__ == "__main__":
    run_main(main)
