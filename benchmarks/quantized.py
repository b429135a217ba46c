"""What a base in 8 and 4 bits takes and costs beside the same base in 16: memory and speed.

    python benchmarks/quantized.py --base smollm2-135m --slots 4
    python benchmarks/quantized.py --load FOLDER --precision bfloat16

The first holds the base in each format, side by side in one process, and times forward and backward
passes of LoRA in turns; the second loads a base in a process of its own and prints by how much its
memory grew, at its peak and afterwards. Prints one JSON object per line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import torch

from bakeoff.base.model import Base
from bakeoff.base.precision import choose_device
from bakeoff.base.quantized.models import linear_modules
from bakeoff.base.weights.sources import Source, load_source
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.files import cache_folder
from bakeoff.memory import give_back_at_once
from bakeoff.methods.registry import method_type
from bakeoff.types import Quantization
from common.flags import positive, run_main
from engines.measuring import print_record

_CHILD = "--loading"


def status_bytes(key: str) -> int:
    """A figure of this process's memory, from Linux's own account of it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def source_of(reference: str) -> Source:
    return load_source(reference, root=Path.cwd(), cache_dir=cache_folder(), lean=True)


def held(source: Source, kind: Quantization, dtype: torch.dtype) -> Base:
    return Base(source, device=choose_device("auto"), dtype=dtype, quantization=kind)


def layer_bytes(base: Base) -> int:
    """Of the linear layers without the head."""
    tensors = [
        tensor
        for layer in linear_modules(base.model).values()
        for tensor in (*layer.parameters(), *layer.buffers())
    ]
    return sum({id(t): t.numel() * t.element_size() for t in tensors}.values())


def timed(bases: dict[Quantization, Base], arguments: argparse.Namespace) -> None:
    seconds: dict[Quantization, list[float]] = {kind: [] for kind in bases}
    rows, tokens, slots = arguments.rows, arguments.tokens, arguments.slots
    draw = torch.Generator().manual_seed(0)
    steps = {}
    for kind, base in bases.items():
        options = {"rank": arguments.rank}
        lora = method_type("lora", where="--method")
        method = lora(lora.read_options(options), base, where="--method")
        cohort = Cohort(base, [method], slots, ProtocolOptions())
        for slot in range(slots):
            cohort.seat(slot, method, method.initial(torch.Generator().manual_seed(slot)))
        steps[kind] = cohort
    shape = (slots, rows, tokens)
    ids = torch.randint(base.vocabulary, shape, generator=draw).to(base.device)
    last = torch.arange(rows, device=base.device) * tokens + tokens - 9
    source = (last[:, None] + torch.arange(8, device=base.device)).flatten().expand(slots, -1)
    targets = torch.zeros_like(source)
    mask = torch.ones_like(source, dtype=torch.bool)
    for turn in range(arguments.turns + 1):
        for kind, cohort in steps.items():
            with cohort:
                started = time.perf_counter()
                sums, _ = cohort.losses(ids, source, targets, mask)
                sums.sum().backward()
                if base.device.type == "cuda":
                    torch.cuda.synchronize()
                if turn:  # the first warms up
                    seconds[kind].append(time.perf_counter() - started)
    whole = statistics.median(seconds["none"])
    for kind, taken in seconds.items():
        middle = statistics.median(taken)
        print_record(
            **{
                "quantization": kind,
                "slots": slots,
                "tokens_per_second": slots * rows * tokens / middle,
                "speed_of_whole": whole / middle,
            }
        )


def compare(arguments: argparse.Namespace) -> None:
    dtype = getattr(torch, arguments.precision)
    source = source_of(arguments.base)
    bases = {kind: held(source, kind, dtype) for kind in get_args(Quantization)}
    whole = bases["none"]
    for kind, base in bases.items():
        print_record(
            **{
                "quantization": kind,
                "held_bytes": base.held_bytes,
                "held_of_whole": base.held_bytes / whole.held_bytes,
                "layers_of_whole": layer_bytes(base) / layer_bytes(whole),
            }
        )
    timed(bases, arguments)


def loading(arguments: argparse.Namespace) -> None:
    """The child: what is imported for any base does not count, nor does the tokenizer."""
    give_back_at_once()  # so that memory follows what is held, as where costs are measured
    dtype = getattr(torch, arguments.precision)
    held(source_of("scratch:tiny-llama"), arguments.quantization, dtype)
    source = source_of(arguments.load)
    before = status_bytes("VmRSS")
    base = held(source, arguments.quantization, dtype)
    with torch.no_grad():
        ids = torch.arange(16)[None]
        base.hidden_states(base.embedding(ids), ids)  # looks at every weight
    peak, after = status_bytes("VmHWM") - before, status_bytes("VmRSS") - before
    record: dict[str, Any] = {
        "quantization": arguments.quantization,
        "held_bytes": base.held_bytes,
        "peak_of_held": peak / base.held_bytes,
        "after_of_held": after / base.held_bytes,
    }
    print_record(**record)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--load", help="a base to load in a process of its own")
    parser.add_argument("--quantization", choices=get_args(Quantization), default="none")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--slots", type=positive, default=4)
    parser.add_argument("--rows", type=positive, default=4)
    parser.add_argument("--tokens", type=positive, default=128)
    parser.add_argument("--rank", type=positive, default=16)
    parser.add_argument("--turns", type=positive, default=3)
    parser.add_argument(_CHILD, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load is None:
        compare(arguments)
    elif arguments.loading:
        loading(arguments)
    else:
        command = [sys.executable, __file__, *sys.argv[1:], _CHILD]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print_record(**json.loads(found.splitlines()[-1]))


if __name__ == "__main__":
    run_main(main)
