"""Candidates as plain data: what to train, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bakeoff.types import RunState


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


def candidate_id(
    method: str, variant: str, learning_rate: float | None, seed: int, rows: int | None = None
) -> str:
    """What names a candidate in a study, fit for a folder.

    ``METHOD[-VARIANT]-lrX-sSEED``, with ``-nROWS`` behind it where it learns from a subset. What
    was made elsewhere has no rate: ``METHOD-sSEED``.
    """
    rate = [] if learning_rate is None else [f"lr{learning_rate:g}"]
    parts = [method, *([variant] if variant else []), *rate, f"s{seed}"]
    return "-".join([*parts, *([] if rows is None else [f"n{rows}"])])


@dataclass(frozen=True, kw_only=True)
class CandidateSpec:
    """What to train: one method with one setting and one seed.

    Attributes:
        variant: the label of the searched options in the id, empty where only the rate is searched.
        options: the searched options alone, as plain values.
        rows: of its learning curve, the training rows that it learns from; None for all.
    """

    method: str
    variant: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    learning_rate: float
    seed: int
    rows: int | None = None

    @property
    def id(self) -> str:
        """Unique in the study."""
        return candidate_id(self.method, self.variant, self.learning_rate, self.seed, self.rows)


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
class SourceRecord:
    """Where a run that was made elsewhere lies; the hash is of its file, or of all its files."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class CandidateRecord:
    """One method with one setting and one seed, and what came of it.

    Attributes:
        options: the searched options alone, as plain values.
        variant: their label in the id, empty where nothing but the rate is searched.
        rows: of its learning curve, the training rows that it learnt from; None for all.
        learning_rate: None of one that was made elsewhere, whose ``source`` is there instead.
        cohort: of which it was a part, None where it is not known.
        validation: by metric, where the choice of a setting asked for it; None where it failed.
        files: what its results rest on, by path below the candidate's folder.
    """

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    variant: str = ""
    learning_rate: float | None
    seed: int
    rows: int | None = None
    state: RunState
    best_epoch: int | None
    epochs: tuple[EpochRecord, ...]
    cohort: str | None = None
    reason: str | None = None
    validation: dict[str, float | None] = field(default_factory=dict)
    made_with: Provenance | None = None
    files: dict[str, FileRecord] = field(default_factory=dict)
    source: SourceRecord | None = None

    @property
    def id(self) -> str:
        """Unique in the study."""
        return candidate_id(self.method, self.variant, self.learning_rate, self.seed, self.rows)

    @property
    def rate(self) -> float:
        """The learning rate of one that was trained here."""
        if self.learning_rate is None:
            raise ValueError(f"{self.id} was made elsewhere, and has no learning rate")
        return self.learning_rate

    @property
    def best_val_nll(self) -> float | None:
        """The lowest validation NLL, in nats per supervised token."""
        return None if self.best_epoch is None else self.epochs[self.best_epoch - 1].val_nll
