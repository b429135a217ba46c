"""Rows of any values: each is used, or skipped and counted, or named in one error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakeoff.errors import DataError
from bakeoff.tasks.contract import Task
from tests.tasks.preparing import FILES, prepared, task_of
from tests.tokenizer_families import tokenizer_of


def asked(**options: Any) -> Task:
    template = "{context}\n\nQ: {question}\nA: {answer}"
    return task_of(kind="complete", template=template, target="answer", **options)


TEXTS = st.text(st.characters(exclude_categories=()), max_size=30)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    TEXTS,
    st.text("ab \n{}<|>", min_size=200, max_size=900),
    st.sampled_from(["<|endoftext|>", "{answer}", " ", ""]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
ROWS = st.lists(
    st.fixed_dictionaries({}, optional={"context": VALUES, "question": VALUES, "answer": VALUES}),
    min_size=1,
    max_size=4,
)
GOOD = {"context": "A storm.", "question": "What?", "answer": ["a storm", "storm"]}


@pytest.mark.parametrize("family", ["byte_level", "metaspace"])
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=ROWS)
def test_any_rows_are_used_or_skipped_or_named_in_one_error(
    tmp_path: Path, family: str, rows: list[dict[str, object]]
) -> None:
    tokenizer = tokenizer_of(family)
    lines = [GOOD, *rows]
    text = "".join(json.dumps(row) + "\n" for row in lines)
    for name in FILES.values():
        (tmp_path / name).write_text(text, encoding="utf-8")
    options = {"max_length": 64, "max_target_tokens": 8}
    skipping = prepared(asked(on_bad_row="skip", **options), tokenizer, tmp_path)
    train = skipping.splits["train"]
    assert len(train) + train.rows_skipped == len(lines)
    assert train.rows[0] == 1
    assert np.diff(train.tokens.offsets).max() <= 64
    assert (train.target_counts > 0).all()
    for number, references in zip(train.rows, train.references, strict=True):
        answer = lines[number - 1]["answer"]
        assert len(references) == (len(answer) if isinstance(answer, list) else 1)
    try:
        prepared(asked(**options), tokenizer, tmp_path)
    except DataError as error:
        assert train.rows_skipped
        bad = sorted(set(range(1, len(lines) + 1)) - set(train.rows.tolist()))
        assert any(
            f"row {number}" in str(error) or f"rows {number}" in str(error) for number in bad
        )
        assert "task.on_bad_row: skip" in str(error)
    else:
        assert not train.rows_skipped


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(values=st.lists(VALUES, min_size=1, max_size=4))
def test_any_texts_are_learnt_whole_or_skipped(tmp_path: Path, values: list[object]) -> None:
    tokenizer = tokenizer_of("byte_level")
    lines = [{"text": "A storm."}, *({"text": value} for value in values)]
    text = "".join(json.dumps(row) + "\n" for row in lines)
    for name in FILES.values():
        (tmp_path / name).write_text(text, encoding="utf-8")
    task = task_of(kind="text", on_bad_row="skip", max_length=16)
    train = prepared(task, tokenizer, tmp_path).splits["train"]
    used = sorted(set(train.rows.tolist()))
    assert len(used) + train.rows_skipped == len(lines)
    assert train.tokens.lengths.max() <= 16
    for number in used:
        pieces = [train.targets[i] for i in np.flatnonzero(train.rows == number).tolist()]
        value = lines[number - 1]["text"]
        whole = value if isinstance(value, str) else str(value)
        assert "".join(pieces) == (whole.lower() if isinstance(value, bool) else whole)


OTHERS: dict[str, dict[str, Any]] = {
    "summarize": {"document": "context", "summary": "answer"},
    "classify": {"text": "context", "label": "answer", "labels": ["yes", "no"]},
}
OTHERS_GOOD = {
    "summarize": {"context": "A storm.", "question": "", "answer": "Storm."},
    "classify": {"context": "A storm.", "question": 7, "answer": "no"},
}
TEMPLATES = {
    "summarize": "{question} {document}\n{summary}",
    "classify": "{question} {text}\n{label}",
}


@pytest.mark.parametrize("kind", OTHERS)
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=ROWS)
def test_any_rows_of_other_kinds(tmp_path: Path, kind: str, rows: list[dict[str, object]]) -> None:
    lines = [OTHERS_GOOD[kind], *rows]
    text = "".join(json.dumps(row) + "\n" for row in lines)
    for name in FILES.values():
        (tmp_path / name).write_text(text, encoding="utf-8")
    task = task_of(
        kind=kind,
        template=TEMPLATES[kind],
        on_bad_row="skip",
        max_length=64,
        max_target_tokens=8,
        **OTHERS[kind],
    )
    train = prepared(task, tokenizer_of("byte_level"), tmp_path).splits["train"]
    assert len(train) + train.rows_skipped == len(lines)
    assert train.rows[0] == 1
    assert train.tokens.lengths.max() <= 64
