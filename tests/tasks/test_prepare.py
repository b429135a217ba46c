"""Rows as a task's data: laid out, cut, counted and compared."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.data.encode import TextEncoder
from bakeoff.data.sources import open_source
from bakeoff.data.taskdata import SplitData
from bakeoff.errors import ConfigError, DataError
from bakeoff.tasks.contract import columns_of
from bakeoff.tasks.preparation.checks import check_input
from tests.tasks.preparing import (
    Row,
    Write,
    learnt_of,
    mask_of,
    prepared,
    prepared_rows,
    read_of,
    task_of,
)
from tests.tokenizer_families import FAMILIES, FAST, tokenizer_of, train_tokenizer

KAGGLE = 'id,article,highlights\n{name},"The ""{name}"" storm,\nhit.","Storm.\nTowns."\n'


def train_split(
    write: Write, tokenizer: Any, document: str, summary: str, **options: Any
) -> SplitData:
    """Prepares one training row."""
    other = [{"document": "a storm", "summary": "coast"}]
    row = {"document": document, "summary": summary}
    _, data = prepared_rows(write, tokenizer, [row], other, other, **options)
    return data.splits["train"]


def num_tokens(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


# The layout of an example


def test_a_row_reads_as_the_template(write: Write, tokenizer: Any) -> None:
    template = "Summary of: {document}\n\nTL;DR: {summary} The end"
    split = train_split(write, tokenizer, "A storm hit.", "Storm hits.", template=template)
    read, learnt = read_of(split, 0), learnt_of(split, 0)
    assert tokenizer.decode(read) == "Summary of: A storm hit.\n\nTL;DR:"
    assert tokenizer.decode(learnt[:-1]) == " Storm hits. The end"
    assert learnt[-1] == tokenizer.eos_token_id
    assert split.prompts[0].tolist() == read
    # As running text.
    text = "Summary of: A storm hit.\n\nTL;DR: Storm hits. The end"
    assert split.tokens[0].tolist()[:-1] == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_s_rows_are_running_text(write: Write, family: str) -> None:
    tokenizer = tokenizer_of(family)
    split = train_split(write, tokenizer, "the storm", "the coast")
    text = "the storm\n\nTL;DR: the coast"
    whole = tokenizer(text, add_special_tokens=False)["input_ids"]
    start = len(split.tokens[0]) - len(whole) - 1
    assert split.tokens[0].tolist()[start:] == [*whole, tokenizer.eos_token_id]
    assert tokenizer.decode(learnt_of(split, 0)[:-1]).strip() == "the coast"
    assert split.prompts[0].tolist() == read_of(split, 0)


def test_begin_of_text_comes_once_where_the_tokenizer_has_it(
    write: Write, spaced_tokenizer: Any
) -> None:
    bos, eos = spaced_tokenizer.bos_token_id, spaced_tokenizer.eos_token_id
    split = train_split(write, spaced_tokenizer, "the storm", "the coast")
    assert read_of(split, 0) == spaced_tokenizer("the storm\n\nTL;DR:")["input_ids"]
    assert read_of(split, 0).count(bos) == 1
    assert split.tokens[0].tolist() == [
        *spaced_tokenizer("the storm\n\nTL;DR: the coast")["input_ids"],
        eos,
    ]
    spelt = train_split(
        write, spaced_tokenizer, "the storm", "x", template="<s>Summary: {document}: {summary}"
    )
    assert spelt.tokens[0].tolist().count(bos) == spelt.prompts[0].tolist().count(bos) == 1


def test_a_dummy_prefix_stands_at_the_start_only(write: Write, spaced_tokenizer: Any) -> None:
    template = "the company:\n{document}\n{summary}"
    split = train_split(write, spaced_tokenizer, "storm hit", "towns", template=template)
    text = "the company:\nstorm hit\ntowns"
    assert split.tokens[0].tolist()[:-1] == spaced_tokenizer(text)["input_ids"]


def test_an_end_of_text_spelt_in_the_template_is_not_doubled(write: Write, tokenizer: Any) -> None:
    template = "{document}\n{summary}<|endoftext|>"
    split = train_split(write, tokenizer, "a storm", "the coast", template=template)
    assert learnt_of(split, 0).count(tokenizer.eos_token_id) == 1
    assert split.tokens[0][-1] == tokenizer.eos_token_id


def test_special_tokens_spelt_in_data_are_plain_text(write: Write, tokenizer: Any) -> None:
    split = train_split(write, tokenizer, "a <|endoftext|> storm", "the <|endoftext|> coast")
    assert tokenizer.eos_token_id not in split.prompts[0]
    assert tokenizer.eos_token_id not in read_of(split, 0)
    assert learnt_of(split, 0).count(tokenizer.eos_token_id) == 1
    both = train_split(
        write,
        tokenizer,
        "a <|endoftext|> storm",
        "coast",
        template="{document}<|endoftext|>{summary}",
    )
    assert both.tokens[0].tolist().count(tokenizer.eos_token_id) == 2
    assert both.prompts[0].tolist().count(tokenizer.eos_token_id) == 1
    assert both.prompts[0][-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("text", ["été 🌧 \u200b 雨", "a\x00b", "e\u0301", "नमस्ते"])
def test_unicode_survives(write: Write, tokenizer: Any, text: str) -> None:
    split = train_split(write, tokenizer, text, text)
    assert list(split.shown) == [text]
    assert list(split.targets) == [f" {text}"]
    assert split.references == [[text]]
    assert tokenizer.decode(read_of(split, 0)) == f"{text}\n\nTL;DR:"
    assert tokenizer.decode(learnt_of(split, 0)[:-1]) == f" {text}"


# Length


@pytest.mark.parametrize(("spare", "num_cut"), [(3, 0), (0, 0), (-1, 1), (-5, 5)])
def test_the_document_is_cut_to_its_room(
    write: Write, tokenizer: Any, spare: int, num_cut: int
) -> None:
    document = "storm the coast company towns power profit" * 3
    whole = tokenizer(document)["input_ids"]
    fixed = num_tokens(tokenizer, "\n\nTL;DR:")
    split = train_split(
        write,
        tokenizer,
        document,
        "the storm",
        max_target_tokens=8,
        max_length=fixed + 8 + len(whole) + spare,
    )
    kept = split.prompts[0][: len(split.prompts[0]) - fixed]
    assert kept.tolist() == whole[: len(whole) - num_cut]
    assert read_of(split, 0) == split.prompts[0].tolist()
    assert str(tokenizer.decode(split.prompts[0])).endswith("\n\nTL;DR:")
    assert split.rows_cut == (num_cut > 0)
    assert list(split.shown) == [document]


@pytest.mark.parametrize("over", [-1, 0, 1, 5])
def test_a_long_summary_takes_room_from_its_own_document_only(
    write: Write, tokenizer: Any, over: int
) -> None:
    document, summary = "storm the coast company " * 30, "the storm and the coast"
    num_learnt = num_tokens(tokenizer, f" {summary}") + 1
    reserved = num_learnt - over
    split = train_split(
        write, tokenizer, document, summary, max_length=48, max_target_tokens=reserved
    )
    assert tokenizer.decode(learnt_of(split, 0)[:-1]) == f" {summary}"
    assert len(read_of(split, 0)) == 48 - max(reserved, num_learnt)
    assert len(split.prompts[0]) == 48 - reserved
    assert split.rows_cut == 1


def test_a_prompt_does_not_depend_on_the_reference(write: Write, tokenizer: Any) -> None:
    document = "storm the coast company " * 30
    prompts = [
        train_split(
            write, tokenizer, document, summary, max_length=64, max_target_tokens=4
        ).prompts[0]
        for summary in ("storm", "the storm and the coast " * 4)
    ]
    assert prompts[0].tolist() == prompts[1].tolist()


def test_a_summary_that_leaves_no_room_is_an_error_with_the_remedy(
    write: Write, tokenizer: Any, tmp_path: Path
) -> None:
    short = {"document": "storm", "summary": "coast"}
    # A long document can be cut, and raises nothing.
    long = {"document": "storm " * 40, "summary": "the storm and the coast " * 12}
    write("train.jsonl", [short, long, short])
    write("validation.jsonl", [short])
    write("test.jsonl", [short])
    text = f" {long['summary'].strip()}"
    least = num_tokens(tokenizer, "\n\nTL;DR:") + num_tokens(tokenizer, text) + 2
    lengths = {"max_target_tokens": 8, "max_length": least - 1}
    with pytest.raises(DataError) as caught:
        prepared(task_of(**lengths), tokenizer, tmp_path)
    message = str(caught.value)
    assert "row 2 of" in message
    assert f"task.max_length is {least - 1}" in message
    assert "too small for the summary" in message
    assert f"Set task.max_length to {least} or more" in message
    data = prepared(task_of(**lengths, on_bad_row="skip"), tokenizer, tmp_path)
    assert data.splits["train"].rows.tolist() == [1, 3]
    assert data.splits["train"].rows_skipped == 1
    why = f"row 2 does not fit task.max_length ({least - 1})"
    assert f"1 bad row of train was left out; {why}." in data.warnings
    write("train.jsonl", [short, long, {**short, "document": ""}])
    both = prepared(task_of(**lengths, on_bad_row="skip"), tokenizer, tmp_path)
    [warning] = [w for w in both.warnings if w.startswith("2 bad rows of train were left out; ")]
    assert "in row 3 the document (column 'document') is empty; " in warning
    assert warning.endswith(f"; {why}.")
    write("train.jsonl", [short, long, short])
    fitting = prepared(task_of(**{**lengths, "max_length": least}), tokenizer, tmp_path)
    assert len(fitting.splits["train"].tokens[1]) == least


def test_a_length_without_room_for_any_document_is_an_error(write: Write, tokenizer: Any) -> None:
    fixed = num_tokens(tokenizer, "\n\nTL;DR:")
    with pytest.raises(DataError) as caught:
        train_split(write, tokenizer, "a", "b", max_target_tokens=8, max_length=fixed + 8)
    message = str(caught.value)
    assert f"task.max_length is {fixed + 8}" in message
    assert "task.max_target_tokens (8) leave no room for the document of row 1" in message
    assert f"Set task.max_length to {fixed + 9} or more" in message
    split = train_split(write, tokenizer, "a", "b", max_target_tokens=8, max_length=fixed + 9)
    assert len(split.prompts[0]) == fixed + 1


def test_rows_of_which_none_fits_are_an_error_even_where_they_may_be_skipped(
    write: Write, tokenizer: Any
) -> None:
    fixed = num_tokens(tokenizer, "\n\nTL;DR:")
    lengths = {"max_target_tokens": 8, "max_length": 11}
    with pytest.raises(DataError, match=r"leave no room for the document of row 1 of") as caught:
        train_split(write, tokenizer, "a", "b", on_bad_row="skip", **lengths)
    least = fixed + 9
    asked = f"max_length to {least} or more for all of them to fit, or to {least} or more for one."
    assert asked in str(caught.value) and "or task.on_bad_row" not in str(caught.value)


# Whole tasks


def test_kaggle_s_csv_works_as_it_is(tmp_path: Path, tokenizer: Any) -> None:
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.csv").write_text("\ufeff" + KAGGLE.format(name=name), "utf-8")
    task = task_of(
        source=".",
        document="article",
        summary="highlights",
        cleaning=["lowercase", "strip_punctuation"],
    )
    data = prepared(task, tokenizer, tmp_path)
    train = data.splits["train"]
    assert list(train.shown) == ['The "train" storm,\nhit.']
    assert tokenizer.decode(train.prompts[0]) == "the train storm\nhit\n\nTL;DR:"
    assert train.references == [["storm\ntowns"]]
    assert list(train.targets) == [" storm\ntowns"]
    assert train.groups is None
    assert data.found == {}
    assert data.seed == 0


def test_counts(write: Write, tokenizer: Any) -> None:
    rows = [{"document": f"storm {i} " * 40, "summary": f"the coast {i}"} for i in range(5)]
    _, data = prepared_rows(
        write,
        tokenizer,
        [*rows, {"document": "", "summary": "x"}],
        rows[:1],
        [{"document": "towns", "summary": "power"}],
        max_length=64,
        max_target_tokens=16,
        on_bad_row="skip",
        examples={"train": 10},
    )
    train = data.splits["train"]
    assert len(train) == len(train.tokens) == len(train.prompts) == len(train.shown) == 5
    # The space before the summary has no token of its own.
    expected = sum(
        num_tokens(tokenizer, row["document"].strip()) + num_tokens(tokenizer, f" {row['summary']}")
        for row in rows
    )
    assert train.tokens_raw == expected
    assert train.tokens_supervised == int(train.is_target.sum())
    assert train.target_counts.tolist() == [len(learnt_of(train, i)) for i in range(5)]
    assert train.target_bytes.tolist() == [len(f" the coast {i}") for i in range(5)]
    assert train.rows_cut == 5
    assert train.rows_skipped == 1
    assert train.rows.tolist() == [1, 2, 3, 4, 5]
    assert train.rows.dtype == np.int64
    assert data.overlap.train_validation == 1
    assert data.overlap.train_test == 0
    assert data.warnings == [
        "task.examples.train asks for 10 rows; of those that there are, 5 are usable.",
        "1 bad row of train was left out; in row 6 the document (column 'document') is empty.",
        "1 row of validation has a document that is in train too.",
    ]


def test_rows_that_were_left_out_are_not_compared(write: Write, tokenizer: Any) -> None:
    long = {"document": "a storm", "summary": "the coast " * 40}
    _, data = prepared_rows(
        write,
        tokenizer,
        [long, {"document": "power", "summary": "b"}],
        [{"document": "towns", "summary": "c"}],
        [{"document": "a storm", "summary": "d"}],
        max_length=64,
        max_target_tokens=16,
        on_bad_row="skip",
    )
    assert data.splits["train"].rows.tolist() == [2]
    assert data.overlap.train_test == 0


def test_overlap_is_of_texts_as_they_are_cleaned(write: Write, tokenizer: Any) -> None:
    row = {"document": "A storm, today!", "summary": "the coast"}
    same = {"document": "a STORM  today", "summary": "other"}
    target = {"document": "shares", "summary": "The coast."}
    _, data = prepared_rows(
        write, tokenizer, [row], [target], [same], cleaning=["strip_punctuation"]
    )
    assert data.overlap.train_test == 1
    assert data.overlap.train_validation == 0
    assert data.overlap.train_validation_targets == 1
    assert data.overlap.train_test_targets == 0


def test_wire_needs_nothing(tmp_path: Path, tokenizer: Any) -> None:
    task = task_of(
        source="wire",
        examples={"train": 8, "validation": 3, "test": 2},
        max_length=640,
        max_target_tokens=160,
        group="desk",
    )
    data = prepared(task, tokenizer, tmp_path)
    assert [len(part) for part in data.splits.values()] == [8, 3, 2]
    groups = data.splits["train"].groups
    assert groups is not None
    assert len(groups) == 8
    assert all(groups)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        (float("nan"), "is missing"),
        ({"id": 1}, "is no text or number but dict"),
    ],
)
def test_rows_do_not_hang_together_by_what_is_no_group(
    write: Write, tokenizer: Any, value: object, reason: str
) -> None:
    rows = [
        {"document": f"A storm of {i}.", "summary": "Storm.", "case": case}
        for i, case in enumerate((value, value, 3))
    ]
    with pytest.raises(DataError, match=rf"in row 1 the group \(column 'case'\) {reason}"):
        prepared_rows(write, tokenizer, rows, group="case")


def test_a_row_without_its_group_is_bad(write: Write, tokenizer: Any) -> None:
    rows: list[Row] = [
        {"document": "a storm", "summary": "b", "case": 3},
        {"document": "shares", "summary": "b", "case": None},
    ]
    with pytest.raises(DataError, match=r"row 2 the group \(column 'case'\) is missing"):
        prepared_rows(write, tokenizer, rows, group="case")
    _, data = prepared_rows(write, tokenizer, rows, group="case", on_bad_row="skip")
    assert data.splits["train"].groups == ["3"]


def test_nothing_is_tokenised_before_all_rows_are_read(
    tmp_path: Path, write: Write, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [{"document": "a storm", "summary": "b"}]
    write("train.jsonl", good)
    write("validation.jsonl", good)
    write("test.jsonl", [{"document": "a storm", "summary": ""}])
    monkeypatch.setattr(TextEncoder, "encode", lambda *_: pytest.fail("tokenised"))
    with pytest.raises(DataError, match=r"test\.jsonl has bad rows: row 1"):
        prepared(task_of(), tokenizer, tmp_path)


def test_options_are_validated(tmp_path: Path, tokenizer: Any) -> None:
    task = task_of()
    object.__setattr__(task.options, "max_length", 3)
    with pytest.raises(ConfigError, match=r"task\.max_length is 3"):
        prepared(task, tokenizer, tmp_path)


# What cannot be learnt from


NUMBERS = [{"document": text, "summary": "coast"} for text in ("17", " -3.5 ", "1,200", "2e-3")]


def test_a_column_of_numbers_is_refused_with_the_columns_that_there_are(
    write: Write, tokenizer: Any
) -> None:
    rows = [{**row, "body": "a storm", "title": "storm"} for row in NUMBERS]
    with pytest.raises(DataError) as caught:
        prepared_rows(write, tokenizer, rows)
    message = str(caught.value)
    assert "task.document is 'document'" in message
    assert "train.jsonl holds a plain number there, such as '17' and ' -3.5 '" in message
    assert "Set task.document to a column of texts (there are also 'body' and 'title')" in message
    assert "put a word before each" in message


@pytest.mark.parametrize("values", [[17, 18], [0.5, 2], ["17", 3, None]])
def test_numbers_that_are_no_texts_are_refused_alike(
    write: Write, tokenizer: Any, values: list[object]
) -> None:
    rows = [{"document": value, "summary": "coast"} for value in values]
    with pytest.raises(DataError, match=r"task\.document is 'document'.* plain number"):
        prepared_rows(write, tokenizer, rows, on_bad_row="skip")


@pytest.mark.parametrize(
    "texts",
    [["17"], ["17", "a storm"], ["17", "number 18"], ["2020-01-01", "2020-01-02"], ["x1", "x2"]],
)
def test_other_texts_are_not(write: Write, tokenizer: Any, texts: list[str]) -> None:
    rows = [{"document": text, "summary": "coast"} for text in texts]
    _, data = prepared_rows(write, tokenizer, rows)
    assert list(data.splits["train"].shown) == texts


def test_booleans_are_no_numbers(write: Write, tokenizer: Any) -> None:
    rows = [{"document": True, "summary": "coast"}] * 2
    with pytest.raises(DataError, match="is not text but bool"):
        prepared_rows(write, tokenizer, rows)


def test_of_a_summary_without_tokens_the_end_is_learnt(write: Write) -> None:
    tokenizer = train_tokenizer(dummy_prefix=True, drops=True)
    rows = [{"document": "the storm", "summary": "coast"}, {"document": "a", "summary": "雨"}]
    _, data = prepared_rows(write, tokenizer, rows, template="{document}:{summary}")
    assert learnt_of(data.splits["train"], 1) == [tokenizer.eos_token_id]


@pytest.mark.parametrize("family", FAST)
def test_every_row_has_something_to_learn(write: Write, family: str) -> None:
    rows = [{"document": "the storm", "summary": "x"}, {"document": "a", "summary": "the coast"}]
    _, data = prepared_rows(write, tokenizer_of(family), rows)
    for part in data.splits.values():
        assert all(mask_of(part, i).any() for i in range(len(part)))
        assert not any(mask_of(part, i)[0] for i in range(len(part)))


def test_who_looks_at_the_first_row_alone_says_that_a_packed_file_is_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of rows that are only dropped has nothing to catch it, and is printed."""
    dropped: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: dropped.append(lost.exc_value))
    lines = json.dumps({"text": "A storm.", "short": "storm"}) + "\n"
    files = {split: f"{split}.jsonl.gz" for split in ("train", "validation", "test")}
    for name in files.values():
        (tmp_path / name).write_bytes(gzip.compress(lines.encode() * 9) + b"x")
    task = task_of(kind="summarize", source=files, document="text", summary="short")
    source = open_source(task.options, columns_of(task), root=tmp_path)
    with pytest.raises(DataError, match=r"train\.jsonl\.gz is not a whole gzip file"):
        check_input(task, source)
    assert not [error for error in dropped if isinstance(error, DataError)]
