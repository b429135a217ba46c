"""What a method will hold and compute, traced before anything is allocated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import torch

from bakeoff.base.choice import BaseChoice
from bakeoff.base.devices import GpuProfile, profile_of
from bakeoff.base.meta_model import MetaBase
from bakeoff.engine.backends.worker_threads import worker_threads_of
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.greedy import writes_frozen
from bakeoff.engine.generation.rows import largest_power_of_two, rows_of_batch
from bakeoff.engine.options import EngineOptions
from bakeoff.engine.step import MOST_WORKER_BYTES
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.measure.dry_run import Stage, dry_run, seated, widest_step, write_summaries
from bakeoff.measure.tracing import Trace, Work, fake_world, traced
from bakeoff.methods.contract import Method
from bakeoff.methods.entries import MethodEntry

Cost = Callable[[float, float, torch.dtype], float]
_TENSOR_ENTRY_BYTES = 96
"""Of a safetensors header, beside the tensor's name."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One candidate of a method, alone.

    Attributes:
        base_bytes: what the base takes before any candidate is seated.
        slot_bytes: what the candidate adds at its peak: its tensors, gradients and moments, and
            one micro-batch's activations.
        held_bytes: the part of it that is there between two steps.
        beside_bytes: what a validation takes beside all that, once for all candidates of a pass:
            the memory of a captured update stays its graph's. Zero where nothing is captured.
        training: the work of one update from one micro-batch of ``tokens`` padded tokens.
        validation: the work of one batch of ``validation_tokens`` padded tokens.
        rows: of the micro-batch.
    """

    base_bytes: int
    slot_bytes: int
    held_bytes: int
    beside_bytes: int
    training: Work
    validation: Work
    tokens: int
    validation_tokens: int
    rows: int

    @property
    def peak_bytes(self) -> int:
        """What the results call ``peak_memory_bytes``: the most that tensors hold at a time."""
        return self.base_bytes + self.slot_bytes

    @property
    def reserved_bytes(self) -> int:
        """What must be free for it."""
        return self.peak_bytes + self.beside_bytes


@dataclass(frozen=True, kw_only=True)
class Traced:
    """What a ``Prediction`` depends on, of one study's rows: what is equal is traced once.

    Attributes:
        kind, options, label: of a method's variant. rows: of a micro-batch.
        base: that it is on. engine: options. workers: threads of a narrow base.
    """

    kind: str
    options: str
    label: str
    rows: int
    base: BaseChoice
    engine: EngineOptions
    workers: int


@dataclass(frozen=True, kw_only=True)
class Writing:
    """Writing summaries, one batch of them.

    Attributes:
        peak_bytes: base included.
        first: the work of reading the documents and writing one token.
        further: the work of each token after it.
    """

    peak_bytes: int
    first: Work
    further: Work


class Predictor:
    """Traces the methods of one study.

    Args:
        bench: the study, with or without a real base; nothing of it is changed.
        dtype: what the base computes in; the bench's own without.
        gpu: what the passes are traced for; the bench's own device without.
        cost: see ``measure.tracing.Trace``.
        known: what another predictor has traced, of the same rows by the same device, format and
            cost; it is added to.
    """

    def __init__(
        self,
        bench: Workbench,
        *,
        dtype: torch.dtype | None = None,
        gpu: GpuProfile | None = None,
        cost: Cost | None = None,
        known: dict[Traced, Prediction] | None = None,
    ) -> None:
        self.gpu = gpu or profile_of(bench.base.device)
        # There the base's float32 original is not where what is traced is.
        self._on_gpu = self.gpu is not None
        self.cost = cost
        self.bench = bench
        self.untraced: dict[str, str] = {}
        """Methods whose passes cannot be traced, by name, and why."""
        self._world = fake_world()
        self._dtype = dtype
        self.known: dict[Traced, Prediction] = {} if known is None else known
        """What has been traced of the study's own rows, which is asked for several times."""
        with traced(self._world, gpu=self.gpu):
            held = {real.choice: MetaBase(real, dtype=dtype) for real in bench.held_bases}
        self._bases = held
        self.base = held[bench.base.choice]
        self.base_bytes = self._bytes_of(self.base)
        self.all_bytes = sum(self._bytes_of(one) for one in held.values())
        """Of all bases that the study holds."""

    def _bytes_of(self, base: MetaBase) -> int:
        return base.held_bytes + (0 if self._on_gpu else base.source_bytes)

    def training(
        self, entry: MethodEntry, label: str, rows: int, *, study: Workbench | None = None
    ) -> Prediction:
        """Traces one update and one validation of a method's variant.

        Args:
            entry: the method. label: of its variant.
            rows: of a micro-batch.
            study: the study with other engine options or rows; as it is without.
        """
        study = study or self.bench
        if study.plans is not self.bench.plans:
            return self._trained(entry, label, rows, study)
        base = self._base_of(entry)
        key = Traced(
            kind=entry.kind,
            options=repr(sorted(entry.given.items())),
            label=label,
            rows=rows,
            base=base.choice,
            engine=study.engine,
            workers=worker_threads_of(self.bench.base).num,
        )
        if key not in self.known:
            self.known[key] = self._trained(entry, label, rows, study)
        # What is kept beside the held weights differs from study to study.
        return replace(self.known[key], base_bytes=self._bytes_of(base))

    def _trained(self, entry: MethodEntry, label: str, rows: int, study: Workbench) -> Prediction:
        stages: dict[Stage, tuple[int, int, Work]] = {}
        with _tracing_errors(entry), traced(self._world, gpu=self.gpu):
            bench, method = self._meta(entry, label, study)
            method_base = self._base_of(entry)
            trace = self._trace(method_base)

            def done(stage: Stage) -> None:
                stages[stage] = trace.peak_bytes, trace.live_bytes, trace.work
                trace.begin()

            with trace:
                is_captured = dry_run(bench, method, rows, done=done)
        # On a GPU a candidate's first tensors are made on the host.
        counted = [s for s in stages if not (s == "seated" and self._on_gpu)]
        plan = study.plans["train"]
        step = widest_step(plan, bench.protocol.seed_list[0], rows)
        validation = max(b.input_ids.size for b in study.plans["validation"].in_length_order(rows))
        return Prediction(
            base_bytes=self._bytes_of(method_base),
            slot_bytes=max(stages[stage][0] for stage in counted) + self._worker_bytes(method),
            held_bytes=stages["training"][1],
            beside_bytes=(
                max(0, stages["validation"][0] - stages["training"][1])
                if is_captured and self._on_gpu
                else 0
            ),
            training=stages["training"][2],
            validation=stages["validation"][2],
            # The widest update may have fewer rows than the pass, which then computes padding.
            tokens=rows * step.width,
            validation_tokens=validation,
            rows=rows,
        )

    def writing(self, entry: MethodEntry, label: str, rows: int) -> Writing:
        """Traces the writing of ``rows`` summaries in one batch."""
        wanted = self.bench.longest_answer
        short, long = 1, min(3, max(2, wanted))
        found: dict[int, tuple[int, Work]] = {}
        with _tracing_errors(entry), traced(self._world, gpu=self.gpu):
            bench, method = self._meta(entry, label)
            trace = self._trace(self._base_of(entry))
            with trace, seated(bench, method) as cohort:
                trace.begin()

                def written(num_tokens: int) -> None:
                    if num_tokens in (short, long):
                        found[num_tokens] = trace.peak_bytes, trace.work
                    if num_tokens == long:
                        raise _EnoughError

                # The cache has room for all tokens from the start, so that all are asked for.
                with suppress(_EnoughError), _after_each_token(cohort, written):
                    write_summaries(bench, cohort, rows, wanted)
                for num_tokens in (short, long):
                    found.setdefault(num_tokens, (trace.peak_bytes, trace.work))
        more = long - short
        # What looks at the cache grows with what is written.
        growth = max(0, found[long][0] - found[short][0]) / more
        return Writing(
            peak_bytes=self._bytes_of(self._base_of(entry))
            + found[short][0]
            + round(growth * max(0, wanted - short)),
            first=found[short][1],
            further=_share(found[short][1], found[long][1], more),
        )

    def adapter_bytes(self, entry: MethodEntry, label: str) -> int:
        """Bytes of a variant's adapter on disk: float32 tensors, and the header that names them."""
        with traced(self._world, gpu=self.gpu):
            _, method = self._meta(entry, label)
            kept = method.stored(method.initial(torch.Generator().manual_seed(0)))
        return sum(4 * t.numel() + len(name) + _TENSOR_ENTRY_BYTES for name, t in kept.items())

    def _worker_bytes(self, method: Method) -> int:
        """The gradients that each worker of a narrow base holds beside the optimizer's."""
        workers = 1 if self._on_gpu else worker_threads_of(self.bench.base).num
        num_bytes = 4 * method.num_trainable * workers
        return num_bytes if workers > 1 and num_bytes <= MOST_WORKER_BYTES else 0

    def _base_of(self, entry: MethodEntry) -> MetaBase:
        """The base of shapes of the one that a method of the study is on."""
        variants = self.bench.methods.get(entry.name)
        choice = self.bench.base.choice
        if variants:
            choice = next(iter(variants.values())).base.choice
        return self._bases.get(choice, self.base)

    def _trace(self, base: MetaBase) -> Trace:
        return Trace((base.model, base.source.model), self.cost)

    def _meta(
        self, entry: MethodEntry, label: str, study: Workbench | None = None
    ) -> tuple[Workbench, Method]:
        """The study on the meta base, and the method on it."""
        study = study or self.bench
        base = self._base_of(entry)
        method = entry.build(base)[label]
        bench = replace(study, base=base, bases={}, methods={entry.name: {label: method}})
        # The schedules are the study's own; a second time they would only cost time.
        bench.__dict__["plans"] = study.plans
        return bench, method


@contextmanager
def _tracing_errors(entry: MethodEntry) -> Iterator[None]:
    """Says which method it is whose pass asks for numbers, which a trace does not have."""
    try:
        yield
    except BakeoffError:
        raise
    except Exception as error:  # each library refuses fake tensors in words of its own
        raise ConfigError(
            f"methods.{entry.name}: its memory cannot be predicted ({type(error).__name__}: "
            f"{error}); plan the study without it"
        ) from error


class _EnoughError(Exception):
    """As many tokens as were to be traced are written."""


@contextmanager
def _after_each_token(cohort: Cohort, written: Callable[[int], None]) -> Iterator[None]:
    """Calls ``written`` with the tokens written so far where the decoder is to write one more."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        if calls:
            written(calls)
        calls += 1

    handle = cohort.base.decoder.register_forward_pre_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _share(less: Work, more: Work, parts: int) -> Work:
    """The difference of two pieces of work, cut into equal parts."""
    return Work(
        operations=(more.operations - less.operations) // parts,
        flops={d: (n - less.flops.get(d, 0.0)) / parts for d, n in more.flops.items()},
        bytes_moved=(more.bytes_moved - less.bytes_moved) / parts,
        seconds=(more.seconds - less.seconds) / parts,
    )


def most_demanding(bench: Workbench, entry: MethodEntry) -> tuple[str, Method]:
    """The label and the method of the variant that trains most."""
    methods = bench.methods[entry.name]
    label = max(methods, key=lambda name: methods[name].num_trainable)
    return label, methods[label]


def largest_batch(bench: Workbench) -> int:
    """Documents in one batch of writing test summaries, at most."""
    test = bench.data.splits["test"]
    longest = bench.task.max_length + bench.longest_answer
    rows = rows_of_batch(bench.base, bench.generation, longest)
    if bench.generation.strategy == "greedy" and writes_frozen(bench.base):
        rows = largest_power_of_two(rows)
    return min(rows, len(test))
