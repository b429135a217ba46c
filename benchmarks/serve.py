"""Throughput and latency of the running batch that `bakeoff serve` works with.

    python benchmarks/serve.py                       # tiny, then smollm2-135m
    python benchmarks/serve.py --base tiny
    python benchmarks/serve.py --base smollm2-135m --new 32 --asks 2

Eight rows of four methods (LoRA of rank 8, soft prompt, bottleneck, IA3) in one batch, against the
same rows one after the other, against eight rows of one LoRA, and against a loop over Transformers
and PEFT that switches among four LoRAs, which write the same tokens. Then the time to the first
token and between tokens at 1, 8 and 32 clients, each of which asks again when it is answered, a
method after the other. All in one process, interleaved, the best of some repeats; each base's last
line has the ratios. HTTP is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from bakeoff.base.model import Base
from bakeoff.base.weights.sources import load_source
from bakeoff.engine.serving.batcher import Batcher
from bakeoff.engine.serving.limits import Limits
from bakeoff.engine.serving.residents import Lane
from bakeoff.engine.serving.rows import Ended, Event, Failed, Row, Wrote
from bakeoff.engine.serving.sampling import Sampling
from bakeoff.files import cache_folder
from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.registry import method_type

MIXED: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"rank": 8}),
    ("soft_prompt", {}),
    ("bottleneck", {}),
    ("ia3", {}),
]
BASES = ("tiny", "smollm2-135m")
CLIENTS = (1, 8, 32)
SPREAD = 0.02


@dataclass(frozen=True, kw_only=True)
class Known:
    """An adapter with random tensors."""

    name: str
    method: Method
    tensors: Tensors
    lane: str = "base"
    has_own_base: bool = False

    @property
    def extra_positions(self) -> int:
        """Before every row."""
        return self.method.extra_positions

    @property
    def least_bytes(self) -> int:
        """See ``Source``."""
        return 4 * self.method.num_trainable

    def load(self) -> tuple[Method, Tensors]:
        """See ``Source``."""
        return self.method, self.tensors


def known(base: Base, kind: str, options: dict[str, Any], seed: int) -> Known:
    """An adapter as after some training: its first tensors with noise on each."""
    chosen = method_type(kind, where=kind)
    method = chosen(chosen.options_type(**options), base, where=kind)
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: tensor + SPREAD * torch.randn(tensor.shape, generator=generator)
        for name, tensor in method.initial(generator).items()
    }
    return Known(name=f"{kind}-{seed}", method=method, tensors=tensors)


@dataclass
class Heard:
    """What one row was told, and when."""

    times: list[float] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    began: float = 0.0

    def __call__(self, event: Event) -> None:
        """Takes a note of it."""
        if isinstance(event, Wrote) and event.drawn is not None:
            self.times.append(time.perf_counter())
            self.ids.append(event.drawn.id)
        elif isinstance(event, Failed):
            raise SystemExit(f"a row has failed: {event.message}")
        elif isinstance(event, Ended):
            self.done.set()


def ask(source: Known, prompt: Sequence[int], num_new: int) -> tuple[Row, Heard]:
    """A row that writes so many tokens whatever they are."""
    heard = Heard()
    row = Row(source=source, prompt=prompt, sampling=Sampling(max_tokens=num_new), listener=heard)
    heard.began = time.perf_counter()
    return row, heard


def together(batcher: Batcher, rows: Sequence[tuple[Row, Heard]]) -> list[list[int]]:
    """All at once."""
    batcher.submit([row for row, _ in rows])
    for _, heard in rows:
        heard.done.wait()
    return [heard.ids for _, heard in rows]


def one_by_one(batcher: Batcher, rows: Sequence[tuple[Row, Heard]]) -> list[list[int]]:
    """Each when the one before is done."""
    return [together(batcher, [row])[0] for row in rows]


class PeftLoop:
    """One row after the other through Transformers and PEFT, whose adapter is switched.

    Args:
        reference: of the base. loras: the adapters.
    """

    def __init__(self, reference: str, loras: Sequence[Known]) -> None:
        from peft import PeftModel

        source = load_source(reference, root=Path.cwd(), cache_dir=cache_folder())
        model: Any = None
        with tempfile.TemporaryDirectory() as folder:
            for lora in loras:
                place = Path(folder) / lora.name
                lora.method.save(lora.tensors, place)
                if model is None:
                    model = PeftModel.from_pretrained(
                        source.model, str(place), adapter_name=lora.name
                    )
                else:
                    model.load_adapter(str(place), adapter_name=lora.name)
        self._model: Any = model.eval()
        # Both write as many tokens as they are asked for, an end of text among them.
        self._model.generation_config.eos_token_id = None

    @torch.no_grad()
    def write(
        self, named: Sequence[Known], prompts: Sequence[Sequence[int]], num_new: int
    ) -> list[list[int]]:
        """Greedy tokens of each."""
        found = []
        for lora, prompt in zip(named, prompts, strict=True):
            self._model.set_adapter(lora.name)
            ids = torch.tensor([list(prompt)])
            output = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=num_new,
                do_sample=False,
                pad_token_id=0,
            )
            found.append(output[0, len(prompt) :].tolist())
        return found


def best(action: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """(seconds of the quickest, what it gave)."""
    quickest, found = float("inf"), None
    for _ in range(repeats):
        started = time.perf_counter()
        found = action()
        quickest = min(quickest, time.perf_counter() - started)
    return quickest, found


def latency(
    batcher: Batcher,
    adapters: Sequence[Known],
    num_clients: int,
    asks: int,
    num_new: int,
    seed: int,
) -> dict[str, float]:
    """Milliseconds to the first token and between tokens."""
    firsts: list[float] = []
    gaps: list[float] = []
    lock = threading.Lock()

    def client(number: int) -> None:
        draw = np.random.default_rng([seed, number])
        for turn in range(asks):
            prompt = draw.integers(1, 200, size=int(draw.integers(16, 96))).tolist()
            row, heard = ask(adapters[(number + turn) % len(adapters)], prompt, num_new)
            batcher.submit([row])
            heard.done.wait()
            with lock:
                firsts.append(heard.times[0] - heard.began)
                gaps.extend(np.diff(heard.times).tolist())

    threads = [threading.Thread(target=client, args=(number,)) for number in range(num_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "first_median_ms": 1e3 * float(np.median(firsts)),
        "first_p99_ms": 1e3 * float(np.quantile(firsts, 0.99)),
        "between_median_ms": 1e3 * float(np.median(gaps)),
        "between_p99_ms": 1e3 * float(np.quantile(gaps, 0.99)),
    }


def main() -> None:
    """Prints a line of JSON for each measurement, and the ratios, one base after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--base",
        nargs="+",
        default=list(BASES),
        metavar="BASE",
        help=f"of a study: {' or '.join(BASES)}, or any other; both of these without",
    )
    for name, default, meaning in (
        ("rows", 8, "in a batch"),
        ("prompt", 32, "tokens of each row's prompt"),
        ("new", 64, "tokens that each row writes"),
        ("repeats", 3, "of which the best counts"),
        ("asks", 4, "of each client"),
        ("threads", 2, "of PyTorch"),
        ("seed", 0, "of prompts"),
    ):
        text = f"{meaning} (default: {default})"
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=text)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for base in given.base:
        measure(base, given)


def measure(reference: str, given: argparse.Namespace) -> None:
    """One base's lines.

    Args:
        reference: of the base. given: the arguments.
    """
    source = load_source(reference, root=Path.cwd(), cache_dir=cache_folder())
    base = Base(source, device=torch.device("cpu"), dtype=torch.float32)
    mixed = [known(base, kind, options, 0) for kind, options in MIXED]
    loras = [known(base, "lora", {"rank": 8}, seed) for seed in range(4)]
    draw = np.random.default_rng(given.seed)
    prompts = draw.integers(1, 200, size=(given.rows, given.prompt)).tolist()
    loop = PeftLoop(reference, loras)
    lane = Lane(base, max(32, given.rows), 256)
    batcher = Batcher({"base": lane}, Limits())
    batcher.start()

    def rows(adapters: Sequence[Known]) -> list[tuple[Row, Heard]]:
        named = [adapters[place % len(adapters)] for place in range(len(prompts))]
        return [ask(s, prompt, given.new) for s, prompt in zip(named, prompts, strict=True)]

    named = [loras[place % 4] for place in range(len(prompts))]
    cases: dict[str, Callable[[], Any]] = {
        "mixed": lambda: together(batcher, rows(mixed)),
        "mixed one by one": lambda: one_by_one(batcher, rows(mixed)),
        "one lora": lambda: together(batcher, rows(loras[:1])),
        "four loras": lambda: together(batcher, rows(loras)),
        "peft, four loras": lambda: loop.write(named, prompts, given.new),
    }
    for action in cases.values():
        action()
    seconds = dict.fromkeys(cases, float("inf"))
    found: dict[str, Any] = {}
    for _ in range(given.repeats):
        for name, action in cases.items():
            spent, found[name] = best(action, 1)
            seconds[name] = min(seconds[name], spent)
    tokens = given.rows * given.new
    for name, spent in seconds.items():
        found_speed = round(tokens / spent, 1)
        print(json.dumps({"base": reference, "case": name, "tokens_per_second": found_speed}))
    same = sum(a == b for a, b in zip(found["mixed"], found["mixed one by one"], strict=True))
    as_peft = sum(
        a == b for a, b in zip(found["four loras"], found["peft, four loras"], strict=True)
    )
    for number in CLIENTS:
        found_times = latency(batcher, mixed, number, given.asks, given.new, given.seed)
        shown_times = {k: round(v, 2) for k, v in found_times.items()}
        print(json.dumps({"base": reference, "clients": number, **shown_times}), flush=True)
    batcher.stop()
    lane.close()
    summary = {
        "base": reference,
        "mixed over one by one": seconds["mixed one by one"] / seconds["mixed"],
        "mixed over one lora": seconds["one lora"] / seconds["mixed"],
        "four loras over peft": seconds["peft, four loras"] / seconds["four loras"],
        "mixed over peft": seconds["peft, four loras"] / seconds["mixed"],
    }
    shown = {k: round(v, 2) if isinstance(v, float) else v for k, v in summary.items()}
    print(json.dumps({**shown, "rows as alone": same, "rows as peft": as_peft, "rows": given.rows}))


if __name__ == "__main__":
    main()
