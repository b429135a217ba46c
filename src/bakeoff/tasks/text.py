"""Plain texts, learnt from end to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bakeoff.data.columns import Table
from bakeoff.data.examples import Example
from bakeoff.data.options import TaskOptions
from bakeoff.errors import ConfigError
from bakeoff.formatting import join
from bakeoff.metrics.contract import Ask, Metric
from bakeoff.tasks.contract import ZERO_SHOT, Baseline, Row, Task
from bakeoff.tasks.guess.guesses import FORCED, LIKELY, POSSIBLE, Guess, texts_of
from bakeoff.tasks.starting import StartingValues
from bakeoff.tasks.texts import plain_text_of


@dataclass(frozen=True, kw_only=True)
class TextOptions(TaskOptions):
    """The options of ``text``."""

    kind: str = "text"
    """Plain texts, learnt from end to end."""

    text: str = "text"
    """The column with the text. One that is longer than max_length becomes several rows of one
    group, each with a token of the one before for context."""

    max_target_tokens: int = 1
    """Not for this kind: a text has no answer to keep room for."""

    def validate(self, path: str = "task") -> None:
        """See ``TaskOptions.validate``."""
        if not self.text:
            raise ConfigError(f"{path}.text is empty: it must name a column. Set {path}.text.")
        if self.max_target_tokens != 1:
            raise ConfigError(
                f"{path}.max_target_tokens is {self.max_target_tokens}: a text has no answer to "
                f"keep room for. Remove {path}.max_target_tokens."
            )
        super().validate(path)


class Text(Task):
    """Plain texts, learnt from end to end."""

    kind = "text"
    chat_template_use = "never"
    options_type = TextOptions
    starting = StartingValues(epochs=1, max_target_tokens=1, source="plain texts are seen once")
    input_word = output_word = "text"
    has_free_answers = False
    takes_shots = False
    fine_widths = True
    options: TextOptions

    @classmethod
    def guess(cls, table: Table) -> Guess | None:
        """See ``Task.guess``; one column of texts, and nothing else to learn."""
        if not table.prose:
            return None
        text = max(table.prose, key=lambda column: column.chars)
        others = [c for c in table.columns if c is not text and not c.is_reference]
        # Labels and other texts are more likely there to be learnt.
        several = bool(table.label_like) or len(table.prose) > 1
        alone = all(c.is_constant or c.shape == "empty" for c in others)
        return Guess(
            kind="text",
            options={"text": text.name},
            likelihood=LIKELY if alone else FORCED if several else POSSIBLE,
            reasons={
                "kind": "texts alone, learnt from end to end",
                "text": texts_of(text),
            },
        )

    @property
    def column_keys(self) -> Mapping[str, str]:
        """One column, which is all learnt."""
        return {"text": self.options.text}

    def example(self, row: Row, shots: Sequence[Example] = ()) -> Example:
        """See ``Task.example``."""
        text = plain_text_of(row, self.options.text, "text", self.options.cleaning)
        return Example(
            text=text,
            target_spans=((0, len(text)),),
            literal_spans=((0, len(text)),),
            beginning="always",
            windows=True,
            shown=text,
        )

    def prompt(self, row: Row, shots: Sequence[Example] = ()) -> Example:
        """What stands before any text."""
        return Example(text="", target_spans=(), beginning="always")

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Likelihood decides."""
        return ("nll", "perplexity", "bits_per_byte")

    def _metrics(self, labels: tuple[str, ...]) -> tuple[Metric, ...]:
        found = super()._metrics(labels)
        for metric in found:
            if metric.asks is not Ask.LIKELIHOOD:
                raise ConfigError(
                    f"task.metrics: {metric.name} scores answers, and a text that is learnt from "
                    f"end to end has none. Name some of {join(list(self.metric_names))}."
                )
        return found

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """The untuned base."""
        return (ZERO_SHOT,)
