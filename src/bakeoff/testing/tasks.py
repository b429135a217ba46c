"""What every task keeps to."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bakeoff.data.examples import Example
from bakeoff.data.taskdata import TaskData
from bakeoff.errors import ConfigError, DataError
from bakeoff.metrics.contract import Ask
from bakeoff.tasks.contract import Task
from bakeoff.tasks.preparation.prepare import prepare, with_found
from bakeoff.tasks.registry import read_task, task_type
from bakeoff.testing.passes import small_base
from bakeoff.types import SPLITS

_MOST_STEPS = 10_000


class TaskContract:
    """Inherit it, name a kind that is registered or installed, and give rows.

    Attributes:
        kind: the task's. options: as a study's ``task`` gives them, without kind and source.
        rows: good ones, at least three, that differ.
        bad: rows that must be refused, each with words that the refusal holds.
        base: one that needs no network, whose tokenizer is used.
    """

    kind: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    rows: ClassVar[Sequence[Mapping[str, Any]]]
    bad: ClassVar[Sequence[tuple[Mapping[str, Any], str]]] = ()
    base: ClassVar[str] = "scratch:tiny-gpt-neo"

    @pytest.fixture
    def task(self) -> Task:
        """The task, with what its training rows decide."""
        task = self.read()
        return with_found(task, task.found(list(self.rows)))

    @pytest.fixture
    def examples(self, task: Task) -> list[Example]:
        """The rows as the task lays them out."""
        return [task.example(row) for row in self.rows]

    def read(self, **changes: Any) -> Task:
        """The task of a study that gives ``options`` with some changes."""
        return read_task({"source": "rows", **self.options, **changes, "kind": self.kind})

    def test_it_says_what_it_is(self, task: Task) -> None:
        assert isinstance(task, task_type(self.kind)) and task.kind == self.kind
        options_type: Any = task.options_type
        assert dataclasses.is_dataclass(options_type)
        assert task.options.kind == self.kind
        with pytest.raises(dataclasses.FrozenInstanceError):
            task.options.source = "other"
        assert task.input_word and task.output_word
        with pytest.raises(ConfigError, match=r"task\.no_such_option"):
            self.read(no_such_option=1)

    def test_it_names_the_columns_that_it_reads(self, task: Task) -> None:
        assert task.column_keys
        for key, column in task.column_keys.items():
            assert all(column in row for row in self.rows), f"no row has the column of task.{key}"
        # Where messages are, one column holds both what is read and what is learnt.
        assert set(task.input_keys) <= set(task.column_keys)

    def test_rows_of_nothing_else_are_laid_out_alike(self, task: Task) -> None:
        for row in self.rows:
            read = {column: row[column] for column in task.columns}
            assert task.example(read) == task.example({**row, "a column besides": "x"})

    def test_spans_lie_in_the_text(self, examples: list[Example]) -> None:
        for example in examples:
            _check_spans(example)

    def test_something_is_supervised(self, examples: list[Example]) -> None:
        for example in examples:
            assert example.target.strip(), f"nothing to learn in {example.text!r}"

    def test_a_row_without_answer_has_the_same_prompt(
        self, task: Task, examples: list[Example]
    ) -> None:
        answers = {task.column_keys[key] for key in set(task.column_keys) - set(task.input_keys)}
        inputs = set(task.input_keys.values())
        for row, example in zip(self.rows, examples, strict=True):
            asked = task.prompt({k: v for k, v in row.items() if k not in answers - inputs})
            assert asked.prompt == example.prompt
            own = task.asked(row)
            assert set(own) <= inputs, "asked leaves the answer out"
            assert task.prompt(own) == asked
            assert asked.choices == example.choices
            assert not asked.target_spans
            assert example.prompt or Ask.TEXT not in task.asks

    def test_what_metrics_ask_for_is_there(self, task: Task, examples: list[Example]) -> None:
        assert task.metrics and len({metric.name for metric in task.metrics}) == len(task.metrics)
        assert task.asks
        for example in examples:
            assert example.references or Ask.TEXT not in task.asks
            if Ask.CHOICE in task.asks:
                assert example.gold is not None and 0 <= example.gold < len(example.choices)
                assert len(set(example.choices)) == len(example.choices) > 1

    def test_shortened_step_by_step_it_comes_to_an_end(
        self, task: Task, examples: list[Example]
    ) -> None:
        for example in examples:
            shorter = task.shorten(example)
            for _ in range(_MOST_STEPS):
                if shorter is None:
                    break
                assert len(shorter.text) < len(example.text), "shorten must shorten"
                assert len(shorter.prompt) <= len(example.prompt)
                assert shorter.references == example.references
                _check_spans(shorter)
                assert shorter.target.strip(), "what is supervised must not give way altogether"
                example, shorter = shorter, task.shorten(shorter)
            assert shorter is None, f"not at an end after {_MOST_STEPS} steps"

    def test_a_row_that_lacks_a_column_is_refused_by_name(self, task: Task) -> None:
        for column in task.columns:
            row = {**self.rows[0], column: None}
            with pytest.raises(DataError, match=f"'{column}'"):
                task.example(row)
        for column in dict.fromkeys(task.input_keys.values()):
            with pytest.raises(DataError, match=f"'{column}'"):
                task.prompt({**self.rows[0], column: None})

    def test_bad_rows_are_refused(self, task: Task) -> None:
        for row, words in self.bad:
            with pytest.raises(DataError) as caught:
                task.example(row)
            assert words in str(caught.value)

    def test_rows_become_tokens(self, tmp_path: Path) -> None:
        data = self.prepared(tmp_path)
        for split in SPLITS:
            part = data.splits[split]
            assert len(part) == len(self.rows)
            assert (part.target_counts > 0).all()
            assert all(len(part.prompts[i]) for i in range(len(part)))

    def test_baselines_answer_every_row(self, tmp_path: Path) -> None:
        data = self.prepared(tmp_path)
        task = with_found(self.read(), data.found)
        names = [baseline.name for baseline in task.baselines]
        assert len(set(names)) == len(names)
        train, test = data.splits["train"], data.splits["test"]
        for baseline in task.baselines:
            if baseline.outputs is None:
                continue
            outputs = baseline.outputs(train, test)
            given = [getattr(outputs, field.name) for field in dataclasses.fields(outputs)]
            sizes = {len(value) for value in given if value is not None}
            assert sizes == {len(test)}, f"{baseline.name} gives {sizes} answers to {len(test)}"

    def prepared(self, folder: Path) -> TaskData:
        """The rows as every split, tokenised."""
        lines = "".join(json.dumps(dict(row)) + "\n" for row in self.rows)
        for split in SPLITS:
            (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
        return prepare(
            self.read(source=str(folder), allow_overlap=True),
            small_base(self.base).tokenizer,
            root=folder,
            cache_dir=None,
            workers=1,
            tokenizer_id=self.base,
        )


def _check_spans(example: Example) -> None:
    """Spans in rising order, none over another, none beyond its text."""
    texts = [
        ("target_spans", example.target_spans, example.text),
        ("literal_spans", example.literal_spans, example.text),
        ("literals_of_prompt", example.literals_of_prompt, example.prompt),
    ]
    for name, spans, text in texts:
        edge = 0
        for start, stop in spans:
            assert edge <= start <= stop <= len(text), f"{name} {spans} of {len(text)} characters"
            edge = stop
    if example.cut_span is not None:
        start, stop = example.cut_span
        assert 0 <= start <= stop <= min(len(example.text), len(example.prompt))
        assert example.text[start:stop] == example.prompt[start:stop]
        for first, last in example.target_spans:
            assert last <= start or stop <= first, "what may be cut is supervised"
