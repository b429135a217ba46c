"""How far a base drifts when merged adapters are taken out by subtraction, and when they are not.

Switches among LoRA adapters of the embedded base: W := W + BA, then W := W - BA, then the next
one, in the base's own format; and the same number of times by ``Switcher``, which keeps what it
touches. Prints, for each format, how many of the touched weights are other than before, by how
much, and how far the base's logits moved.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.base.weights.sources import load_source
from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.low_rank.lora import Lora
from bakeoff.methods.low_rank.updates import oriented
from bakeoff.methods.registry import method_type
from bakeoff.methods.switcher import Switcher


def adapter(base: Base, seed: int) -> tuple[Method, Tensors]:
    """A LoRA whose second factor is as large as a trained one's."""
    kind = method_type("lora", where="kind")
    options = kind.read_options({"rank": 8, "target_modules": "all-linear"})
    method = kind(options, base, where="methods.lora")
    generator = torch.Generator().manual_seed(seed)
    tensors = method.initial(generator)
    for name, tensor in tensors.items():
        if name.endswith("lora_b"):
            tensor.normal_(0.0, 0.02, generator=generator)
    return method, tensors


@torch.no_grad()
def probe(base: Base) -> Tensor:
    """[1, T, V] float32 logits of the base as it is."""
    ids_BT = torch.arange(1, 65)[None]
    hidden = base.hidden_states(base.embedding(ids_BT), torch.arange(ids_BT.shape[1])[None])
    logits: Tensor = base.head(hidden).float()
    return logits


@torch.no_grad()
def by_subtraction(base: Base, adapters: list[tuple[Method, Tensors]], count: int) -> None:
    """Adds and subtracts each adapter's update in turn."""
    updates = []
    for method, tensors in adapters:
        assert isinstance(method, Lora)
        updates.append(
            {
                f"{name}.weight": oriented(layer, method.update(name, tensors))
                for name, layer in method.layers.items()
            }
        )
    for turn in range(count):
        for name, update in updates[turn % len(updates)].items():
            weight = base.model.get_parameter(name)
            added = update.to(weight.dtype)
            weight.add_(added)
            weight.sub_(added)


def by_switcher(base: Base, adapters: list[tuple[Method, Tensors]], count: int) -> None:
    """Switches from one adapter to the next."""
    switcher = Switcher(base)
    for turn in range(count):
        switcher.switch(*adapters[turn % len(adapters)])
    switcher.unmerge()


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--switches", type=int, default=1000)
    parser.add_argument("--adapters", type=int, default=16)
    arguments = parser.parse_args()
    count = arguments.switches
    torch.set_num_threads(1)
    print(
        f"| format | after {count:,} switches by | weights changed | largest change | logits | ms |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for dtype in (torch.bfloat16, torch.float32):
        for title, work in (("subtraction", by_subtraction), ("Switcher", by_switcher)):
            source = load_source("tiny", root=Path.cwd(), cache_dir=Path.cwd())
            base = Base(source, device=torch.device("cpu"), dtype=dtype)
            # In float32 the base computes with the very weights that it was loaded with.
            adapters = [adapter(base, seed) for seed in range(arguments.adapters)]
            names = list(adapters[0][0].merged_weights(adapters[0][1]))
            before = {n: base.model.get_parameter(n).detach().clone() for n in names}
            logits = probe(base)
            started = time.perf_counter()
            work(base, adapters, count)
            milliseconds = 1000 * (time.perf_counter() - started) / count
            gaps = [(base.model.get_parameter(n) - before[n]).abs().float() for n in names]
            changed = sum(int(g.count_nonzero()) for g in gaps) / sum(g.numel() for g in gaps)
            largest = max(float(g.max()) for g in gaps)
            moved = float((probe(base) - logits).abs().max())
            print(
                f"| {str(dtype).removeprefix('torch.')} | {title} | {changed:.1%} | {largest:.2g} "
                f"| {moved:.2g} | {milliseconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
