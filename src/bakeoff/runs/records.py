"""What a run found out, as typed records: the wire between who runs a study and who reads it.

Every record is a frozen dataclass of plain values. ``runs/reading.py`` makes them of JSON, checked,
and ``runs/folder.py`` writes them; no code behind those two asks a dictionary by strings. A figure
that is not known is None. Losses are in nats per supervised token, shares (ROUGE) in 0..1, times in
seconds, sizes in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from bakeoff.types import RunState

SCHEMA = 2
"""Of ``results.json``. Older ones are migrated where they are read."""

Comparable = Literal["better", "worse", "equivalent", "undecided"]
Answer = Literal["best", "cheapest_equivalent", "undecided", "none"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        mean: over test rows and seeds. low, high: bounds, None where no interval is known.
        per_seed: the figure of each seed's run, in the order of the method's candidates.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    per_seed: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MetricRecord:
    """A metric of the study's task.

    Attributes:
        signature: the library that computes it, with version and settings.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    primary: bool
    signature: str


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """What the study teaches, and by what an answer is scored."""

    kind: str
    metrics: tuple[MetricRecord, ...]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """With what a record was made.

    Attributes:
        bakeoff, torch, transformers, peft, python: versions.
        device: the processor's or the card's name. precision: what the base computes in.
        slots: candidates in its pass. micro_batch_size: rows of a slot in one pass.
    """

    bakeoff: str
    torch: str | None = None
    transformers: str | None = None
    peft: str | None = None
    python: str | None = None
    device: str | None = None
    precision: str | None = None
    threads: int | None = None
    slots: int | None = None
    micro_batch_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where the study ran, and when.

    Attributes:
        base: the base in words. base_fingerprint: of its weights and tokenizer.
        wall_seconds: of each stage, summed over calls of this process, and ``total``.
    """

    bakeoff: str
    torch: str | None
    transformers: str | None
    peft: str | None
    python: str | None
    platform: str | None
    device: str
    processors: int | None
    threads: int | None
    precision: str
    base: str
    base_fingerprint: str
    seed_of_data: int
    started: str
    finished: str
    wall_seconds: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class SplitRecord:
    """One split as it was used; ``documents_truncated`` counts the rows that were cut."""

    examples: int
    tokens_raw: int
    tokens_padded: int
    tokens_supervised: int
    padding_share: float
    documents_truncated: int
    rows_skipped: int


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """The study's splits, and the rows that stand in more than one of them, by pair of splits."""

    train: SplitRecord
    validation: SplitRecord
    test: SplitRecord
    overlap: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What was generated for the test set, counted.

    Attributes:
        examples: outputs in all. empty: without a visible character.
        unfinished: no end within the tokens allowed. invalid: not an answer that the task allows.
    """

    examples: int
    empty: int
    unfinished: int | None = None
    invalid: int = 0


@dataclass(frozen=True, kw_only=True)
class BaselineRecord:
    """What needs no training: the untuned base, the document's first sentences.

    Attributes:
        sentences: of the lead baseline.
    """

    validation: dict[str, Estimate]
    test: dict[str, Estimate]
    outputs: Outputs | None = None
    sentences: int | None = None


@dataclass(frozen=True, kw_only=True)
class EpochSeconds:
    """One epoch of a method alone, validation included.

    Attributes:
        mean: what is computed once per study spread over the epochs. low, high: its bounds.
        max: the slowest third, with all that is computed once per study.
        train, validation, first_epoch_extra: the parts.
        measured_steps: of the epoch's ``epoch_steps``.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    max: float | None = None
    train: float | None = None
    validation: float | None = None
    first_epoch_extra: float | None = None
    measured_steps: int | None = None
    epoch_steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class CostRecord:
    """What a method needs alone.

    Attributes:
        trainable_parameters: of one candidate. adapter_bytes: on disk.
        peak_memory_bytes: of training, the base included.
        token_latency_seconds: of one more token of one row.
        generation_rows_per_second: test rows, eight in a batch.
        micro_batch_size: that the figures were measured with.
        made_with: None where only the parameters and the adapter are known.
    """

    trainable_parameters: int | None = None
    adapter_bytes: int | None = None
    peak_memory_bytes: int | None = None
    epoch_seconds: EpochSeconds | None = None
    token_latency_seconds: Estimate | None = None
    generation_rows_per_second: float | None = None
    micro_batch_size: int | None = None
    made_with: Provenance | None = None


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One tried setting of a method's search."""

    learning_rate: float
    options: dict[str, Any]
    val_nll: float | None
    epochs: int
    state: RunState
    candidate: str


@dataclass(frozen=True, kw_only=True)
class MethodSearchRecord:
    """How a method's setting was found.

    Attributes:
        centre: of the grid, None where the study gives its own rates. grid: as it began.
        grown: rates by which the grid grew. best_at_edge: None while nothing is chosen.
        chosen: the candidate that won.
    """

    centre: float | None
    grid: tuple[float, ...]
    grown: int
    best_at_edge: bool | None
    chosen: str | None
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True, kw_only=True)
class MethodRecord:
    """One method of the study and what it reached.

    Attributes:
        state: its candidates' weakest. reason: why it is not complete.
        learning_rate: the chosen one, or the best so far.
        converged: whether the candidates had stopped improving; None where that is not known.
        seeds: of the runs that were tested.
        validation, test: by metric. also_test: by further test set, then by metric.
        candidates: ids of its final candidates, or of the searched ones while none is chosen.
    """

    kind: str
    title: str
    options: dict[str, Any]
    state: RunState
    reason: str | None
    learning_rate: float
    converged: bool | None = None
    seeds: tuple[int, ...] = ()
    cost: CostRecord
    validation: dict[str, Estimate] = field(default_factory=dict)
    test: dict[str, Estimate] = field(default_factory=dict)
    also_test: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    outputs: Outputs | None = None
    candidates: tuple[str, ...]
    search: MethodSearchRecord | None = None


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch of one candidate.

    Attributes:
        epoch: from 1. train_nll, val_nll: nats per supervised token.
        seconds: wall clock of the epoch and its validation, shared with the cohort's others.
    """

    epoch: int
    train_nll: float
    val_nll: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """A file that a result rests on."""

    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class CandidateRecord:
    """One method with one setting and one seed, and what came of it.

    Attributes:
        options: the searched options alone, as plain values.
        variant: their label in the id, empty where nothing but the rate is searched.
        cohort: of which it was a part, None where it is not known.
        files: what its results rest on, by path below the candidate's folder.
    """

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    variant: str = ""
    learning_rate: float
    seed: int
    state: RunState
    best_epoch: int | None
    epochs: tuple[EpochRecord, ...]
    cohort: str | None = None
    reason: str | None = None
    made_with: Provenance | None = None
    files: dict[str, FileRecord] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One pair of methods or baselines on one set by one metric.

    Attributes:
        difference: ``a`` minus ``b``. low, high: its bounds at ``level``.
        p_value: of no difference, corrected for the family.
        margin: within which two count as equivalent, None where equivalence is not judged.
        seeds: of ``a`` and of ``b``. examples: rows of the set.
        verdict: speaks of ``a``.
    """

    a: str
    b: str
    set: str
    metric: str
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    margin: float | None
    level: float
    seeds: tuple[int, int]
    examples: int
    verdict: Comparable


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """What to do all the same: the least expected regret, and its bound, in the metric's unit."""

    method: str
    regret: float
    bound: float


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What would decide an undecided answer; None where that is not known."""

    seeds: int | None = None
    rows: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunnerUp:
    """Another method that took part, by the primary metric on the test set.

    Attributes:
        difference: it minus the recommended one.
        verdict: of this method against the recommended one.
    """

    method: str
    difference: float
    low: float | None
    high: float | None
    verdict: Comparable


@dataclass(frozen=True, kw_only=True)
class Outside:
    """A method that is not shown to meet the limits, with the reasons in words."""

    method: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """Which method to use.

    Attributes:
        method: None unless ``verdict`` is ``best`` or ``cheapest_equivalent``.
        why: one sentence.
        equivalent, undecided, behind: the other methods that took part, by what is known of each
            against the recommended one.
        runners_up: the same, best first. changes: sentences on what would change the answer.
        limits: in words. outside: methods that are not shown to meet them.
    """

    method: str | None
    verdict: Answer
    why: str
    equivalent: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    needs: Needs | None = None
    fallback: Fallback | None = None
    runners_up: tuple[RunnerUp, ...] = ()
    changes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    outside: tuple[Outside, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """What the search trained, against every rate with every seed to the end."""

    seeds: tuple[int, ...]
    rungs: tuple[int, ...]
    epochs_trained: int
    epochs_full_grid: int
    tokens_trained: int
    tokens_full_grid: int


@dataclass(frozen=True, kw_only=True)
class Results:
    """``results.json``: everything that a study found, for programs.

    Attributes:
        study: as resolved, with every default written out.
        comparisons: of all pairs that were tested. notes: what a reader should know, in sentences.
    """

    schema: int = SCHEMA
    status: Literal["complete", "partial"]
    study: dict[str, Any]
    environment: Environment
    data: DataRecord
    task: TaskRecord
    baselines: dict[str, BaselineRecord]
    methods: dict[str, MethodRecord]
    candidates: dict[str, CandidateRecord]
    comparisons: tuple[Comparison, ...]
    recommendation: Recommendation
    search: SearchRecord | None = None
    notes: tuple[str, ...] = ()

    @property
    def primary(self) -> MetricRecord:
        """The metric that decides."""
        return next(metric for metric in self.task.metrics if metric.primary)
