"""A text in, one of a fixed set of labels out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from bakeoff.data.columns import Table
from bakeoff.data.examples import Example
from bakeoff.data.taskdata import SplitData
from bakeoff.errors import ConfigError, DataError
from bakeoff.formatting import join
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.tasks.contract import ZERO_SHOT, Baseline, Row
from bakeoff.tasks.from_template import FromTemplateOptions
from bakeoff.tasks.guess.guess_labels import guess_labels
from bakeoff.tasks.guess.guesses import Guess
from bakeoff.tasks.random_choice import random_baseline
from bakeoff.tasks.starting import LABELS
from bakeoff.tasks.texts import label_of
from bakeoff.tasks.two_columns import TwoColumns, check_columns

_MANY_LABELS = 1000
_FROM_ZERO = (
    " Where the column holds numbers, they count task.labels from 0: if yours count from 1, every "
    "row means the next label, and those of the last one are left out as bad."
)
_OF_TEXTS: Mapping[str, Mapping[str, object]] = {
    name: {"asks": "text"} for name in ("accuracy", "macro_f1", "mcc")
}
_NUMBER = re.compile(r"[+-]?\d+|true|false", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions(FromTemplateOptions):
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

    answer: Literal["choose", "generate"] = "choose"
    """How a label is given: `choose` takes the likeliest of all, which is always one of them;
    `generate` has it written, and what is no label, but for case and white space around it,
    is invalid and wrong."""

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
    starting = LABELS
    input_key = input_word = "text"
    answer_key = output_word = "label"
    has_free_answers = False
    options: ClassifyOptions

    @classmethod
    def guess(cls, table: Table) -> Guess | None:
        """See ``Task.guess``."""
        return guess_labels(table)

    def __init__(self, options: ClassifyOptions) -> None:
        """Args: options: validated."""
        super().__init__(options)
        self._is_written = options.answer == "generate"
        # Where labels are compared, end-of-text is no part of their likelihood.
        self.ends = self._is_written

    @cached_property
    def _places(self) -> dict[str, int]:
        return {label: index for index, label in enumerate(self.labels)}

    @cached_property
    def _choices(self) -> tuple[str, ...]:
        # All rows hold this one tuple: a thousand labels are not spelt out for each.
        return tuple(self.template.answer(label) for label in self.labels)

    @cached_property
    def _written(self) -> dict[str, int]:
        """The label that each text means, by the text as ``_folded``; -1 where it means several."""
        found: dict[str, int] = {}
        for place, label in enumerate(self.labels):
            # With and without the text that the template has after a label.
            for spelt in {_folded(label), _folded(self._choices[place])}:
                found[spelt] = place if found.get(spelt, place) == place else -1
        return found

    @cached_property
    def _are_counted(self) -> bool:
        """Whether numbers count the labels: the study's own, and words all of them."""
        return "labels" not in self.from_rows and not any(map(_NUMBER.fullmatch, self.labels))

    def found(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The labels of the training rows, sorted, where the study names none."""
        found = super().found(rows)
        if self.options.labels is not None:
            return found
        labels = sorted({self.answer_of(row) for row in rows})
        if len(labels) < 2:
            raise DataError(
                f"task.label: all training rows have the label {labels[0]!r}, so there is nothing "
                "to learn. Give training rows with two labels or more, or name another column."
            )
        return {**found, "labels": labels}

    def warnings(self, train: Sequence[Example]) -> list[str]:
        """Labels without training rows, and more labels than are sensible."""
        labels, seen, found = self.labels, {example.gold for example in train}, []
        unseen = [repr(label) for index, label in enumerate(labels) if index not in seen]
        if unseen:
            in_all = f" ({len(unseen)} labels in all)" if len(unseen) > 5 else ""
            found.append(
                f"No training row has the label {join(unseen[:5])}{in_all}, so it is not learnt."
                + (_FROM_ZERO if self._are_counted and 0 not in seen else "")
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
            + ("; numbers count its words from 0" if self._are_counted and place >= 0 else "")
        )

    def details(self, answer: str | None) -> dict[str, Any]:
        """The labels as they follow the prompt, and which is right."""
        return {
            "choices": self._choices,
            "gold": None if answer is None else self._places.get(answer),
        }

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of the study, or of the training rows."""
        return self.options.labels or ()

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Accuracy decides."""
        names = ("accuracy", "macro_f1", "mcc", "nll")
        return names if self._is_written else (*names, "label_nll")

    @property
    def metric_options(self) -> Mapping[str, Mapping[str, object]]:
        """Whether labels are read from texts."""
        return _OF_TEXTS if self._is_written else {}

    def read_outputs(self, outputs: ModelOutputs, part: SplitData) -> ModelOutputs:
        """See ``Task.read_outputs``: the label that each text is."""
        if not self._is_written or outputs.texts is None:
            return outputs
        chosen = [self._label_in(text) for text in outputs.texts]
        return replace(outputs, chosen_N=np.array(chosen, dtype=np.int64))

    def _label_in(self, text: str) -> int:
        exact = self._places.get(text.strip())
        return self._written.get(_folded(text), -1) if exact is None else exact

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """Always the training rows' most frequent label, and the untuned base."""
        return (Baseline(name="majority", title="majority", outputs=self._majority), ZERO_SHOT)

    @property
    def all_baselines(self) -> Mapping[str, Baseline]:
        """A label at random besides."""
        known = (*self.baselines, random_baseline(self.options.seed))
        return {baseline.name: baseline for baseline in known}

    def _majority(self, train: SplitData, part: SplitData) -> ModelOutputs:
        most = int(np.bincount(train.gold, minlength=1).argmax())
        return ModelOutputs(chosen_N=np.full(len(part), most, dtype=np.int64))


def _folded(text: str) -> str:
    return text.strip().casefold()
