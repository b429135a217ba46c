"""Generation speed against Transformers' own ``generate``, in one run, interleaved.

    python benchmarks/generate.py --base scratch:gpt-neo-125m --rows 16 64 --prompt 192 --new 64

Prints one JSON object a line: engine and rows a second; the last line sums up, with ``ratio``
(ours over the best of the rivals) for each case. Every engine writes as many tokens for
the same prompts; where the format is float32 the tokens must be the same.

``--slots`` lets several candidates write in one batch; rows a second count all of theirs.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# As the command line does, and for all engines alike.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from numpy.typing import NDArray

from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generate import GenerationOptions, generate
from bakeoff.methods import method_type
from bakeoff.model.base import Base
from bakeoff.model.precision import choose_device, choose_dtype
from bakeoff.model.sources import load_source
from bakeoff.study.workbench import cache_folder

SEED = 0
Rows = list[list[int]]


class Ours:
    """The engine, with some slots of LoRA, or the untuned base for none."""

    def __init__(self, base: Base, slots: int, new_tokens: int, rows: int) -> None:
        lora = method_type("lora", where="--slots")
        method = lora(lora.options_type(rank=8), base, where="--slots")
        self.cohort = Cohort(base, [method] if slots else [], max(1, slots))
        for slot in range(slots):
            start = method.initial(torch.Generator().manual_seed(SEED + slot))
            self.cohort.seat(slot, method, start)
        self.slots = list(range(max(1, slots)))
        self.options = GenerationOptions(
            max_new_tokens=new_tokens, no_repeat_ngram=0, batch_rows=rows * len(self.slots)
        )

    def __call__(self, prompts: list[NDArray[np.int32]]) -> Rows:
        with self.cohort:
            return generate(self.cohort, self.slots, prompts, self.options)[0]


class Plain:
    """Transformers' ``generate`` in batches, left-padded, in the compute format."""

    def __init__(self, model: Any, end_id: int, new_tokens: int, rows: int, cache: str) -> None:
        self.model, self.end_id, self.rows = model, end_id, rows
        self.settings = {
            "max_new_tokens": new_tokens,
            "do_sample": False,
            "pad_token_id": end_id,
            "eos_token_id": end_id,
        }
        if cache != "dynamic":
            self.settings["cache_implementation"] = cache

    @torch.no_grad()
    def __call__(self, prompts: list[NDArray[np.int32]]) -> Rows:
        written: Rows = []
        for start in range(0, len(prompts), self.rows):
            ids = torch.from_numpy(np.stack(prompts[start : start + self.rows])).long()
            ids = ids.to(self.model.device)
            output = self.model.generate(ids, attention_mask=torch.ones_like(ids), **self.settings)
            written += output[:, ids.shape[1] :].tolist()
        return written


def main() -> None:
    arguments = _arguments()
    device = choose_device(arguments.device)
    dtype = choose_dtype(arguments.precision, device)
    source = load_source(arguments.base, root=Path.cwd(), cache_dir=cache_folder())
    plain_model = copy.deepcopy(source.model).to(device=device, dtype=dtype).eval()
    base = Base(source, device=device, dtype=dtype)
    # Random weights would end rows anywhere, so that no token ends one.
    end_id = int(base.vocabulary - 1)
    base.tokenizer.eos_token_id = end_id
    draw = np.random.default_rng(SEED)
    prompts = [
        draw.integers(1, base.vocabulary - 1, arguments.prompt).astype(np.int32)
        for _ in range(arguments.documents)
    ]
    engines: dict[str, tuple[Callable[[list[NDArray[np.int32]]], Rows], int]] = {}
    for rows in arguments.rows:
        for slots in arguments.slots:
            ours = Ours(base, slots, arguments.new, rows)
            engines[f"bakeoff {slots} slots, {rows} rows"] = (ours, len(ours.slots))
        for cache in arguments.cache:
            plain = Plain(plain_model, end_id, arguments.new, rows, cache)
            engines[f"generate, {cache} cache, {rows} rows"] = (plain, 1)
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    written: dict[str, Rows] = {}
    for repeat in range(arguments.repeats + 1):
        for name, (engine, _) in engines.items():
            chosen = prompts if repeat else prompts[: max(arguments.rows)]
            started = time.perf_counter()
            found = engine(chosen)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:
                seconds[name].append(time.perf_counter() - started)
                written[name] = found
    speeds = {
        name: share * len(prompts) / statistics.median(seconds[name])
        for name, (_, share) in engines.items()
    }
    for name, speed in speeds.items():
        print(json.dumps({"engine": name, "rows_per_second": round(speed, 3)}), flush=True)
    _compare(written, end_id, dtype)
    best = max(speed for name, speed in speeds.items() if name.startswith("generate"))
    ratio = {n: round(s / best, 3) for n, s in speeds.items() if n.startswith("bakeoff")}
    case = f"{arguments.base}, {arguments.prompt} + {arguments.new} tokens, {dtype}"
    print(json.dumps({"summary": True, "case": case, "device": device.type, "ratio": ratio}))


def _compare(written: dict[str, Rows], end_id: int, dtype: torch.dtype) -> None:
    """Holds that all engines wrote the same, up to an end token, where rounding allows it."""

    def cut(row: list[int]) -> list[int]:
        return row[: row.index(end_id)] if end_id in row else row

    first, *others = [[cut(row) for row in rows] for rows in written.values()]
    for name, rows in zip(list(written)[1:], others, strict=True):
        same = sum(a == b for a, b in zip(first, rows, strict=True)) / len(first)
        if dtype == torch.float32 and same < 0.9:
            raise SystemExit(f"{name} wrote other tokens in {1 - same:.0%} of the rows")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="scratch:gpt-neo-125m")
    parser.add_argument("--slots", nargs="+", type=int, default=[0], help="0: the untuned base")
    parser.add_argument("--rows", nargs="+", type=int, default=[16, 64], help="of a batch")
    parser.add_argument("--documents", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=192)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--cache", nargs="+", default=["dynamic"], choices=["dynamic", "static"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="the tiny base, small and short")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.base, arguments.rows, arguments.documents = "tiny", [16], 32
        arguments.prompt, arguments.new = 128, 32
    return arguments


if __name__ == "__main__":
    main()
