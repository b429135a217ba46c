"""A text in, one of a fixed set of labels out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bakeoff.data.examples import Example
from bakeoff.data.options import TaskOptions
from bakeoff.data.taskdata import SplitData
from bakeoff.errors import ConfigError, DataError
from bakeoff.formatting import join
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.tasks.contract import ZERO_SHOT, Baseline, Row
from bakeoff.tasks.texts import label_of
from bakeoff.tasks.two_columns import TwoColumns, check_columns

_MANY_LABELS = 1000
_NUMBER = re.compile(r"[+-]?\d+|true|false", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions(TaskOptions):
    """The options of ``classify``."""

    kind: str = "classify"
    """A text in, one of a fixed set of labels out."""

    text: str = "text"
    """The column with the text to read."""

    label: str = "label"
    """The column with the label: words, whole numbers or booleans."""

    labels: tuple[str, ...] | None = None
    """The words; numbers and booleans in the column count them, unless a word is one itself. null
    takes the training rows' labels, sorted."""

    template: str = "{text}\n\nLabel: {label}"
    """The layout of one example: {text} once, then {label} once; before it also other columns of
    the data, by their names in braces. {{ and }} are braces."""

    max_target_tokens: int = 16
    """Tokens kept free for the label."""

    def validate(self, path: str = "task") -> None:
        """See ``TaskOptions.validate``."""
        check_columns(self, "text", "label", path)
        labels = self.labels
        if labels is not None and (
            len(set(labels)) < max(2, len(labels)) or any(w != w.strip() or not w for w in labels)
        ):
            raise ConfigError(
                f"{path}.labels is {list(labels)}: it must hold two words or more, none empty, "
                "twice or with white space at an end. Correct it, or leave it out to take the "
                "training rows' labels."
            )
        super().validate(path)


class Classify(TwoColumns):
    """A text in, one of a fixed set of labels out."""

    kind = "classify"
    options_type = ClassifyOptions
    input_key = input_word = "text"
    answer_key = output_word = "label"
    has_free_answers = False
    ends = False  # end-of-text is no part of a label's likelihood
    options: ClassifyOptions

    @cached_property
    def _places(self) -> dict[str, int]:
        return {label: index for index, label in enumerate(self.labels)}

    @cached_property
    def _are_counted(self) -> bool:
        """Whether numbers count the labels: the study's own, and words all of them."""
        return "labels" not in self.from_rows and not any(map(_NUMBER.fullmatch, self.labels))

    def found(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The labels of the training rows, sorted, where the study names none."""
        if self.options.labels is not None:
            return {}
        labels = sorted({self.answer_of(row) for row in rows})
        if len(labels) < 2:
            raise DataError(
                f"task.label: all training rows have the label {labels[0]!r}, so there is nothing "
                "to learn. Give training rows with two labels or more, or name another column."
            )
        return {"labels": labels}

    def warnings(self, train: Sequence[Example]) -> list[str]:
        """Labels without training rows, and more labels than are sensible."""
        labels, seen, found = self.labels, {example.gold for example in train}, []
        unseen = [repr(label) for index, label in enumerate(labels) if index not in seen]
        if unseen:
            in_all = f" ({len(unseen)} labels in all)" if len(unseen) > 5 else ""
            found.append(
                f"No training row has the label {join(unseen[:5])}{in_all}, so it is not learnt."
            )
        if len(labels) > _MANY_LABELS:
            found.append(
                f"There are {len(labels)} labels, and the likelihood of each is computed for every "
                "test row, which takes long; look whether task.label names the right column."
            )
        return found

    def answer_of(self, row: Row) -> str:
        """A row's label as a word; a number that is none of the words counts them from 0."""
        word, place = label_of(row, self.options.label)
        if self.options.labels is None or word in self._places:
            return word
        if self._are_counted and place in range(len(self.labels)):
            return self.labels[place]
        raise DataError(
            f"the label (column {self.options.label!r}) is {word!r}, which is none of "
            f"{join([repr(known) for known in self.labels[:10]])}: no training row has it, or "
            "task.labels leaves it out"
        )

    def details(self, answer: str | None) -> dict[str, Any]:
        """The labels as they follow the prompt, and which is right."""
        return {
            "choices": tuple(self.template.answer(label) for label in self._places),
            "gold": None if answer is None else self._places.get(answer),
        }

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of the study, or of the training rows."""
        return self.options.labels or ()

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Accuracy decides."""
        return ("accuracy", "macro_f1", "mcc", "nll")

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """Always the training rows' most frequent label, and the untuned base."""
        return (Baseline(name="majority", title="majority", outputs=self._majority), ZERO_SHOT)

    def _majority(self, train: SplitData, part: SplitData) -> ModelOutputs:
        most = int(np.bincount(train.gold, minlength=1).argmax())
        return ModelOutputs(chosen_N=np.full(len(part), most, dtype=np.int64))
