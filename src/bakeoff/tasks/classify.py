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
from bakeoff.metrics.contract import Metric, ModelOutputs
from bakeoff.metrics.registry import metric_of
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
    """The words to use, for numbers and booleans in their order; null takes those of the training
    rows, sorted."""

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
    # The likelihoods of labels are compared, and that of end-of-text would be part of them.
    ends = False
    options: ClassifyOptions

    @cached_property
    def _places(self) -> dict[str, int]:
        return {label: index for index, label in enumerate(self.options.labels or ())}

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
        labels = self.options.labels or ()
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
        # A boolean is a whole number too.
        word = str(value).lower() if isinstance(value, int) else text_of(row, "label", column, ())
        if labels is None or word in self._places:
            return word
        # A CSV file's numbers are texts.
        number = str(int(value)) if isinstance(value, int) else word
        if number.isdecimal() and int(number) < len(labels):
            return labels[int(number)]
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
    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy decides."""
        labels = self.options.labels or ()
        return tuple(
            metric_of(name, labels=labels) for name in ("accuracy", "macro_f1", "mcc", "nll")
        )

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """Always the training rows' most frequent label, and the untuned base."""
        return (Baseline(name="majority", title="majority", outputs=self._majority), ZERO_SHOT)

    def _majority(self, train: SplitData, part: SplitData) -> ModelOutputs:
        most = int(np.bincount(train.gold, minlength=1).argmax())
        return ModelOutputs(chosen_N=np.full(len(part), most, dtype=np.int64))
