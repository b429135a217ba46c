"""From data to a study: what was guessed, the values for this base, and why each is so."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from bakeoff.data.columns import Column, Table
from bakeoff.data.hygiene.lengths import cutting, share_over, spread
from bakeoff.data.options import SplitShares
from bakeoff.errors import ConfigError
from bakeoff.first_contact.looking import Data, Place, SourceOption, look_at
from bakeoff.first_contact.measuring import (
    ROWS_MEASURED,
    BaseFacts,
    Lengths,
    base_facts,
    has_chat_template,
    measure,
)
from bakeoff.first_contact.names import name_of
from bakeoff.first_contact.values import DEFAULT_METHODS, method_values
from bakeoff.formatting import shown_count, shown_share
from bakeoff.metrics.contract import Ask
from bakeoff.study.loading import study_from_mapping
from bakeoff.tasks.contract import Task
from bakeoff.tasks.guess.guesses import Guess
from bakeoff.tasks.guess.guessing import Guesses, guess_task
from bakeoff.tasks.registry import read_task, task_type
from bakeoff.tasks.starting import StartingValues
from bakeoff.types import Split

DEFAULT_BASE: Final = "smollm2-135m"
_FIRST_ROWS: Final[dict[Split, int]] = {"train": 1000, "validation": 200, "test": 400}
"""Rows of each split that a study uses at first where there is no GPU."""
_FEWEST_UPDATES: Final = 300
_FEWEST_ROWS: Final = 4
_TOKENS_OF_A_PASS: Final = 4096
_ROOM_FOR_METHODS: Final = 64
"""Positions kept free for methods that put some before a row."""
_SMALL: Final = 300
"""Rows in one file below which a fifth is held out for each of validation and test."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A study, and why it is so.

    Attributes:
        mapping: its keys, as in its file. comments: by the path of a key, why.
        guesses: what the data were taken for. data: that were looked at. notes: for the user.
    """

    mapping: dict[str, Any]
    comments: dict[str, str]
    guesses: Guesses
    data: Data
    notes: tuple[str, ...]


def draft_study(
    place: Place,
    *,
    base: str | None = None,
    kind: str | None = None,
    methods: Sequence[str] = (),
    source: SourceOption | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Draft:
    """Looks at data and drafts a study of them.

    Args:
        place: files, or a folder of splits; see ``look_at``.
        base: as in a study; None is ``smollm2-135m``.
        kind: of the task, where it is not to be guessed. methods: kinds of methods; LoRA and a
            soft prompt without. source: what ``task.source`` is to be, where it is not ``place``.
        report: called with what is being done.

    Raises:
        ConfigError: no such kind or method.
        DataError: the data cannot be read, or learnt from.
        BaseModelError: the base is not here.
    """
    kinds = [name.strip() for name in methods] or list(DEFAULT_METHODS)
    if len(set(kinds)) < len(kinds):
        raise ConfigError(f"--methods {','.join(kinds)}: names a method twice; name each once")
    report("looking at the data")
    data = look_at(place, first=_FIRST_ROWS["train"])
    guesses = guess_task(data.table, kind)
    learnt = _learnt(guesses.best)
    if source is None and learnt is not None and data.has_in_train_alone(learnt):
        # Such a test file is there to be predicted, as competitions have it.
        data = look_at(place, first=_FIRST_ROWS["train"], learnt=learnt)
        guesses = guess_task(data.table, kind)
    report("loading the base's tokenizer")
    facts = base_facts(base or DEFAULT_BASE)
    made = _Draft(data, guesses.best, facts, source or data.source)
    report("counting tokens")
    return replace(made.draft(kinds), guesses=guesses)


def _learnt(guess: Guess) -> str | None:
    """The column that holds the answers alone; None where they are part of what is read."""
    task = read_task({**guess.options, "kind": guess.kind, "source": "-"})
    return next((c for key, c in task.column_keys.items() if key not in task.input_keys), None)


class _Draft:
    """One study while it is put together."""

    def __init__(self, data: Data, guess: Guess, base: BaseFacts, source: SourceOption) -> None:
        self.data, self.guess, self.base, self.source = data, guess, base, source
        self.starting: StartingValues = task_type(guess.kind).starting
        self.comments: dict[str, str] = {}
        self.notes: list[str] = [*data.notes]

    def draft(self, methods: Sequence[str]) -> Draft:
        section = self._columns() | self._shares()
        # A text without an answer becomes as many rows as it needs, and is never cut.
        room = self.base.positions if self._answers else self._longest
        most = None if self._is_sorted() else ROWS_MEASURED
        lengths = measure(section, self.base, most=most, room=room)
        section |= self._rows(lengths)
        section |= self._lengths(lengths)
        num_rows = self._num_train(section)
        mapping: dict[str, Any] = {
            "name": name_of(self.source),
            "base": self.base.reference,
            "task": section,
            "protocol": self._protocol(section, num_rows),
            "methods": {kind: self._method(kind) for kind in methods},
        }
        self.comments["base"] = (
            f"{shown_count(self.base.parameters)} parameters. To train every method over several "
            "bases, or with several prompts: bases: [ONE, OTHER] in place of base, "
            'templates: {short: "...", long: "..."} beside task'
        )
        if Ask.TEXT in read_task(section).asks:
            mapping["generation"] = {
                "max_new_tokens": section["max_target_tokens"],
                "no_repeat_ngram": self.starting.no_repeat_ngram,
            }
        study_from_mapping(mapping, folder=Path.cwd())
        self.notes += [*self.guess.notes, *_of_length(lengths.warnings, room, section)]
        self.notes = [note.rstrip(".") for note in self.notes]
        return Draft(
            mapping=mapping,
            comments=self.comments,
            guesses=Guesses(best=self.guess),
            data=self.data,
            notes=tuple(self.notes),
        )

    def _columns(self) -> dict[str, Any]:
        """The task section as far as the columns decide it."""
        options = dict(self.guess.options)
        self.comments |= {f"task.{key}": why for key, why in self.guess.reasons.items()}
        section = {"kind": self.guess.kind, "source": self.source, **options}
        counts = self.data.counts
        self.comments["task.source"] = (
            f"{self.data.num_rows:,} rows, split by a hash of each input"
            if self.data.is_whole
            else ", ".join(f"{split} {count:,}" for split, count in counts.items()) + " rows"
        )
        plain = self.guess.plain_template
        if plain is not None and not has_chat_template(read_task(section), self.base):
            section["template"] = plain
            self.comments["task.template"] = "so that prompt and answer do not run together"
        return section

    def _shares(self) -> dict[str, Any]:
        """What is held out of few rows."""
        if self.data.num_rows >= _SMALL or not (self.data.is_whole or self.data.holds_out):
            return {}
        splits = ("validation", "test") if self.data.is_whole else ("validation",)
        self.comments["task.split_by_hash"] = (
            "a fifth each, as there are few rows" if self.data.is_whole else "few rows: a fifth"
        )
        return {"split_by_hash": dict.fromkeys(splits, self._held_out)}

    def _rows(self, lengths: Lengths) -> dict[str, Any]:
        """Which rows are used."""
        found: dict[str, Any] = {}
        limits = {
            split: most
            for split, most in _FIRST_ROWS.items()
            if self._count(split) > most and not torch.cuda.is_available()
        }
        if limits and self._is_sorted():
            self.notes.append(
                "The rows seem to be sorted by what is learnt, so all of them are used, although "
                "there is no GPU; shuffle them, and task.examples can limit them"
            )
        elif limits:
            found["examples"] = limits
            self.comments["task.examples"] = (
                "the first ones, as there is no GPU; remove this line to use all rows"
            )
            self.notes.append(
                "There is no GPU, so only the first "
                + ", ".join(f"{most:,} of {self._count(s):,} {s}" for s, most in limits.items())
                + " rows are used; remove task.examples to use all"
            )
        found["on_bad_row"] = "skip"
        bad = max(lengths.skipped, self.data.num_bad)
        self.comments["task.on_bad_row"] = (
            f"rows that cannot be used are left out and counted: {bad} of those looked at"
            if bad
            else "rows that cannot be used are left out and counted; there was none so far"
        )
        if self.data.num_bad:
            self.notes.append(f"Rows that cannot be read and are left out: {self.data.num_bad:,}")
        return found

    def _count(self, split: Split) -> int:
        """Rows of a split, as far as they are known before they are split."""
        if not self.data.is_whole:
            return self.data.counts[split]
        held = self._held_out
        return round(self.data.num_rows * (1 - 2 * held if split == "train" else held))

    @property
    def _held_out(self) -> float:
        """The share of one file that becomes the validation set, and the test set."""
        return 0.2 if self.data.num_rows < _SMALL else SplitShares().test

    def _is_sorted(self) -> bool:
        """Whether the first rows of a split have fewer values of what is learnt than drawn ones."""
        *_, learnt = self._task.columns
        return any(
            column.is_label_like
            and len(_values(first, column.name, _FIRST_ROWS[split]))
            < 0.9 * _drawn_values(column, _FIRST_ROWS[split])
            for column in self.data.table.columns
            if column.name == learnt
            for split, first in self.data.first.items()
            # Fewer rows are used as they are, and may lack what is rare.
            if self._count(split) > _FIRST_ROWS[split]
        )

    def _lengths(self, lengths: Lengths) -> dict[str, Any]:
        room = self.base.positions - _ROOM_FOR_METHODS
        found: dict[str, Any] = {}
        answer = 0
        if self._answers:
            longest = int(lengths.answers.max())
            usual = int(np.percentile(lengths.answers, 99))
            # A choice is never cut, and rows that were not looked at may have longer ones.
            wanted = longest * 3 // 2 + 4 if self._chooses else usual
            answer = min(_up(wanted, 8), self.starting.max_target_tokens, _up(room // 2, 8))
            if self._chooses:
                answer = max(answer, longest)
        rows, needed = spread(lengths.rows), lengths.needed(answer)
        wanted = _up(max(cutting(needed), answer + 16), 16)
        found["max_length"] = max(min(wanted, self._longest), answer + 16)
        cut = share_over(needed, found["max_length"])
        if not cut:
            lost = "are cut"
        elif self._answers:
            lost = "are cut, or left out where nothing in them may be"
        else:
            lost = "are taken in pieces"
        bound = ""
        if lengths.at_least is not None and lengths.at_least <= rows.p99:
            bound = f" (figures from {lengths.at_least} on are lower bounds)"
        self.comments["task.max_length"] = (
            f"tokens: half of the rows have at most {rows.median}, 99 % at most {rows.p99}{bound}; "
            f"{shown_share(cut)} {lost}; the base has {self.base.positions} positions"
        )
        if answer:
            found["max_target_tokens"] = answer
            self.comments["task.max_target_tokens"] = (
                f"tokens kept free for an answer; the longest has {int(lengths.answers.max())}, "
                f"half have at most {int(np.median(lengths.answers))}"
            )
        return found

    @property
    def _answers(self) -> bool:
        return self.starting.max_target_tokens > 1

    @property
    def _longest(self) -> int:
        return min(self.starting.max_length, self.base.positions - _ROOM_FOR_METHODS)

    @property
    def _task(self) -> Task:
        return read_task({**self.guess.options, "kind": self.guess.kind, "source": self.source})

    @property
    def _chooses(self) -> bool:
        return Ask.CHOICE in self._task.asks

    def _num_train(self, section: dict[str, Any]) -> int:
        limit: int | None = section.get("examples", {}).get("train")
        count = self._count("train")
        return count if limit is None else min(limit, count)

    def _protocol(self, section: dict[str, Any], num_rows: int) -> dict[str, Any]:
        starting = self.starting
        rows, epochs = starting.rows, starting.epochs
        while rows > _FEWEST_ROWS and num_rows * epochs / rows < _FEWEST_UPDATES:
            rows //= 2
        while epochs < starting.most_epochs and num_rows * epochs / rows < _FEWEST_UPDATES:
            epochs += 1
        micro = rows
        while micro > 1 and micro * section["max_length"] > _TOKENS_OF_A_PASS:
            micro //= 2
        updates = num_rows * epochs // rows
        few = (
            f", fewer than {_FEWEST_UPDATES}, so methods may not have come to their end; give more "
            "epochs or rows"
            if updates < _FEWEST_UPDATES
            else ""
        )
        more = "; more of them here, where rows are few" if epochs > starting.epochs else ""
        self.comments |= {
            "protocol.epochs": f"{starting.source}{more}",
            "protocol.micro_batch_size": f"{rows} rows an update make about {updates:,} updates "
            f"of {num_rows:,} rows{few}",
            "protocol.warmup_ratio": "3 %, then falling to zero, as in Tülu 3",
            "protocol.seeds": "with fewer than three nothing is said beyond those very runs",
        }
        return {
            "epochs": epochs,
            "micro_batch_size": micro,
            "grad_accum_steps": rows // micro,
            "schedule": "linear",
            "warmup_ratio": 0.03,
            "seeds": 3,
        }

    def _method(self, kind: str) -> dict[str, Any]:
        entry, why = method_values(kind, self.base.parameters, self.starting)
        self.comments[f"methods.{kind}"] = why
        return entry


def _of_length(warnings: Sequence[str], room: int, section: Mapping[str, Any]) -> list[str]:
    """What was said of rows of ``room`` tokens, as far as it holds of the study's rows.

    What is too long for the former is so for the latter, and other rows may be; in how many pieces
    it is taken is not the same.
    """
    measured, own = (f"task.max_length ({length})" for length in (room, section["max_length"]))
    return [
        f"at least {text.replace(measured, own)}" if measured != own and measured in text else text
        for text in warnings
        if measured == own or not (measured in text and "pieces" in text)
    ]


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def _drawn_values(column: Column, rows: int) -> int:
    """How many different values as many rows have that are drawn at random."""
    texts = [text.strip() for text in column.texts]
    return len(set(random.Random(0).sample(texts, min(rows, len(texts)))))


def _values(table: Table, name: str, rows: int) -> set[str]:
    """What a column holds in the first rows; nothing of a field that only later ones have."""
    columns = [c for c in table.columns if c.name == name]
    return {text.strip() for column in columns for text in column.texts[:rows]}
