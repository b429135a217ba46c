"""What packing short texts into one row would bring over rows of nearly equal length.

    python benchmarks/packing.py PATH/TO/FOLDER --column sentence --method lora soft_prompt

The folder holds ``train.jsonl`` or ``train.jsonl.gz``. The same texts go through the forward and
backward pass in three ways, interleaved: ``rows 32``, a text a row, widths in multiples of 32;
``rows 8``, in multiples of 8; ``packed``, all texts of a pass one after the other in one row, where
a mask lets each see itself and what the method puts before it, and positions start again at each.
All must give every text the same NLL, and the same gradient. Prints one JSON object per line:
padding, and milliseconds per pass (of processor time on a CPU).
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bakeoff.base.attention.interface import extended
from bakeoff.base.precision import choose_device, choose_dtype
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.memory import keep_freed
from common.flags import positive, run_main
from engines.measuring import print_record
from engines.ours import METHODS, initial_tensors, load_base, load_source_of, method_of

NLL_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-4
"""Relative to the largest; in float32."""
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Pass:
    """Texts of one pass, as one way lays them out.

    Attributes:
        ids_RT: [R, T]. source_N: [N] flat index of the position before each token that is
            predicted. targets_N: [N]. text_N: [N] the text of each.
        segment_T: [T] which text each position of the one row is of; None for rows.
        token_T: [T] the token's number in its text.
    """

    ids_RT: Tensor
    source_N: Tensor
    targets_N: Tensor
    text_N: Tensor
    segment_T: Tensor | None = None
    token_T: Tensor | None = None


def main(argv: Sequence[str] | None = None) -> None:
    """Runs all cases."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--column", default="text")
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--method", nargs="+", choices=METHODS, default=["lora", "soft_prompt"])
    parser.add_argument("--texts", type=positive, default=128)
    parser.add_argument("--micro-batch-size", type=positive, default=16)
    parser.add_argument("--max-length", type=positive, default=256)
    parser.add_argument("--repeats", type=positive, default=3)
    given = parser.parse_args(argv)
    keep_freed()  # as the command line does
    device = choose_device("auto")
    base, _ = load_base(given.base, device, choose_dtype("float32", device))
    tokenizer = load_source_of(given.base).tokenizer
    texts = [tokenise(tokenizer, text, given.max_length) for text in read(given)]
    for name in given.method:
        method = method_of(name, base)
        with Cohort(base, [method], 1, ProtocolOptions()) as cohort:
            cohort.seat(0, method, initial_tensors(method))
            compare(name, cohort, texts, given.micro_batch_size, given.repeats)


def read(given: argparse.Namespace) -> list[str]:
    """The first training texts."""
    packed, plain = given.folder / "train.jsonl.gz", given.folder / "train.jsonl"
    with gzip.open(packed, "rt") if packed.exists() else plain.open() as lines:
        return [
            json.loads(line)[given.column]
            for _, line in zip(range(given.texts), lines, strict=False)
        ]


def tokenise(tokenizer: object, text: str, max_length: int) -> Ids:
    """End-of-text, the text, end-of-text."""
    assert callable(tokenizer)
    end = getattr(tokenizer, "eos_token_id")  # noqa: B009
    ids = [end, *tokenizer(text)["input_ids"], end]
    return np.array(ids[:max_length], dtype=np.int64)


def compare(name: str, cohort: Cohort, texts: list[Ids], size: int, repeats: int) -> None:
    """Prints what each way takes for an epoch of ``texts``, and checks that they agree."""
    by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    sorted_passes = [by_length[i : i + size] for i in range(0, len(texts), size)]
    mixed = np.random.default_rng(0).permutation(len(texts)).tolist()
    mixed_passes = [mixed[i : i + size] for i in range(0, len(texts), size)]
    ways = {
        "rows 32": [in_rows(texts, chosen, 32) for chosen in sorted_passes],
        "rows 8": [in_rows(texts, chosen, 8) for chosen in sorted_passes],
        "packed": [in_one_row(texts, chosen) for chosen in mixed_passes],
    }
    device = cohort.base.device
    found = {way: epoch(cohort, passes, len(texts)) for way, passes in ways.items()}
    for way in ("rows 8", "packed"):
        for ours, theirs, tolerance in zip(
            found[way], found["rows 32"], (NLL_TOLERANCE, GRADIENT_TOLERANCE), strict=True
        ):
            apart = float((ours - theirs).abs().max() / theirs.abs().max())
            if apart > tolerance:
                raise SystemExit(f"{name}: {way} is {apart:.1e} off the rows, above {tolerance}")
    seconds = interleaved_seconds(
        device,
        {way: lambda p=passes: epoch(cohort, p, len(texts)) for way, passes in ways.items()},  # type: ignore[misc]
        repeats,
    )
    real = sum(len(text) for text in texts)
    for way, passes in ways.items():
        padded = sum(p.ids_RT.numel() for p in passes)
        print_record(
            method=name,
            way=way,
            texts=len(texts),
            mean_length=round(real / len(texts), 1),
            padding=round(1 - real / padded, 3),
            milliseconds_per_pass=round(1e3 * seconds[way] / len(passes), 1),
            times_faster=round(seconds["rows 32"] / seconds[way], 3),
            device=str(device),
            threads=torch.get_num_threads(),
        )


def in_rows(texts: list[Ids], chosen: list[int], step: int) -> Pass:
    """A text a row, all as wide as the longest, rounded up to a multiple of ``step``."""
    width = -(-max(len(texts[i]) for i in chosen) // step) * step
    ids = np.zeros((len(chosen), width), dtype=np.int64)
    source, targets, text = [], [], []
    for row, i in enumerate(chosen):
        ids[row, : len(texts[i])] = texts[i]
        source.append(row * width + np.arange(len(texts[i]) - 1))
        targets.append(texts[i][1:])
        text.append(np.full(len(texts[i]) - 1, i))
    return Pass(
        torch.from_numpy(ids),
        *(torch.from_numpy(np.concatenate(a)) for a in (source, targets, text)),
    )


def in_one_row(texts: list[Ids], chosen: list[int]) -> Pass:
    """All texts one after the other, with nothing between."""
    starts = np.cumsum([0, *(len(texts[i]) for i in chosen)])[:-1]
    source = [start + np.arange(len(texts[i]) - 1) for start, i in zip(starts, chosen, strict=True)]
    return Pass(
        torch.from_numpy(np.concatenate([texts[i] for i in chosen]))[None],
        torch.from_numpy(np.concatenate(source)),
        torch.from_numpy(np.concatenate([texts[i][1:] for i in chosen])),
        torch.from_numpy(np.concatenate([np.full(len(texts[i]) - 1, i) for i in chosen])),
        torch.from_numpy(np.concatenate([np.full(len(texts[i]), i) for i in chosen])),
        torch.from_numpy(np.concatenate([np.arange(len(texts[i])) for i in chosen])),
    )


def epoch(cohort: Cohort, passes: list[Pass], num_texts: int) -> tuple[Tensor, Tensor]:
    """([texts] nats, the slot's gradient) of all passes."""
    assert cohort.optimizer is not None
    cohort.optimizer.zero_grad()
    nll = torch.zeros(num_texts, device=cohort.base.device)
    for one in passes:
        hidden_ND = states(cohort, one).index_select(0, moved(cohort, one))
        mask = torch.ones_like(one.targets_N, dtype=torch.bool)
        loss_K, nll_KN = cohort.head_losses(hidden_ND[None], one.targets_N[None], mask[None])
        loss_K.sum().backward()
        nll.index_add_(0, one.text_N, nll_KN[0])
    return nll, cohort.optimizer.grads_Kn.clone()


def states(cohort: Cohort, one: Pass) -> Tensor:
    """[R * T, D] hidden states, soft prompts included."""
    if one.segment_T is None or one.token_T is None:
        hidden, _ = cohort.hidden_states(one.ids_RT[None])
        return hidden.flatten(0, 2)
    x_1TD = cohort.embed(one.ids_RT[None])[0]
    prompt, num_before = cohort.prompts(), 0
    if prompt is not None:
        x_1TD = torch.cat([prompt[0], x_1TD], dim=1)
        num_before = prompt[0].shape[1]
    before = torch.arange(num_before)
    position_T = torch.cat([before, num_before + one.token_T])
    segment_T = torch.cat([torch.full_like(before, -1), one.segment_T])
    own_TT = (segment_T[:, None] == segment_T) | (segment_T == -1)
    seen = (own_TT & (position_T[:, None] >= position_T))[None, None]

    def with_mask(
        module: nn.Module,
        key: Tensor,
        value: Tensor,
        window: int | None,
        mask: Tensor | None,
        *,
        as_bias: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        assert mask is None, "in training causality is the only mask"
        if window is None:
            return key, value, seen
        return key, value, seen & (position_T[:, None] - position_T < window)

    with extended(with_mask):
        return cohort.base.hidden_states(x_1TD, position_T[None]).flatten(0, 1)


def moved(cohort: Cohort, one: Pass) -> Tensor:
    """[N] the flat positions with soft prompts before the tokens."""
    prompt = cohort.prompts()
    added = 0 if prompt is None else prompt[0].shape[1]
    if one.segment_T is not None:
        return one.source_N + added
    row_N = torch.div(one.source_N, one.ids_RT.shape[1], rounding_mode="floor")
    return one.source_N + (row_N + 1) * added


def interleaved_seconds(
    device: torch.device, ways: dict[str, Callable[[], object]], repeats: int
) -> dict[str, float]:
    """Median seconds of a call of each way, one after the other and round again.

    On a CPU of processor time, which other programs on the machine do not lengthen.
    """
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, work in ways.items():
            started = _clock(device)
            work()
            found[way].append(_clock(device) - started)
    return {way: statistics.median(times) for way, times in found.items()}


def _clock(device: torch.device) -> float:
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    run_main(main)
