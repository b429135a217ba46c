"""What a task is to the rest of the house. Nothing outside this floor asks which kind it has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bakeoff.data.examples import Example
from bakeoff.data.options import TaskOptions
from bakeoff.data.readers import OptionalColumn
from bakeoff.data.sources import GROUP, SplitKey
from bakeoff.data.taskdata import SplitData
from bakeoff.metrics.contract import Ask, Metric, ModelOutputs
from bakeoff.metrics.registry import named_options, read_metrics
from bakeoff.tasks.starting import StartingValues

if TYPE_CHECKING:
    from bakeoff.data.columns import Table
    from bakeoff.tasks.conversation.chat_templates import ChatTemplate
    from bakeoff.tasks.guess.guesses import Guess

Row = Mapping[str, object]
NLL = "nll"
"""Which training follows, so that it is always scored."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What needs no training, and takes part in every comparison.

    Attributes:
        name: as in results. title: for readers.
        outputs: maps (the training split, a split) to what the baseline says of the latter; None
            where the untuned base itself is asked.
        shots: numbers of training rows before each prompt that are tried, besides none; empty
            where there never are any.
    """

    name: str
    title: str
    outputs: Callable[[SplitData, SplitData], ModelOutputs] | None = None
    shots: tuple[int, ...] = ()


ZERO_SHOT = Baseline(name="zero_shot", title="zero-shot")
"""The untuned base, asked as every candidate is."""
FEW_SHOT = Baseline(name="few_shot", title="few-shot", shots=(1, 2, 4, 8))
"""The untuned base with training rows before each prompt; how many, validation says."""


class Task(ABC):
    """One task with its options.

    Attributes:
        kind: as in ``task.kind``. options_type: its keys in the study.
        input_word, output_word: what a reader calls what goes in and what comes out.
        takes_numbers: whether an input may well be a column of numbers.
        fine_widths: whether rows are often so short that widths in small steps save much padding.
        has_free_answers: whether equal answers in two splits are worth a remark.
        takes_shots: whether solved examples may stand before a prompt.
        chat_template_use: ``auto`` makes messages of prompt and answer where the base has a chat
            template; ``always`` is for conversations, ``never`` for what has no prompt.
        prefers_text_scores: whether a metric of written text that the study names decides; if not,
            the kind's own first metric does wherever it is among the study's.
        starting: values that ``bakeoff init`` writes a study with.
        from_rows: names of the options that the training rows decided, not the study.
        chat: the template by which examples are laid out, once the base is known; None is plain
            text.
    """

    kind: ClassVar[str]
    options_type: ClassVar[type[TaskOptions]]
    input_word: ClassVar[str] = "input"
    output_word: ClassVar[str] = "answer"
    takes_numbers: ClassVar[bool] = False
    fine_widths: ClassVar[bool] = False
    has_free_answers: ClassVar[bool] = True
    takes_shots: ClassVar[bool] = True
    chat_template_use: ClassVar[Literal["auto", "always", "never"]] = "auto"
    prefers_text_scores: ClassVar[bool] = False
    starting: ClassVar[StartingValues] = StartingValues()
    from_rows: frozenset[str] = frozenset()
    chat: ChatTemplate | None = None

    def __init__(self, options: Any) -> None:
        """Args: options: an instance of ``options_type``, validated."""
        self.options = options

    @classmethod
    def guess(cls, table: Table) -> Guess | None:
        """What the kind makes of data that no one has described; None where it can make nothing.

        ``bakeoff init`` asks every kind, and takes the likeliest. A kind that is silent is one that
        users have to name.

        Args:
            table: the rows that were looked at, as columns.

        Raises:
            DataError: the data are of the kind, and cannot be learnt from.
        """
        return None

    @property
    @abstractmethod
    def column_keys(self) -> Mapping[str, str]:
        """By option, the column that it names; the last one's is learnt."""

    @property
    def input_keys(self) -> Mapping[str, str]:
        """The part of ``column_keys`` that a row without an answer has: all but the last."""
        return dict(list(self.column_keys.items())[:-1])

    @property
    def split_key(self) -> SplitKey | None:
        """What decides a row's split where one table is split by a hash; None: the columns before
        the last.

        Rows that ask the same must have the same, so that none is learnt and tested.
        """
        return None

    @property
    def columns(self) -> tuple[str, ...]:
        """What it reads of a row."""
        return tuple(dict.fromkeys(self.column_keys.values()))

    @property
    def stop_tokens(self) -> tuple[str, ...]:
        """What ends an answer besides the end-of-text token."""
        return () if self.chat is None or not self.chat.end else (self.chat.end,)

    @property
    def lead(self) -> str:
        """What the chat template writes before every answer, which is no part of it."""
        return "" if self.chat is None else self.chat.lead

    @property
    def may_read(self) -> tuple[str, ...]:
        """Columns that are read where there are any, as long as their names decide something."""
        return ()

    def found_in_columns(self, names: Sequence[str]) -> dict[str, Any]:
        """Options that the names of the columns decide, before any row is read.

        Raises:
            DataError: where they cannot.
        """
        return {}

    def found(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Options that the training rows decide, as the labels of a classification.

        Args:
            rows: the training rows that are used.

        Raises:
            DataError: where they cannot decide it.
        """
        return {}

    @classmethod
    def shared_options(cls, shared: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
        """Those options of a study's task that a further test set of this kind takes over.

        Args:
            shared: of the study's task. own: that the set names itself.
        """
        return shared

    def may_take(self, key: str, value: Any) -> bool:
        """Whether an option that the training rows of another set decided can be this one's too.

        Args:
            key, value: as ``found`` gave them.
        """
        return True

    def warnings(self, train: Sequence[Example]) -> list[str]:
        """Sentences for the user about the training examples."""
        return []

    @abstractmethod
    def example(self, row: Row, shots: Sequence[Example] = ()) -> Example:
        """Lays a row out.

        Args:
            row: values by column. shots: solved examples to put before it.

        Raises:
            DataError: naming the column, the value, the rule and the remedy.
        """

    @abstractmethod
    def prompt(self, row: Row, shots: Sequence[Example] = ()) -> Example:
        """A row whose answer is not known, for predictions; ``text`` is the prompt.

        Raises:
            DataError: as for ``example``.
        """

    def asked(self, row: Row) -> dict[str, object]:
        """What a row of the data asks: the columns that ``prompt`` reads, without the answer.

        Raises:
            DataError: the row has no answer to leave out.
        """
        return {
            column: row.get(column)
            for column in dict.fromkeys(self.input_keys.values())
            if not isinstance(column, OptionalColumn) or row.get(column) is not None
        }

    def shorten(self, example: Example) -> Example | None:
        """One step shorter, or None where nothing gives way."""
        return None

    def said_in(self, example: Example) -> tuple[str, ...]:
        """The messages of a conversation, each with who says it; none where a row is none.

        By them is found which rows go on from other ones.

        Args:
            example: as ``example`` made it.
        """
        return ()

    def answer_shown(self, choice: str) -> str:
        """A choice as a reader is shown it, and as the references spell it.

        Args:
            choice: as it follows the prompt.
        """
        return choice.strip()

    @property
    @abstractmethod
    def metric_names(self) -> tuple[str, ...]:
        """What answers are scored by where the study names no metrics; the first is primary."""

    @property
    def max_length(self) -> int:
        """Tokens of a row, at most; before the rows are known, of the longest that may be."""
        given = self.options.max_length
        return self.starting.max_length if given is None else given

    @property
    def labels(self) -> tuple[str, ...]:
        """Those that all rows choose from, once they are known."""
        return ()

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """What answers are scored by; the first is primary, and ``nll`` is always among them.

        Raises:
            ConfigError: for metrics of the study that are none, or that do not fit the task.
        """
        return self._metrics(self.labels)

    @cached_property
    def metrics_before_rows(self) -> tuple[Metric, ...]:
        """The metrics, with labels of which only their number may be wrong.

        Labels may not be known before the rows are; names, directions and what the model is asked
        for do not depend on them.
        """
        return self._metrics(self.labels or ("one", "another"))

    def _metrics(self, labels: tuple[str, ...]) -> tuple[Metric, ...]:
        given = self.options.metrics
        entries = self.metric_names if given is None else (*given, NLL)
        found = read_metrics([self._with_options(entry) for entry in entries], labels=labels)
        return tuple(sorted(found, key=lambda metric: metric is not self._primary(found)))

    def _with_options(self, entry: str | Mapping[str, Any]) -> str | Mapping[str, Any]:
        """An entry of ``task.metrics`` with the task's own options, where it has none of these."""
        name, given = named_options(entry)
        own = self.metric_options.get(name)
        return entry if own is None else {name: {**own, **given}}

    def _primary(self, metrics: Sequence[Metric]) -> Metric:
        """The metric of the answer where ``decision.metric`` names no other."""
        own = next((m for m in metrics if m.name == self.metric_names[0]), None)
        written = [metric for metric in metrics if metric.asks is Ask.TEXT]
        if self.options.metrics is not None and self.prefers_text_scores and written:
            return written[0]
        return own or metrics[0]

    @property
    def metric_options(self) -> Mapping[str, Mapping[str, object]]:
        """By metric, the options that follow from how the task is answered."""
        return {}

    @property
    def asks(self) -> frozenset[Ask]:
        """What the model must be asked for."""
        return frozenset(metric.asks for metric in self.metrics_before_rows)

    @property
    def reads_whole_rows(self) -> bool:
        """Whether a metric is given each row with all of its columns."""
        return any(getattr(m, "reads_rows", False) for m in self.metrics_before_rows)

    def read_outputs(self, outputs: ModelOutputs, part: SplitData) -> ModelOutputs:
        """A candidate's outputs as the metrics are given them.

        A task whose choice is written finds here which one a text means.

        Args:
            outputs: what the model gave for ``part``.
        """
        return outputs

    @property
    @abstractmethod
    def baselines(self) -> tuple[Baseline, ...]:
        """What needs no training, unless the study names others."""

    @property
    def all_baselines(self) -> Mapping[str, Baseline]:
        """By name, those that a study may name, ``baselines`` among them."""
        return {baseline.name: baseline for baseline in self.baselines}


def columns_of(task: Task) -> dict[str, str]:
    """What is read of a row, by the option that names each column."""
    group = {} if task.options.group is None else {GROUP: task.options.group}
    return {**task.column_keys, **group}


def columns_to_keep(task: Task) -> dict[str, str]:
    """What of rows may be read, before the names of their columns are known."""
    return {**{name: OptionalColumn(name) for name in task.may_read}, **columns_of(task)}
