"""A task's data as training, generation and scoring use them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.hygiene.contained import Contained
from bakeoff.data.hygiene.overlap import NearExample, Overlap, OverlapExample
from bakeoff.data.ragged import Ragged, Texts
from bakeoff.data.row_ids import row_ids
from bakeoff.types import Split

_RAGGED: Final = ("tokens", "prompts")
_TEXTS: Final = ("shown", "targets")
_ARRAYS: Final = ("rows", "is_target", "target_bytes", "gold", "choice_set", "lengths")
_COUNTS: Final = (
    *("tokens_raw", "rows_cut", "rows_skipped", "skipped_why", "at_least", "rows_at_least"),
    *("groups", "references", "whole_rows"),
)


@dataclass(frozen=True)
class ExpectedAnswer:
    """What is right for one example; see ``metrics.contract.Expected``."""

    references: Sequence[str]
    choices: Sequence[str]
    gold: int | None
    row: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class ChoiceSet:
    """Answers to choose from, which many rows may share.

    Attributes:
        texts: as they follow the prompt. tokens: of each.
        answers: the same without what the template puts around them, as a reader is shown them.
    """

    texts: tuple[str, ...]
    answers: tuple[str, ...]
    tokens: tuple[NDArray[np.int32], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitData:
    """One split, one entry a usable row, in the source's order.

    Attributes:
        rows: [rows] int64, numbers in the source, from 1.
        tokens: each row whole, as it is trained on: begin-of-text, prompt, answer, end-of-text.
        is_target: [sum of lengths] bool, which of these are supervised.
        prompts: what generation and choices follow, cut as if the answer fits
            ``max_target_tokens``, so that nothing of the reference shows.
        shown: the input as found. targets: the supervised text.
        target_bytes: [rows] float64, bytes of the supervised text in UTF-8; of prompts and answers
            in a chat template those that plain text has, so that bases may be compared.
        references: for each row the answers that count as right.
        gold: [rows] index of the right choice, -1 where there are no choices.
        choice_set: [rows] index into ``choice_sets``, -1 likewise.
        choice_sets: the different sets of choices.
        groups: which rows hang together, or None.
        whole_rows: all columns of each row, for metrics that read them, or None.
        lengths: [rows found, 4] tokens of each row before anything was cut, of those that were
            left out as too long and of those that became several rows too; see
            ``hygiene.lengths``. They are the whole split's, as its counts are.
        tokens_raw: tokens of all data, uncut, without template.
        rows_cut: rows whose input is not all there, in the row or in its prompt.
        rows_skipped: rows left out under ``on_bad_row: skip``.
        skipped_why: what is wrong with them, each with the name of a row, as the end of a sentence;
            None where none was left out.
        rows_at_least: rows whose texts are so long that they were not read to their end; their
            ``lengths`` and tokens in ``tokens_raw`` are lower bounds.
        at_least: the least of such lengths, None where there are none.
    """

    rows: NDArray[np.int64]
    tokens: Ragged
    is_target: NDArray[np.bool_]
    prompts: Ragged
    shown: Sequence[str]
    targets: Sequence[str]
    target_bytes: NDArray[np.float64]
    references: list[list[str]]
    gold: NDArray[np.int64]
    choice_set: NDArray[np.int64]
    choice_sets: tuple[ChoiceSet, ...] = ()
    groups: list[str] | None = None
    whole_rows: list[dict[str, Any]] | None = None
    lengths: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 4), dtype=np.int64))
    tokens_raw: int
    rows_cut: int
    rows_skipped: int
    skipped_why: str | None = None
    rows_at_least: int = 0
    at_least: int | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def first(self, count: int) -> SplitData:
        """The first rows, at most so many; the split's own counts stay."""
        if count >= len(self):
            return self
        return dataclasses.replace(
            self,
            rows=self.rows[:count],
            tokens=Ragged.from_rows([self.tokens[i] for i in range(count)]),
            is_target=self.is_target[: self.tokens.offsets[count]],
            prompts=Ragged.from_rows([self.prompts[i] for i in range(count)]),
            shown=list(self.shown[:count]),
            targets=list(self.targets[:count]),
            target_bytes=self.target_bytes[:count],
            references=self.references[:count],
            gold=self.gold[:count],
            choice_set=self.choice_set[:count],
            groups=None if self.groups is None else self.groups[:count],
            whole_rows=None if self.whole_rows is None else self.whole_rows[:count],
        )

    @cached_property
    def row_ids(self) -> list[str]:
        """[rows] what names each row by its input; see ``row_ids``."""
        return row_ids(self.shown)

    @cached_property
    def answer_counts(self) -> NDArray[np.int64]:
        """[rows] tokens of what follows each prompt: of a conversation its last answer alone."""
        follow: NDArray[np.int64] = self.tokens.lengths - self.prompts.lengths
        found: NDArray[np.int64] = np.minimum(self.target_counts, np.maximum(follow, 0))
        return found

    @cached_property
    def target_counts(self) -> NDArray[np.int64]:
        """[rows] supervised tokens of each row."""
        before = np.concatenate([[0], np.cumsum(self.is_target, dtype=np.int64)])
        return np.diff(before[self.tokens.offsets])

    @property
    def tokens_supervised(self) -> int:
        """Supervised tokens of all rows."""
        return int(self.is_target.sum())

    @cached_property
    def expected(self) -> list[ExpectedAnswer]:
        """What is right for each row."""
        sets = [found.answers for found in self.choice_sets]
        return [
            ExpectedAnswer(
                references=references,
                choices=sets[chosen] if chosen >= 0 else (),
                gold=int(gold) if gold >= 0 else None,
                row=row,
            )
            for references, chosen, gold, row in zip(
                self.references,
                self.choice_set,
                self.gold,
                self.whole_rows or [{} for _ in range(len(self))],
                strict=True,
            )
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskData:
    """All splits of a task.

    Attributes:
        splits: train, validation and test.
        found: options that the training rows decided, as the labels of a classification.
        overlap: rows that are in more than one split.
        warnings: sentences for the user about what was found.
        cautions: such sentences of what makes the scores worth less, for all who read them.
        seed: the task's.
    """

    splits: dict[Split, SplitData]
    found: dict[str, Any]
    overlap: Overlap
    warnings: list[str]
    cautions: list[str] = field(default_factory=list)
    seed: int


def to_cache(data: TaskData) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Takes data apart into arrays and metadata of plain values."""
    arrays: dict[str, NDArray[Any]] = {}
    splits: dict[str, Any] = {}
    for split, part in data.splits.items():
        for name in _ARRAYS:
            arrays[f"{split}.{name}"] = getattr(part, name)
        for name in (*_RAGGED, *_TEXTS):
            rows = getattr(part, name)
            if not isinstance(rows, (Ragged, Texts)):
                rows = Texts.from_rows(rows)
            arrays[f"{split}.{name}.values"] = rows.values
            arrays[f"{split}.{name}.offsets"] = rows.offsets
        splits[split] = {name: getattr(part, name) for name in _COUNTS}
        splits[split]["choice_sets"] = [
            [list(found.texts), list(found.answers), [ids.tolist() for ids in found.tokens]]
            for found in part.choice_sets
        ]
    meta = {
        "splits": splits,
        "found": data.found,
        "overlap": dataclasses.asdict(data.overlap),
        "warnings": data.warnings,
        "cautions": data.cautions,
        "seed": data.seed,
    }
    return arrays, meta


def from_cache(arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> TaskData:
    """Puts together what ``to_cache`` took apart."""

    def joined(split: str, name: str, kind: type[Ragged] | type[Texts]) -> Any:
        return kind(arrays[f"{split}.{name}.values"], arrays[f"{split}.{name}.offsets"])

    def parts(split: str, names: Sequence[str]) -> dict[str, Any]:
        return {name: arrays[f"{split}.{name}"] for name in names}

    splits: dict[Split, SplitData] = {
        split: SplitData(
            **parts(split, _ARRAYS),
            **{name: joined(split, name, Ragged) for name in _RAGGED},
            **{name: joined(split, name, Texts) for name in _TEXTS},
            choice_sets=tuple(
                ChoiceSet(
                    texts=tuple(texts),
                    answers=tuple(answers),
                    tokens=tuple(np.array(ids, dtype=np.int32) for ids in tokens),
                )
                for texts, answers, tokens in rest["choice_sets"]
            ),
            **{name: rest[name] for name in _COUNTS},
        )
        for split, rest in meta["splits"].items()
    }
    overlap = meta["overlap"]
    overlap["examples"] = tuple(OverlapExample(*example) for example in overlap["examples"])
    overlap["near_examples"] = tuple(NearExample(*one) for one in overlap["near_examples"])
    overlap["contained"] = tuple(Contained.of(*one) for one in overlap["contained"])
    return TaskData(
        splits=splits,
        found=meta["found"],
        overlap=Overlap(**overlap),
        warnings=meta["warnings"],
        cautions=meta["cautions"],
        seed=meta["seed"],
    )
