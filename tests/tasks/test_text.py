"""Plain texts: all of it is learnt, and a long one is taken in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from bakeoff.api.answers import _inputs
from bakeoff.data.inputs import read_inputs
from bakeoff.errors import ConfigError, DataError
from bakeoff.metrics.contract import Ask
from tests.tasks.preparing import Row, Write, mask_of, prepared_rows, task_of
from tests.tokenizer_families import FAMILIES, tokenizer_of

ROWS = [{"text": "A storm hit the coast.\n"}, {"text": " Shares rose on Tuesday."}]
LONG = [{"text": " ".join(f"storm {n} hit the coast" for n in range(40))}, *ROWS]


def learnt(write: Write, tokenizer: Any, train: Sequence[Row], **options: Any) -> Any:
    return prepared_rows(write, tokenizer, train, **{"kind": "text", **options})


@pytest.mark.parametrize("family", FAMILIES)
def test_every_token_is_predicted_the_end_s_too(write: Write, family: str) -> None:
    tokenizer = tokenizer_of(family)
    _, data = learnt(write, tokenizer, ROWS)
    train = data.splits["train"]
    start = tokenizer("a")["input_ids"][: -len(tokenizer("a", add_special_tokens=False).input_ids)]
    for i, row in enumerate(ROWS):
        whole = tokenizer(row["text"], add_special_tokens=False)["input_ids"]
        before = start if start and family != "slow" else [tokenizer.eos_token_id]
        assert train.tokens[i].tolist() == [*before, *whole, tokenizer.eos_token_id]
        assert mask_of(train, i).tolist() == [False] * len(before) + [True] * (len(whole) + 1)
        assert train.prompts[i].tolist() == before
        assert train.targets[i] == train.shown[i] == row["text"]
    assert train.groups is None
    assert train.rows_cut == 0
    assert train.target_bytes.tolist() == [23.0, 24.0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("max_length", [3, 4, 32, 33])
def test_a_long_text_is_taken_in_pieces(write: Write, family: str, max_length: int) -> None:
    tokenizer = tokenizer_of(family)
    _, whole = learnt(write, tokenizer, LONG, max_length=4096)
    _, data = learnt(write, tokenizer, LONG, max_length=max_length)
    one, train = whole.splits["train"], data.splits["train"]
    assert max(train.tokens.lengths) == max_length
    for row in (1, 2, 3):
        pieces = np.flatnonzero(train.rows == row).tolist()
        ids = one.tokens[row - 1].tolist()
        num_before = len(ids) - int(one.target_counts[row - 1])
        done = num_before
        for number, i in enumerate(pieces):
            piece, mask = train.tokens[i].tolist(), mask_of(train, i)
            count = int(mask.sum())
            # What is supervised comes last, each token once, after as much as there is room for.
            assert mask.tolist() == [False] * (len(piece) - count) + [True] * count
            assert piece == ids[done + count - len(piece) : done + count]
            assert len(piece) == min(max_length, len(ids))
            assert number == 0 or len(piece) > count
            done += count
        assert done == len(ids)
        assert "".join(train.targets[i] for i in pieces) == one.targets[row - 1]
        assert train.target_bytes[pieces].sum() == one.target_bytes[row - 1]
    assert train.groups == [str(row) for row in train.rows]
    assert train.tokens_raw == one.tokens_raw
    assert train.tokens_supervised == one.tokens_supervised
    assert train.rows_skipped == 0


@pytest.mark.parametrize("max_length", [64, 256])
def test_pieces_are_counted_in_a_warning(write: Write, tokenizer: Any, max_length: int) -> None:
    _, data = learnt(write, tokenizer, LONG, max_length=max_length, examples={"train": 3})
    count = int((data.splits["train"].rows == 1).sum())
    assert count > 2 if max_length == 64 else count == 2
    [warning] = [w for w in data.warnings if "pieces" in w and "of train" in w]
    assert warning == (
        "1 row of train has a text that is longer than task.max_length "
        f"({max_length}) and is taken in {count} pieces, each of which sees at most so many tokens."
    )
    assert not any("asks for" in w for w in data.warnings)


def test_the_study_s_groups_hold_pieces_too(write: Write, tokenizer: Any) -> None:
    rows = [{**row, "page": n % 2} for n, row in enumerate(LONG)]
    _, data = learnt(write, tokenizer, rows, max_length=64, group="page")
    train = data.splits["train"]
    assert train.groups == ["1" if row == 2 else "0" for row in train.rows]


def test_texts_that_are_in_two_splits_are_found(write: Write, tokenizer: Any) -> None:
    again = {"text": "a STORM  hit the coast."}
    _, data = prepared_rows(write, tokenizer, ROWS, [again], [{"text": "coast"}], kind="text")
    assert data.overlap.train_validation == 1
    assert data.overlap.train_test == data.overlap.train_duplicates == 0
    assert data.warnings == ["1 row of validation has a text that is in train too."]


def test_what_is_asked_and_scored() -> None:
    task = task_of(kind="text")
    assert [m.name for m in task.metrics] == ["nll", "perplexity", "bits_per_byte"]
    assert task.asks == {Ask.LIKELIHOOD}
    assert [b.name for b in task.baselines] == ["zero_shot"]
    assert dict(task.input_keys) == {}


def test_a_metric_of_answers_is_refused() -> None:
    task = task_of(kind="text", metrics=["bits_per_byte", "rougeL"])
    with pytest.raises(ConfigError, match=r"task\.metrics: rougeL scores answers"):
        _ = task.metrics_before_rows
    allowed = task_of(kind="text", metrics=["bits_per_byte"])
    assert {m.name for m in allowed.metrics} == {"bits_per_byte", "nll"}


def test_there_is_nothing_to_predict() -> None:
    columns = task_of(kind="text").input_keys
    with pytest.raises(DataError, match="nothing to predict"):
        read_inputs([], columns, "auto", BytesIO(b"a storm"))
    with pytest.raises(DataError, match="nothing to predict"):
        _inputs(["a storm"], columns)


@pytest.mark.parametrize(("value", "reason"), [(None, "is missing"), (" \n", "is empty")])
def test_a_row_without_text_is_a_bad_row(
    write: Write, tokenizer: Any, value: object, reason: str
) -> None:
    rows: list[Row] = [*ROWS, {"text": value}]
    with pytest.raises(DataError) as caught:
        learnt(write, tokenizer, rows)
    assert f"in row 3 the text (column 'text') {reason}" in str(caught.value)
    _, data = learnt(write, tokenizer, rows, on_bad_row="skip")
    assert data.splits["train"].rows_skipped == 1


@pytest.mark.parametrize(
    ("options", "place"),
    [({"text": ""}, "task.text"), ({"max_target_tokens": 8}, "task.max_target_tokens is 8")],
)
def test_an_option_that_breaks_a_rule_is_named(options: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError, match=place):
        task_of(kind="text", **options)
