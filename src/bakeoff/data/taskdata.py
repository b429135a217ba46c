"""A task's data as training, generation and scoring use them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.overlap import Overlap, OverlapExample
from bakeoff.data.ragged import Ragged, Texts
from bakeoff.types import Split

_RAGGED: Final = ("prompts", "completions", "generation_prompts")
_TEXTS: Final = ("documents", "raw_documents", "summaries")
_COUNTS: Final = ("tokens_raw", "tokens_supervised", "documents_truncated", "rows_skipped")


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitData:
    """One split, one entry a usable row, in the source's order.

    Attributes:
        documents: cleaned.
        raw_documents: before cleaning, for lead-k.
        summaries: cleaned references.
        rows: [rows] int64, numbers in the source, from 1.
        prompts: begin-of-text, prefix, as much of the document as fits beside the completion, and
            what comes before the summary.
        completions: white space, summary, suffix and the end-of-text token; never cut.
        generation_prompts: as ``prompts``, but cut as if the summary fits ``max_summary_tokens``,
            so that nothing of the reference shows.
        tokens_raw: tokens of all documents and summaries as plain text, uncut, without template.
        tokens_supervised: tokens of all completions.
        documents_truncated: rows whose training prompt lacks some of the document.
        rows_skipped: rows left out under ``on_bad_row: skip``.
        desks: the kind of each text; None where the source does not know it.
    """

    documents: Sequence[str]
    raw_documents: Sequence[str]
    summaries: Sequence[str]
    rows: NDArray[np.int64]
    prompts: Ragged
    completions: Ragged
    generation_prompts: Ragged
    tokens_raw: int
    tokens_supervised: int
    documents_truncated: int
    rows_skipped: int
    desks: list[str] | None = None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskData:
    """All splits of a task.

    Attributes:
        splits: train, validation and test.
        overlap: rows that are in more than one of them.
        warnings: sentences for the user about what was found.
        seed: the task's.
    """

    splits: dict[Split, SplitData]
    overlap: Overlap
    warnings: list[str]
    seed: int


def to_cache(data: TaskData) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Takes data apart into arrays and metadata of plain values."""
    arrays: dict[str, NDArray[Any]] = {}
    splits: dict[str, Any] = {}
    for split, part in data.splits.items():
        arrays[f"{split}.rows"] = part.rows
        for name in (*_RAGGED, *_TEXTS):
            rows = getattr(part, name)
            if not isinstance(rows, (Ragged, Texts)):
                rows = Texts.from_rows(rows)
            arrays[f"{split}.{name}.values"] = rows.values
            arrays[f"{split}.{name}.offsets"] = rows.offsets
        splits[split] = {name: getattr(part, name) for name in (*_COUNTS, "desks")}
    meta = {
        "splits": splits,
        "overlap": dataclasses.asdict(data.overlap),
        "warnings": data.warnings,
        "seed": data.seed,
    }
    return arrays, meta


def from_cache(arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> TaskData:
    """Puts together what ``to_cache`` took apart."""

    def joined(split: str, name: str, kind: type[Ragged] | type[Texts]) -> Any:
        return kind(arrays[f"{split}.{name}.values"], arrays[f"{split}.{name}.offsets"])

    splits: dict[Split, SplitData] = {
        split: SplitData(
            rows=arrays[f"{split}.rows"],
            **{name: joined(split, name, Ragged) for name in _RAGGED},
            **{name: joined(split, name, Texts) for name in _TEXTS},
            **rest,
        )
        for split, rest in meta["splits"].items()
    }
    examples = tuple(OverlapExample(*example) for example in meta["overlap"].pop("examples"))
    return TaskData(
        splits=splits,
        overlap=Overlap(**meta["overlap"], examples=examples),
        warnings=meta["warnings"],
        seed=meta["seed"],
    )
