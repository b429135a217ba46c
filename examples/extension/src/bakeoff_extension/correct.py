"""A text with mistakes in, the corrected text out."""

from __future__ import annotations

from dataclasses import dataclass

from bakeoff.data.taskdata import SplitData
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.tasks.contract import ZERO_SHOT, Baseline
from bakeoff.tasks.from_template import FromTemplateOptions
from bakeoff.tasks.two_columns import TwoColumns, check_columns


@dataclass(frozen=True, kw_only=True)
class CorrectOptions(FromTemplateOptions):
    """The options of ``correct``, beside those of every task."""

    kind: str = "correct"
    """A text with mistakes in, the corrected text out."""

    wrong: str = "wrong"
    """The column with the text as it was written."""

    right: str = "right"
    """The column with the text as it should be."""

    template: str = "{wrong}\n\nCorrected: {right}"
    """The layout of one example: {wrong} once, then {right} once."""

    def validate(self, path: str = "task") -> None:
        """See ``TaskOptions.validate``."""
        check_columns(self, "wrong", "right", path)
        super().validate(path)


class Correct(TwoColumns):
    """A text with mistakes in, the corrected text out."""

    kind = "correct"
    options_type = CorrectOptions
    input_key, input_word = "wrong", "text"
    answer_key, output_word = "right", "correction"
    options: CorrectOptions

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Likelihood decides; the character error rate and exact match score what is written."""
        return ("nll", "cer", "exact_match")

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """The text left as it is, and the untuned base."""
        return (Baseline(name="copy", title="left as it is", outputs=_copied), ZERO_SHOT)


def _copied(train: SplitData, part: SplitData) -> ModelOutputs:
    return ModelOutputs(texts=list(part.shown))
