"""How long a method takes alone, from a sample of the study's own steps, batches and summaries.

An epoch's seconds follow from the sample's seconds per padded token, since every step of a study
has a known number of padded tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any, Final, TypeVar

import numpy as np
import torch

from bakeoff.base.model import Base
from bakeoff.data.batches import BatchPlan, MicroBatch, Step
from bakeoff.data.taskdata import SplitData
from bakeoff.engine.acceleration import accelerated
from bakeoff.engine.backends.capture import StepTimer
from bakeoff.engine.batch_source import BatchSource
from bakeoff.engine.choose import choose
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import GenerationOptions, Prompts, generate
from bakeoff.engine.step import train_step
from bakeoff.engine.workbench import Workbench
from bakeoff.measure.dry_run import seated, stand_in_batch_source, write_summaries
from bakeoff.methods.contract import Method, Tensors
from bakeoff.metrics.contract import Ask

clock: Callable[[], float] = time.perf_counter
"""What all is timed by; a benchmark on a shared machine may put another in its place."""
_WINDOWS: Final = 3
_RATE: Final = 1e-6
_LATENCY_DOCUMENTS: Final = 3
_LATENCY_TOKENS: Final = 17
_FEW_TOKENS: Final = 8
_WARM_TOKENS: Final = 3
_LEAST_SECONDS: Final = 1e-9
_GOLDEN: Final = 0.6180339887498949
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Seconds that a sample may take.

    Attributes:
        train: of training steps. evaluation: of validation, and of computing hidden states.
    """

    train: float = 4.0
    evaluation: float = 2.0


def time_epoch(
    bench: Workbench,
    method: Method,
    rows: int,
    budget: Budget,
    *,
    tensors: Tensors | None = None,
    start: float = 0.0,
) -> dict[str, Any]:
    """Times a sample of one method's epoch, alone.

    Args:
        bench: base and data. method: one of its methods. rows: of a micro-batch.
        budget: seconds that the sample may take. tensors: see ``seated``.
        start: where in the epoch, in 0..1, the sample begins; after its end it goes on at the
            beginning.

    Returns:
        Seconds per epoch: ``max`` (its slowest third, and all that is computed once per study),
        ``mean`` (that spread over the epochs), their parts ``train``, ``validation`` and
        ``first_epoch_extra``; ``measured_steps`` of ``epoch_steps``.
    """
    protocol, device = bench.protocol, bench.base.device
    train, validation = bench.plans["train"], bench.plans["validation"]
    extra = 0.0
    if method.execution_path.reads_hidden_states:
        extra = _time_hidden_states(bench, method.base, budget, start)
    batch_source = stand_in_batch_source(bench, method.execution_path)
    cohort = seated(bench, method, trains=True, tensors=tensors)
    rates = torch.tensor([_RATE], dtype=torch.float64, device=device)
    steps = from_part(train.epoch(protocol.seed_list[0], 0), start)
    longest = max(*train.widths, *validation.widths)
    with cohort, accelerated(cohort, longest, bench.engine) as graphs:
        optimizer = cohort.optimizer
        assert optimizer is not None
        # One micro-batch of each sampled step: the others cost the same.
        short = [Step(examples=s.examples[:rows], width=s.width) for s in steps]
        if graphs is None:
            # Two rows warm up as well as a full rectangle does, and on a large base much sooner;
            # compiled layers have other code for a single one.
            few = min(2, rows)
            first = Step(examples=steps[0].examples[:few], width=steps[0].width)
            seconds_of(device, train_step, cohort, batch_source, train, [first], rates, few)
        else:
            # What is captured once per study is start-up.
            for step in _roomiest(train, short, rows):
                seconds_of(
                    device, train_step, cohort, batch_source, train, [step], rates, rows, graphs
                )
        # As it is in the sampled steps, of which an epoch's have more passes to one update.
        captured = None if graphs is None else graphs.end
        end: Callable[[], object] = captured or partial(optimizer.step, rates, rates.float())
        update = min(seconds_of(device, end) for _ in range(2))

        def timed() -> Iterable[tuple[float, int]]:
            for step in short:
                spent = seconds_of(
                    device, train_step, cohort, batch_source, train, [step], rates, rows, graphs
                )
                yield max(0.0, spent - update), len(step.examples) * step.width

        samples = within(budget.train, timed())
        val_seconds = _time_validation(cohort, batch_source, validation, rows, budget, start)
    padded, updates = train.tokens_padded, update * train.num_steps
    train_mean = rate(samples) * padded + updates
    size = -(-len(samples) // _WINDOWS)
    windows = [samples[i : i + size] for i in range(0, len(samples), size)]
    train_max = max(rate(window) for window in windows) * padded + updates
    return {
        "max": train_max + val_seconds + extra,
        "mean": train_mean + val_seconds + extra / protocol.epochs,
        "train": train_mean,
        "validation": val_seconds,
        "first_epoch_extra": extra,
        "measured_steps": len(samples),
        "epoch_steps": train.num_steps,
    }


def _roomiest(plan: BatchPlan, steps: Sequence[Step], rows: int) -> list[Step]:
    """For each width the step with the most supervised tokens: its graph has room for the rest.

    A later step that needs more room would be captured while it is timed.
    """

    def supervised(step: Step) -> int:
        return sum(batch.num_supervised for batch in plan.micro_batches(step, rows))

    return list({step.width: step for step in sorted(steps, key=supervised)}.values())


@torch.no_grad()
def _time_validation(
    cohort: Cohort,
    batch_source: BatchSource,
    plan: BatchPlan,
    rows: int,
    budget: Budget,
    start: float,
) -> float:
    """Seconds of one validation, from as many of its batches as the budget allows."""
    device = cohort.base.device

    def losses(batch: MicroBatch) -> None:
        batch_source.losses(cohort, batch_source.pack(plan, [batch]))

    batches = from_part(spread(list(plan.in_length_order(rows))), start)
    total = sum(batch.input_ids.size for batch in batches)
    if cohort.base.is_compiled:
        losses(batches[0])  # what is compiled once per study is start-up
    samples = ((seconds_of(device, losses, b), b.input_ids.size) for b in batches)
    return rate(within(budget.evaluation, samples)) * total


@torch.no_grad()
def _time_hidden_states(bench: Workbench, base: Base, budget: Budget, start: float) -> float:
    """Seconds of computing hidden states once per study, from a sample of its batches."""
    rows = bench.protocol.micro_batch_size
    plans = [bench.plans["train"], bench.plans["validation"]]
    every = [batch for plan in plans for batch in plan.in_length_order(rows)]
    batches = from_part(spread(every), start)
    total = sum(batch.input_ids.size for batch in batches)
    with Cohort(base, [], 1) as empty:

        def hidden(batch: MicroBatch) -> None:
            empty.hidden_states(torch.from_numpy(batch.input_ids[None]).to(base.device))

        samples = ((seconds_of(base.device, hidden, b), b.input_ids.size) for b in batches)
        return rate(within(budget.evaluation, samples)) * total


def time_generation(
    bench: Workbench, method: Method, rows: int, tensors: Tensors | None = None
) -> float | None:
    """Test prompts per second of one method alone, ``rows`` of them in a batch.

    What is captured once for many batches is left out, and so is warming up.
    """
    if not bench.task.asks & {Ask.TEXT, Ask.CHOICE}:
        return None
    with seated(bench, method, tensors=tensors) as cohort:
        return time_answers(bench, cohort, bench.data.splits["test"], rows)


def time_answers(bench: Workbench, cohort: Cohort, part: SplitData, rows: int) -> float | None:
    """Rows per second that the candidate in the first slot answers, ``rows`` of them in a batch.

    Args:
        bench: what is asked, and how it is written. cohort: entered; an empty slot is the base.
        part: whose first rows.

    Returns:
        None where the task asks for neither a text nor a choice.
    """
    if Ask.TEXT not in bench.task.asks:
        return _choices_per_second(bench, cohort, part, rows)
    prompts = [part.prompts[i] for i in range(min(rows, len(part)))]
    options, device = bench.generation, bench.base.device
    _warm_up(cohort, prompts, options)
    timer = _StartUp(device)
    seconds = seconds_of(device, lambda: generate(cohort, [0], prompts, options, timer=timer))
    return len(prompts) / max(seconds - timer.starting, _LEAST_SECONDS)


def time_writing(bench: Workbench, method: Method, rows: int) -> float | None:
    """As ``time_generation``, from the first few tokens: every answer as long as it may be."""
    if Ask.TEXT not in bench.task.asks:
        return time_choosing(bench, method, rows)
    wanted = bench.generation.max_new_tokens
    short, long = 1, min(wanted, _FEW_TOKENS)
    device = bench.base.device
    rows = min(rows, len(bench.data.splits["test"]))
    with seated(bench, method) as cohort:
        write_summaries(bench, cohort, 1, short)
        first = seconds_of(device, write_summaries, bench, cohort, rows, short)
        if long == short:
            return rows / first
        more = seconds_of(device, write_summaries, bench, cohort, rows, long)
    further = max(0.0, more - first) / (long - short)
    return rows / (first + (wanted - short) * further)


def time_choosing(
    bench: Workbench, method: Method, rows: int, tensors: Tensors | None = None
) -> float | None:
    """Test rows per second whose answers one method alone chooses, ``rows`` of them in a batch.

    None where the task asks for no choice.
    """
    if Ask.CHOICE not in bench.task.asks:
        return None
    with seated(bench, method, tensors=tensors) as cohort:
        return _choices_per_second(bench, cohort, bench.data.splits["test"], rows)


def _choices_per_second(
    bench: Workbench, cohort: Cohort, part: SplitData, rows: int
) -> float | None:
    if Ask.CHOICE not in bench.task.asks:
        return None
    count = min(rows, len(part))
    prompts = [part.prompts[i] for i in range(count)]
    choices = [part.choice_sets[part.choice_set[i]].tokens for i in range(count)]
    choose(cohort, [0], prompts[:1], choices[:1])
    seconds = seconds_of(
        bench.base.device, lambda: choose(cohort, [0], prompts, choices, batch_rows=count)
    )
    return count / max(seconds, _LEAST_SECONDS)


def token_latency(
    bench: Workbench, method: Method, tensors: Tensors | None = None, document: int | None = None
) -> float | None:
    """Median seconds to write one more token of the answer to one row.

    The first token, which reads the document, is left out, and all that is done once for many
    tokens: warming up, and on a GPU capturing the step.

    Args:
        bench: base and data. method: one of its methods. tensors: see ``seated``.
        document: which of a few of middling length is read, counted round;
            None reads each of them.

    Returns:
        None where no answer has two more tokens, or the task asks for no text.
    """
    if Ask.TEXT not in bench.task.asks:
        return None
    prompts = bench.data.splits["test"].prompts
    asked = bench.generation.max_new_tokens
    options = replace(bench.generation, max_new_tokens=min(asked, _LATENCY_TOKENS), batch_rows=1)
    in_length_order = np.argsort(prompts.lengths, kind="stable")
    chosen = [prompts[int(i)] for i in in_length_order[len(prompts) // 2 :][:_LATENCY_DOCUMENTS]]
    if document is not None:
        chosen = [chosen[document % len(chosen)]]
    device = bench.base.device
    spans: list[float] = []
    with seated(bench, method, tensors=tensors) as cohort:
        _warm_up(cohort, chosen[:1], options)
        for prompt in chosen:
            timer = _Clockwork(device)
            with _steps(cohort, timer, options):
                generate(cohort, [0], [prompt], options, timer=timer)
            # The first span is the reading of the document.
            spans += timer.spans[1:]
    return median(spans) if spans else None


class _StartUp(StepTimer):
    """What is done once for many steps.

    Attributes:
        starting: seconds of it so far.
    """

    def __init__(self, device: torch.device) -> None:
        self.starting = 0.0
        self._device = device

    @contextmanager
    def start_up(self) -> Iterator[None]:
        """See ``StepTimer``."""
        before = self._now()
        yield
        self.starting += self._now() - before

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return clock()


class _Clockwork(_StartUp):
    """The times at which steps begin, by a clock that stops during start-up.

    It waits for the device at every step, which a measurement of speed must not.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._steps: list[tuple[float, float]] = []

    def step(self) -> None:
        """See ``StepTimer``."""
        self._steps.append((self._now() - self.starting, self.starting))

    @property
    def spans(self) -> list[float]:
        """Seconds from each step to the next, without steps that were start-up, all of them."""
        return [
            end - begin
            for (begin, before), (end, after) in pairwise(self._steps)
            if before == after
        ]


@contextmanager
def _steps(cohort: Cohort, timer: StepTimer, options: GenerationOptions) -> Iterator[None]:
    """Tells the timer of the steps that Transformers makes; greedy search does so itself."""
    if options.strategy == "greedy":
        yield
        return
    handle = cohort.base.decoder.register_forward_pre_hook(lambda *_: timer.step())
    try:
        yield
    finally:
        handle.remove()


def _warm_up(cohort: Cohort, prompts: Prompts, options: GenerationOptions) -> None:
    """Generates once, so that libraries are loaded and have chosen their kernels.

    On a GPU as many tokens as are timed, since some kernels are chosen by length; elsewhere few.
    """
    if cohort.base.device.type != "cuda":
        few = min(options.max_new_tokens, _WARM_TOKENS)
        options = replace(options, max_new_tokens=few)
    generate(cohort, [0], prompts, options)


def seconds_of(device: torch.device, work: Callable[..., object], *arguments: Any) -> float:
    """How long ``work(*arguments)`` takes, the GPU's part included."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
    started = clock()
    work(*arguments)
    if on_gpu:
        torch.cuda.synchronize(device)
    return clock() - started


def within(seconds: float, samples: Iterable[tuple[float, int]]) -> list[tuple[float, int]]:
    """Takes samples, at least one, until they have taken so long together."""
    taken: list[tuple[float, int]] = []
    started = clock()
    for sample in samples:
        taken.append(sample)
        if clock() - started > seconds:
            break
    return taken


def spread(batches: Sequence[MicroBatch]) -> list[MicroBatch]:
    """Reorders batches that are in order of length, so that the first few are of all lengths."""
    return [batches[i] for i in sorted(range(len(batches)), key=lambda i: (i + 0.5) * _GOLDEN % 1)]


def from_part(items: Sequence[Item], start: float) -> list[Item]:
    """All items in their order from a place on, in 0..1, and then those before it."""
    first = int(start * len(items))
    return [*items[first:], *items[:first]]


def rate(samples: Sequence[tuple[float, int]]) -> float:
    """Seconds per padded token."""
    return sum(s for s, _ in samples) / max(1, sum(n for _, n in samples))
