"""A text in, one of a fixed set of labels out."""

from __future__ import annotations

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
from bakeoff.tasks.texts import text_of
from bakeoff.tasks.two_columns import TwoColumns, check_columns

_MANY_LABELS = 1000


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
    """The words, numbers and booleans count them; null takes the training rows', sorted."""

    template: str = "{text}\n\nLabel: {label}"
    """The layout of one example: {text} once, then {label} once."""

    max_target_tokens: int = 16
    """Tokens kept free for the label."""

    def validate(self, path: str = "task") -> None:
        """See ``TaskOptions.validate``."""
        check_columns(self, "text", "label", path)
        labels = self.labels
        if labels is not None and (
            len(set(labels)) < max(2, len(labels)) or not all(word.strip() for word in labels)
        ):
            raise ConfigError(
                f"{path}.labels is {list(labels)}: it must hold at least two words, none empty and "
                "none twice. Correct it, or leave it out to take the training rows' labels."
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
        labels = self.labels
        seen = {example.gold for example in train}
        unseen = [label for index, label in enumerate(labels) if index not in seen]
        found = []
        if unseen:
            found.append(
                f"No training row has the label {join(unseen[:5])}"
                f"{f' ({len(unseen)} labels in all)' if len(unseen) > 5 else ''}, so it is not "
                "learnt."
            )
        if len(labels) > _MANY_LABELS:
            found.append(
                f"There are {len(labels)} labels, and the likelihood of each is computed for every "
                "test row, which takes long; look whether task.label names the right column."
            )
        return found

    def answer_of(self, row: Row) -> str:
        """A row's label as a word; a number that is none of the words counts them from 0."""
        value, column = row.get(self.options.label), self.options.label
        labels = self.options.labels
        if isinstance(value, int):  # as booleans are
            place, word = int(value), str(value).lower()
        else:
            word = text_of(row, "label", column, ()).strip()
            place = int(word) if word.isdecimal() else -1  # a CSV file's numbers are texts
        if labels is None or word in self._places:
            return word
        if 0 <= place < len(labels):
            return labels[place]
        raise DataError(
            f"the label (column {column!r}) is {word!r}, which is none of "
            f"{join([repr(known) for known in labels[:10]])}: no training row has it, or "
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
