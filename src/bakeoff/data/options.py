"""The options of a task: where its data are, how they are cleaned, laid out and cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from bakeoff.errors import ConfigError
from bakeoff.types import SPLITS, Split

CleaningStep = Literal["lowercase", "strip_punctuation", "collapse_whitespace"]


@dataclass(frozen=True, kw_only=True)
class ExamplesOptions:
    """How many rows of each split to use, at most. The first ones in the source's order count."""

    train: int | None = None
    """Training rows; null uses all there are."""

    validation: int | None = None
    """Validation rows; null uses all there are."""

    test: int | None = None
    """Test rows; null uses all there are."""

    def of(self, split: Split) -> int | None:
        """Returns the limit of one split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]

    def validate(self, path: str = "task.examples") -> None:
        """Raises ConfigError where a limit is below 1."""
        for split in SPLITS:
            at_least(f"{path}.{split}", self.of(split), 1, "Give a number of rows, or null for all")


@dataclass(frozen=True, kw_only=True)
class SplitShares:
    """Shares of the rows held out where one file (or one Hub split) holds everything.

    A row's place follows from a hash of its input alone, so that equal inputs always fall
    into the same split and a row keeps its place when others are added.
    """

    validation: float = 0.1
    """Share of the rows that become the validation set."""

    test: float = 0.1
    """Share of the rows that become the test set."""

    def validate(self, path: str = "task.split_by_hash") -> None:
        """Raises ConfigError unless both shares are positive and leave some rows to train on."""
        for name, share in (("validation", self.validation), ("test", self.test)):
            if not 0.0 < share < 1.0:
                raise ConfigError(
                    f"{path}.{name} is {share}: a share must be between 0 and 1. "
                    f"Set {path}.{name} to, for example, 0.1."
                )
        if self.validation + self.test >= 1.0:
            raise ConfigError(
                f"{path} holds out {self.validation} + {self.test}: together they must stay "
                f"below 1. Lower {path}.validation or {path}.test."
            )


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """What every kind of task has: its data, and how they are cleaned, laid out and cut.

    Rows are used in the source's order: with ``examples`` below what there is, the first ones
    are taken (bad rows that are skipped do not count), so that every candidate gets the same ones.
    """

    kind: str
    """What is learnt: summarize, classify, choose, complete, text, chat."""

    source: str | list[str] | dict[str, str | list[str]]
    """`wire` (made here); a folder with files, shards or sub-folders called train, validation and
    test, or that Datasets' save_to_disk wrote; one file, a pattern (data/*.jsonl) or a list of
    files that hold everything; {train: ..., validation: ..., test: ...} with a file, a pattern or
    a list of these each; `-` (the standard input); or the id of a Hub data set.
    Files: .csv, .tsv, .tab, .json, .jsonl, .ndjson (each also .gz or .zst), .parquet, .arrow,
    .xlsx, or plain text in .txt, of which each paragraph is a row. Without validation, rows of
    train are held out by a hash of their input. A path that exists wins over a Hub id; `./wire`
    names a folder called wire."""

    config: str | None = None
    """The Hub data set's configuration name, for example "3.0.0"; only for Hub data sets."""

    group: str | None = None
    """A column: rows with the same value there hang together, as questions on one passage."""

    allow_overlap: bool = False
    """Whether to go on, with a warning in the report, where two splits are equal or one is mostly
    in the other. Very short texts may repeat by nature."""

    examples: ExamplesOptions = field(default_factory=ExamplesOptions)
    """How many rows of each split to use, at most."""

    metrics: tuple[str | dict[str, Any], ...] | None = None
    """What answers are scored by: names, or names with options, such as
    {python: my_metrics.py:score} or {schema_valid: schema.json}. null takes the kind's own; nll is
    always among them."""

    select_by: str | None = None
    """The validation metric that settings are chosen by; null takes the metric that decides. A
    score of written text chooses among the best three by nll, on 200 validation rows or all there
    are."""

    cleaning: tuple[CleaningStep, ...] = ()
    """Steps done to the texts of the data, in this order."""

    chat_template: str = "auto"
    """How prompt and answer become messages: auto (the base's chat template where it has one and no
    template is given for plain text), none (plain text), chatml, or a file with a template in
    Jinja."""

    max_length: int | None = None
    """Tokens of one example, prompt and answer together. The input is cut to fit. null takes what
    cuts 1 % of the training rows: at most 512 for labels and choices, 4,096 for conversations and
    2,048 for other texts, and no more than the base has positions for."""

    max_target_tokens: int = 64
    """Tokens kept free for the answer. A longer one takes more room from its own input."""

    on_bad_row: Literal["error", "skip"] = "error"
    """What to do with a row that cannot be used: stop, or leave it out and count it."""

    split_by_hash: SplitShares = field(default_factory=SplitShares)
    """Held-out shares where one table (a file, several, a Hub split) holds everything, or train
    the validation rows."""

    seed: int = 0
    """The seed of the examples that `wire` makes and of the baseline `random`. Other sources have
    nothing random."""

    def validate(self, path: str = "task") -> None:
        """Checks ranges and combinations, not files.

        Raises:
            ConfigError: naming the key, the value, the rule and the remedy.
        """
        self._validate_source(path)
        if self.group is not None and not self.group:
            raise ConfigError(
                f"{path}.group is empty: it must name a column. Set {path}.group, or leave it out."
            )
        if not self.chat_template.strip():
            raise ConfigError(
                f"{path}.chat_template is empty: it must be auto, none, chatml or a file. Set "
                f"{path}.chat_template, or leave it out."
            )
        self.examples.validate(f"{path}.examples")
        self.split_by_hash.validate(f"{path}.split_by_hash")
        repeated = sorted({step for step in self.cleaning if self.cleaning.count(step) > 1})
        if repeated:
            raise ConfigError(
                f"{path}.cleaning names {repeated[0]} twice: each step may appear once. "
                "Remove one of them."
            )
        at_least(f"{path}.max_target_tokens", self.max_target_tokens, 1, "64 suits headlines")
        at_least(
            f"{path}.max_length",
            self.max_length,
            self.max_target_tokens + 2,
            f"It holds {path}.max_target_tokens and the input; raise it, lower "
            f"{path}.max_target_tokens, or leave {path}.max_length out",
        )
        at_least(f"{path}.seed", self.seed, 0, "Give a seed that is not negative")

    def _validate_source(self, path: str) -> None:
        places: dict[str, str | list[str]] = {}
        if isinstance(self.source, dict):
            keys = set(self.source)
            if not {"train", "test"} <= keys <= set(SPLITS):
                raise ConfigError(
                    f"{path}.source has the keys {sorted(keys)}: it must have train, test and, "
                    "unless rows of train are to be held out, validation. Give files for each, or "
                    "one file or folder as a plain string; of one file, a test set is held out by "
                    "a hash of each input."
                )
            places |= {f"{path}.source.{split}": value for split, value in self.source.items()}
        else:
            places[f"{path}.source"] = self.source
        for place, value in places.items():
            names = [value] if isinstance(value, str) else value
            if not names or not all(name.strip() for name in names):
                raise ConfigError(
                    f"{place} is empty: it must name data. Set it to a file, a folder, a Hub data "
                    "set or wire."
                )


def at_least(place: str, value: int | None, least: int, remedy: str) -> None:
    """Raises ConfigError where a value is given and below the least one."""
    if value is not None and value < least:
        raise ConfigError(f"{place} is {value}: it must be at least {least}. {remedy}.")
