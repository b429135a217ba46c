"""What a run found out, as typed records: all that passes from running a study to reading it.

Every record is a frozen dataclass of plain values. ``runs/reading.py`` makes them of JSON, checked,
and ``runs/folder.py`` writes them; no code behind those two asks a dictionary by strings. A figure
that is not known is None. Losses are in nats per supervised token, shares (ROUGE) in 0..1, times in
seconds, sizes in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from bakeoff.runs.baseline_cost import BaselineCost as BaselineCost
from bakeoff.runs.candidates import CandidateRecord as CandidateRecord
from bakeoff.runs.candidates import CandidateSpec as CandidateSpec
from bakeoff.runs.candidates import EpochRecord as EpochRecord
from bakeoff.runs.candidates import FileRecord as FileRecord
from bakeoff.runs.candidates import Provenance as Provenance
from bakeoff.runs.candidates import SourceRecord as SourceRecord
from bakeoff.runs.decisions import Answer as Answer
from bakeoff.runs.decisions import Comparable as Comparable
from bakeoff.runs.decisions import Comparison as Comparison
from bakeoff.runs.decisions import DecisionRecord as DecisionRecord
from bakeoff.runs.decisions import DecisionWarning as DecisionWarning
from bakeoff.runs.decisions import Fallback as Fallback
from bakeoff.runs.decisions import Margin as Margin
from bakeoff.runs.decisions import Needs as Needs
from bakeoff.runs.decisions import Outside as Outside
from bakeoff.runs.decisions import Recommendation as Recommendation
from bakeoff.runs.decisions import RunnerUp as RunnerUp
from bakeoff.runs.decisions import Spread as Spread
from bakeoff.runs.factors import CellRecord as CellRecord
from bakeoff.runs.factors import FactorsRecord as FactorsRecord
from bakeoff.runs.factors import VarianceComponent as VarianceComponent
from bakeoff.runs.judged import JudgeRecord as JudgeRecord
from bakeoff.runs.splits import DataLengths as DataLengths
from bakeoff.runs.splits import DataRecord as DataRecord
from bakeoff.runs.splits import LengthSpread as LengthSpread
from bakeoff.runs.splits import SplitLengths as SplitLengths
from bakeoff.runs.splits import SplitRecord as SplitRecord
from bakeoff.types import RunState

SCHEMA = 2
"""Of ``results.json``. Older ones are migrated where they are read."""


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
    """What the study teaches, and by what an answer is scored.

    Attributes:
        input_word, output_word: what a reader calls what goes in and what comes out.
        labels: those that all rows choose from.
        found: options that the training rows decided, as the labels of a classification.
    """

    kind: str
    metrics: tuple[MetricRecord, ...]
    input_word: str = "document"
    output_word: str = "summary"
    labels: tuple[str, ...] = ()
    found: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TestSetRecord:
    """A further test set of a study.

    Attributes:
        kind: of task. metrics: what answers are scored by; the first is primary.
        margins: by metric a difference that does not matter.
        examples: rows. rows_cut: whose input is not all there. rows_skipped: that were left out.
        max_drop: by metric what a recommended method may lose against the untuned base.
        outputs: what was written there, counted, by method and baseline that wrote something.
    """

    __test__ = False  # no class of tests, whatever its name begins with

    kind: str
    metrics: tuple[MetricRecord, ...]
    margins: dict[str, Margin]
    examples: int
    rows_cut: int = 0
    rows_skipped: int = 0
    max_drop: dict[str, float] = field(default_factory=dict)
    outputs: dict[str, Outputs] = field(default_factory=dict)


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


Confusion = tuple[tuple[int, ...], ...]
"""[L][L], or [L][L + 1], answers counted: a line for each right label, a column for each chosen
one, in the order of ``TaskRecord.labels``; last, where there are any, answers that are no label."""


@dataclass(frozen=True, kw_only=True)
class BaselineRecord:
    """What needs no training: the untuned base, the document's first sentences, the majority label.

    Attributes:
        title: for readers. sentences: of the lead baseline, in older results.
        also_test: by further test set, then by metric.
        shots: training rows before each prompt, where validation chose a number of them.
        cost: of an answer, where the base is asked; None of others, and in older results.
        cell: of a crossed study, where it was asked. plain_name: what it is called there.
    """

    title: str | None = None
    made_with: Provenance | None = None
    validation: dict[str, Estimate]
    test: dict[str, Estimate]
    also_test: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    outputs: Outputs | None = None
    confusion: Confusion | None = None
    sentences: int | None = None
    shots: int | None = None
    cost: BaselineCost | None = None
    cell: str | None = None
    plain_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class EpochSeconds:
    """One epoch of a method alone, validation included.

    Attributes:
        mean: what is computed once per study spread over the epochs; the median of the repeats.
        low, high: bounds of that median, with 95 % probability.
        max: the slowest repeat, with all that is computed once per study.
        train, validation, first_epoch_extra: the parts, each the median of the repeats.
        measured_steps: of the epoch's ``epoch_steps``, in all repeats.
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
        token_latency_seconds: of one more token of one row; the median of the repeats, with bounds.
        generation_rows_per_second: test rows, eight in a batch.
        plain_epoch_seconds: one epoch of the same method in a plain loop of Transformers and PEFT;
            the median of the repeats, with bounds. no_plain_reason: why there is none.
        micro_batch_size: that the figures were measured with.
        repeats: of what is timed.
        made_with: None where only the parameters and the adapter are known.
    """

    trainable_parameters: int | None = None
    adapter_bytes: int | None = None
    peak_memory_bytes: int | None = None
    epoch_seconds: EpochSeconds | None = None
    token_latency_seconds: Estimate | None = None
    generation_rows_per_second: float | None = None
    plain_epoch_seconds: Estimate | None = None
    no_plain_reason: str | None = None
    micro_batch_size: int | None = None
    repeats: int | None = None
    made_with: Provenance | None = None


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One tried setting of a method's search.

    Attributes:
        selected_by: its validation value by the metric that settings are chosen by, where that is
            not ``nll`` and it was among those that it chose from.
    """

    learning_rate: float
    options: dict[str, Any]
    val_nll: float | None
    epochs: int
    state: RunState
    candidate: str
    selected_by: float | None = None


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
class ExternalRecord:
    """What a study says of an entrant that was made elsewhere.

    Attributes:
        form: of its runs. price: as the study gives it, for the record.
    """

    form: Literal["adapter", "checkpoint", "predictions"]
    price: float | dict[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class MethodRecord:
    """One method of the study and what it reached.

    Attributes:
        state: its candidates' weakest. reason: why it is not complete.
        learning_rate: the chosen one, or the best so far; None of an external entrant.
        external: of one that was made elsewhere, of which nothing was trained here.
        converged: whether the candidates had stopped improving; None where that is not known.
        seeds: of the runs that were tested.
        confusion: of all their answers to the test rows.
        validation, test: by metric. also_test: by further test set, then by metric.
        candidates: ids of its final candidates, or of the searched ones while none is chosen.
        quantization: in what the base's linear layers are held that it trains over.
        cell: of a crossed study, in which of ``factors.cells`` it was trained. base, template: its
            levels. plain_name: the method without them.
    """

    kind: str
    title: str
    options: dict[str, Any]
    state: RunState
    reason: str | None
    learning_rate: float | None
    converged: bool | None = None
    seeds: tuple[int, ...] = ()
    cost: CostRecord
    validation: dict[str, Estimate] = field(default_factory=dict)
    test: dict[str, Estimate] = field(default_factory=dict)
    also_test: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    outputs: Outputs | None = None
    confusion: Confusion | None = None
    candidates: tuple[str, ...]
    search: MethodSearchRecord | None = None
    quantization: str = "none"
    external: ExternalRecord | None = None
    cell: str | None = None
    base: str | None = None
    template: str | None = None
    plain_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class RowsGain:
    """What more training rows brought, by the metric that decides, on the same test rows.

    Attributes:
        rows: of the point before.
        difference: of the mean over seeds from that point's, in the metric's unit.
        low, high: its bounds at ``level``, of this pair alone; None where nothing may be said.
        margin: a difference that does not matter.
        verdict: of the point with more rows. why: why nothing is said, else None.
    """

    rows: int
    difference: float
    low: float | None
    high: float | None
    margin: float | None
    level: float
    verdict: Comparable
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class LearningCurvePoint:
    """A method's chosen setting, trained on so many training rows.

    Attributes:
        rows: the first ones of each seed's permutation; the last point of a curve has all of them,
            and is the study's own.
        candidates: ids of the runs that were tested. seeds: theirs.
        metrics: on the test set, by metric: the one that decides, and what came with it.
        gain: over the point before; None of the first.
    """

    rows: int
    candidates: tuple[str, ...]
    seeds: tuple[int, ...]
    metrics: dict[str, Estimate]
    gain: RowsGain | None = None


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """What the search trained, against every setting with every seed to the end.

    Attributes:
        seed: of the search's own candidates; None in the first edition, where it was the first of
            the chosen settings'.
        seeds: of the chosen settings, before any look at the test scores.
        rungs: epochs after which candidates were compared.
    """

    seed: int | None = None
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
        comparisons: of all pairs that were tested, baselines included.
        decision: by what they were judged; None in results of the first edition's rules, whose
            recommendation is shown as it was written.
        also_test: further test sets by name.
        learning_curve: by method its points, those of few rows first.
        judge: how the metric ``judge`` came about; None where the study has none.
        factors: of a study with ``bases`` or ``templates``, and which of them mattered.
        notes: what a reader should know, in sentences.
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
    decision: DecisionRecord | None = None
    search: SearchRecord | None = None
    also_test: dict[str, TestSetRecord] = field(default_factory=dict)
    learning_curve: dict[str, tuple[LearningCurvePoint, ...]] = field(default_factory=dict)
    judge: JudgeRecord | None = None
    factors: FactorsRecord | None = None
    notes: tuple[str, ...] = ()

    @property
    def primary(self) -> MetricRecord:
        """The metric that decides."""
        return next(metric for metric in self.task.metrics if metric.primary)
