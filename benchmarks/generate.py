"""Generation speed against Transformers' own ``generate``, in one run, interleaved.

    python benchmarks/generate.py --base scratch:gpt-neo-125m --rows 16 64 --prompt 192 --new 64

Prints one JSON object per line: engine, case, rows per second, peak memory; the last line sums up,
with ``ratio`` for each case: our best number of rows over the rival's best rows and cache.
Every engine writes as many tokens for the same prompts; where the format is float32 the tokens must
be the same, and in every format the likelihood of what was written.

Without ``--method`` the untuned base writes; with one, PEFT's model is the rival and has the same
tensors. ``--slots`` lets several candidates write in one batch; rows per second count all theirs.
``--max-length`` is prompt and new tokens together and ``--supervised`` the new ones, as in
training.
"""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

# As the command line does, and for all engines alike.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from bakeoff.base.model import Base
from bakeoff.base.precision import choose_device, choose_dtype
from bakeoff.data.batches import BatchPlan
from bakeoff.methods.contract import Method, Tensors
from common.flags import common_flags, parsed, positive, run_main
from engines.measuring import Contest, check_losses, cold_compiler, device_name, print_record
from engines.ours import (
    OurWriter,
    Prompts,
    Rows,
    initial_tensors,
    load_base,
    load_source_of,
    method_of,
)
from engines.workload import SEED, joined
from engines.writers import PlainWriter, cast_copy

UNTUNED = "none"
OURS, THEIRS = "bakeoff", "generate"
_SPREAD = 0.02
"""Of the noise on a method's first tensors, which alone might change nothing."""
_SAME_ROWS = 0.9
"""Share of the rows that must agree token by token: rounding may turn a tie elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What all engines of a case write.

    Attributes:
        name: of the case. method_name: as it was asked for.
        method: on the engine's base; None for the untuned base. starts: each slot's tensors.
        prompts: what is continued. end_id: the token that ends a row.
        new_tokens: of each row.
    """

    name: str
    method_name: str
    method: Method | None
    starts: list[Tensors]
    prompts: Prompts
    end_id: int
    new_tokens: int


def main(argv: Sequence[str] | None = None) -> None:
    """Runs all cases."""
    arguments = _arguments(argv)
    device = choose_device(arguments.device)
    dtype = choose_dtype(arguments.precision, device)
    on_gpu = device.type == "cuda"
    arguments.rows = arguments.rows or ([64, 256, 1024] if on_gpu else [16, 64])
    arguments.cache = arguments.cache or (["dynamic", "static"] if on_gpu else ["dynamic"])
    model = load_source_of(arguments.base).model
    base, base_bytes = load_base(arguments.base, device, dtype)
    ratios: dict[str, dict[str, float]] = {}
    with cold_compiler():
        for name in arguments.method:
            for slots in arguments.slots:
                case = _case(arguments, base, name, slots)
                if name == UNTUNED and slots > 1:
                    print_record(
                        engine=OURS, case=case.name, skipped="the untuned base has one slot"
                    )
                    continue
                speeds = _speeds(case, arguments, base, base_bytes, model)
                best = {
                    engine: max(speed for name, speed in speeds.items() if name.startswith(engine))
                    for engine in (OURS, THEIRS)
                }
                ratios[case.name] = {THEIRS: round(best[OURS] / best[THEIRS], 3)}
    print_record(
        summary=True,
        device=device_name(device),
        precision=str(dtype).removeprefix("torch."),
        ratio=ratios,
    )


def _case(arguments: argparse.Namespace, base: Base, name: str, slots: int) -> Case:
    # Random weights would end rows anywhere, so that no token ends one.
    end_id = int(base.vocabulary - 1)
    # Not every tokenizer of random weights has a text for every id, so that it is asked for none.
    ending: Any = copy.copy(base.tokenizer)
    ending.__class__ = type("Ending", (type(ending),), {"eos_token_id": end_id})
    base.source = replace(base.source, tokenizer=ending)
    draw = np.random.default_rng(SEED)
    method = None if name == UNTUNED else method_of(name, base)
    return Case(
        name=f"{arguments.base} {name} {slots} slots {arguments.prompt} + {arguments.new} tokens",
        method_name=name,
        method=method,
        starts=[] if method is None else [_tuned(method, slot) for slot in range(slots)],
        prompts=[
            draw.integers(1, base.vocabulary - 1, arguments.prompt).astype(np.int32)
            for _ in range(arguments.documents or max(64, *arguments.rows))
        ],
        end_id=end_id,
        new_tokens=arguments.new,
    )


def _tuned(method: Method, slot: int) -> Tensors:
    """A candidate's tensors as after some training."""
    generator = torch.Generator().manual_seed(SEED + slot)
    return {
        name: tensor + _SPREAD * torch.randn(tensor.shape, generator=generator)
        for name, tensor in initial_tensors(method, slot).items()
    }


def _speeds(
    case: Case, arguments: argparse.Namespace, base: Base, base_bytes: int, model: Any
) -> dict[str, float]:
    """Rows per second of each engine."""
    contest = Contest(case.name, base.device, required=[f"{OURS} {n} rows" for n in arguments.rows])
    try:
        for rows in arguments.rows:
            contest.enter(
                f"{OURS} {rows} rows",
                partial(
                    OurWriter,
                    base,
                    base_bytes,
                    case.method,
                    case.starts,
                    case.prompts,
                    new_tokens=case.new_tokens,
                    rows=rows,
                ),
            )
            for cache in arguments.cache:
                contest.enter(
                    f"{THEIRS} {cache} cache {rows} rows",
                    partial(_rival, case, model, base, rows, cache),
                )
        _compare(case, contest, base.compute_dtype)
        contest.run([range(i, i + 1) for i in range(1, 1 + arguments.repeats)], warmup=0)
        speeds = {}
        for name, entrant in contest.entrants.items():
            speeds[name] = entrant.engine.share * len(case.prompts) / entrant.median
            print_record(
                engine=name,
                case=case.name,
                rows_per_second=round(speeds[name], 3),
                peak_memory_bytes=entrant.peak_memory_bytes(0),
                first_step_seconds=round(entrant.first_step_seconds, 3),
            )
        return speeds
    finally:
        contest.close()


def _rival(case: Case, model: Any, base: Base, rows: int, cache: str) -> PlainWriter:
    tuned = None if case.method is None else (case.method, case.starts[0])
    return PlainWriter(
        cast_copy(model, case.method_name, base.device, base.compute_dtype, tuned),
        base.device,
        case.prompts,
        case.end_id,
        new_tokens=case.new_tokens,
        rows=rows,
        cache=cache,
    )


def _compare(case: Case, contest: Contest, dtype: torch.dtype) -> None:
    """Holds that all engines wrote the same where rounding allows it, and rate it the same.

    Raises:
        SystemExit: naming the engine that did not.
    """
    written: dict[str, Rows] = {name: e.first for name, e in contest.entrants.items()}
    first = next(iter(written.values()))
    for name, rows in written.items():
        # Batches differ in size, and so how many rows the first one had.
        pairs = list(zip(first, rows, strict=False))
        same = sum(ours == theirs for ours, theirs in pairs) / len(pairs)
        if dtype == torch.float32 and same < _SAME_ROWS:
            raise SystemExit(
                f"{case.name}: {name} wrote other tokens in {1 - same:.0%} of the rows"
            )
    plan = BatchPlan(
        *joined(
            case.prompts[: len(first)],
            [np.array(row or [case.end_id], dtype=np.int32) for row in first],
        ),
        rows_per_step=1,
        max_length=len(case.prompts[0]) + case.new_tokens,
        pad_id=case.end_id,
    )
    engines: dict[str, Any] = {name: e.engine for name, e in contest.entrants.items()}
    check_losses(case.name, {name: e.nll(plan) for name, e in engines.items()}, dtype)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    methods = [UNTUNED, "lora", "lora-all", "soft_prompt"]
    parser = common_flags(__doc__, methods=methods, method=UNTUNED)
    parser.add_argument(
        "--slots", nargs="+", type=positive, default=[1], help="candidates in a batch"
    )
    parser.add_argument("--rows", nargs="+", type=positive, help="of a batch; several are tried")
    parser.add_argument("--documents", type=positive, help="prompts; 64, or as many as a batch has")
    parser.add_argument("--prompt", type=positive, help="tokens of a prompt")
    parser.add_argument("--new", type=positive, help="tokens to be written")
    parser.add_argument("--cache", nargs="+", choices=["dynamic", "static"])
    parser.add_argument("--repeats", type=positive, default=3)
    parser.set_defaults(micro_batch_size=None)
    arguments = parsed(
        parser,
        argv,
        base="tiny",
        method=[UNTUNED, "lora"],
        max_length=160,
        supervised=32,
        rows=[16],
        documents=32,
    )
    if arguments.micro_batch_size is not None:
        arguments.rows = [arguments.micro_batch_size]
    if arguments.new is None:
        arguments.new = arguments.supervised
    if arguments.prompt is None:
        arguments.prompt = arguments.max_length - arguments.new
    return arguments


if __name__ == "__main__":
    run_main(main)
