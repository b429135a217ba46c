"""A document in, a summary out."""

from __future__ import annotations

from dataclasses import dataclass

from bakeoff.data.cleaning import clean
from bakeoff.data.columns import Table
from bakeoff.data.options import at_least
from bakeoff.data.taskdata import SplitData
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.metrics.sentences import lead
from bakeoff.tasks.contract import ZERO_SHOT, Baseline
from bakeoff.tasks.from_template import FromTemplateOptions
from bakeoff.tasks.guess.guess_texts import guess_summaries
from bakeoff.tasks.guess.guesses import Guess
from bakeoff.tasks.starting import StartingValues
from bakeoff.tasks.two_columns import TwoColumns, check_columns


@dataclass(frozen=True, kw_only=True)
class SummarizeOptions(FromTemplateOptions):
    """The options of ``summarize``."""

    kind: str = "summarize"
    """A document in, a summary out."""

    document: str = "document"
    """The column with the text to read."""

    summary: str = "summary"
    """The column with the text to learn to write."""

    template: str = "{document}\n\nTL;DR: {summary}"
    """The layout of one example: {document} once, then {summary} once; before it also other columns
    of the data, by their names in braces. {{ and }} are braces."""

    lead_sentences: int = 3
    """Sentences of the baseline that takes the document's first ones."""

    def validate(self, path: str = "task") -> None:
        """See ``TaskOptions.validate``."""
        check_columns(self, "document", "summary", path)
        at_least(f"{path}.lead_sentences", self.lead_sentences, 1, "3 is usual")
        super().validate(path)


class Summarize(TwoColumns):
    """A document in, a summary out."""

    kind = "summarize"
    options_type = SummarizeOptions
    starting = StartingValues(max_target_tokens=256, no_repeat_ngram=3)
    input_key = input_word = "document"
    answer_key = output_word = "summary"
    options: SummarizeOptions

    @classmethod
    def guess(cls, table: Table) -> Guess | None:
        """See ``Task.guess``."""
        return guess_summaries(table)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Likelihood decides; ROUGE scores what is written."""
        return ("nll", "rouge1", "rouge2", "rougeL", "rougeLsum")

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """The document's first sentences, and the untuned base."""
        count = self.options.lead_sentences
        return (Baseline(name="lead", title=f"lead-{count}", outputs=self._lead), ZERO_SHOT)

    def _lead(self, train: SplitData, part: SplitData) -> ModelOutputs:
        """The first sentences as found, each cleaned: cleaning may remove what ends one."""
        return ModelOutputs(
            texts=[
                "\n".join(
                    clean(sentence, self.options.cleaning)
                    for sentence in lead(document, self.options.lead_sentences).split("\n")
                )
                for document in part.shown
            ]
        )
