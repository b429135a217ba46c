from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bakeoff.data.prepare import prepare
from transformers import PreTrainedTokenizerFast

from bakeoff.data.encode import PieceEncoder
from bakeoff.data.options import ExamplesOptions, TaskOptions
from bakeoff.data.taskdata import SplitData, TaskData
from bakeoff.errors import ConfigError, DataError

Write = Callable[[str, Sequence[Mapping[str, object]]], Path]

TASK = TaskOptions(
    source={"train": "train.jsonl", "validation": "validation.jsonl", "test": "test.jsonl"}
)
KAGGLE = 'id,article,highlights\n{name},"The ""{name}"" storm,\nhit.","Storm.\nTowns."\n'


def run(task: TaskOptions, tokenizer: Any, root: Path, **options: Any) -> TaskData:
    arguments = {"cache_dir": None, "tokenizer_id": "small", **options}
    return prepare(task, tokenizer, root=root, **arguments)


def train_split(
    write: Write, tokenizer: Any, document: str, summary: str, **options: Any
) -> SplitData:
    """Prepares one training row."""
    path = write("train.jsonl", [{"document": document, "summary": summary}])
    for name in ("validation", "test"):
        write(f"{name}.jsonl", [{"document": f"{name} storm", "summary": "coast"}])
    return run(replace(TASK, **options), tokenizer, path.parent).splits["train"]


def num_tokens(tokenizer: PreTrainedTokenizerFast, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


# The layout of an example


def test_prompt_and_completion_read_as_the_template(
    write: Write, tokenizer: PreTrainedTokenizerFast
) -> None:
    template = "Summary of: {document}\n\nTL;DR: {summary} The end"
    split = train_split(write, tokenizer, "A storm hit.", "Storm hits.", template=template)
    prompt, completion = split.prompts[0], split.completions[0]
    assert tokenizer.decode(prompt) == "Summary of: A storm hit.\n\nTL;DR:"
    assert tokenizer.decode(completion[:-1]) == " Storm hits. The end"
    assert completion[-1] == tokenizer.eos_token_id
    assert split.generation_prompts[0].tolist() == prompt.tolist()
    # The joints are as in running text.
    text = "Summary of: A storm hit.\n\nTL;DR: Storm hits. The end"
    assert [*prompt, *completion[:-1]] == tokenizer(text)["input_ids"]


def test_begin_of_text_comes_once_where_the_tokenizer_has_it(
    write: Write, spaced_tokenizer: PreTrainedTokenizerFast
) -> None:
    bos, eos = spaced_tokenizer.bos_token_id, spaced_tokenizer.eos_token_id
    split = train_split(write, spaced_tokenizer, "the storm", "the coast")
    prompt, completion = split.prompts[0].tolist(), split.completions[0].tolist()
    assert prompt == spaced_tokenizer("the storm\n\nTL;DR:")["input_ids"]
    assert prompt.count(bos) == 1
    assert [*prompt, *completion] == [
        *spaced_tokenizer("the storm\n\nTL;DR: the coast")["input_ids"],
        eos,
    ]
    spelt = train_split(
        write, spaced_tokenizer, "the storm", "x", template="<s>Summary: {document}: {summary}"
    )
    assert spelt.prompts[0].tolist().count(bos) == 1


def test_a_dummy_prefix_stands_at_the_start_only(
    write: Write, spaced_tokenizer: PreTrainedTokenizerFast
) -> None:
    template = "the company:\n{document}\n{summary}"
    split = train_split(write, spaced_tokenizer, "storm hit", "towns", template=template)
    text = "the company:\nstorm hit\ntowns"
    joined = [*split.prompts[0], *split.completions[0][:-1]]
    assert joined == spaced_tokenizer(text)["input_ids"]


def test_an_end_of_text_spelt_in_the_template_is_not_doubled(
    write: Write, tokenizer: PreTrainedTokenizerFast
) -> None:
    template = "{document}\n{summary}<|endoftext|>"
    split = train_split(write, tokenizer, "a storm", "the coast", template=template)
    completion = split.completions[0].tolist()
    assert completion.count(tokenizer.eos_token_id) == 1
    assert completion[-1] == tokenizer.eos_token_id


def test_special_tokens_spelt_in_data_are_plain_text(
    write: Write, tokenizer: PreTrainedTokenizerFast
) -> None:
    split = train_split(write, tokenizer, "a <|endoftext|> storm", "the <|endoftext|> coast")
    assert tokenizer.eos_token_id not in split.prompts[0]
    assert split.completions[0].tolist().count(tokenizer.eos_token_id) == 1


@pytest.mark.parametrize("text", ["été 🌧 \u200b 雨", "a\x00b", "e\u0301", "नमस्ते"])
def test_unicode_survives(write: Write, tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    split = train_split(write, tokenizer, text, text)
    assert split.documents == [text]
    assert tokenizer.decode(split.prompts[0]) == f"{text}\n\nTL;DR:"
    assert tokenizer.decode(split.completions[0][:-1]) == f" {text}"


# Length


@pytest.mark.parametrize(("spare", "num_cut"), [(3, 0), (0, 0), (-1, 1), (-5, 5)])
def test_the_document_is_cut_to_its_room(
    write: Write, tokenizer: PreTrainedTokenizerFast, spare: int, num_cut: int
) -> None:
    document = "storm the coast company towns power profit" * 3
    whole = tokenizer(document)["input_ids"]
    fixed = num_tokens(tokenizer, "\n\nTL;DR:")
    split = train_split(
        write,
        tokenizer,
        document,
        "the storm",
        max_summary_tokens=8,
        max_length=fixed + 8 + len(whole) + spare,
    )
    kept = split.prompts[0][: len(split.prompts[0]) - fixed]
    assert kept.tolist() == whole[: len(whole) - num_cut]
    assert str(tokenizer.decode(split.prompts[0])).endswith("\n\nTL;DR:")
    assert split.documents_truncated == (num_cut > 0)
    assert split.documents == [document]


@pytest.mark.parametrize("over", [-1, 0, 1, 5])
def test_a_long_summary_takes_room_from_its_own_document_only(
    write: Write, tokenizer: PreTrainedTokenizerFast, over: int
) -> None:
    document, summary = "storm the coast company " * 30, "the storm and the coast"
    num_completion = num_tokens(tokenizer, f" {summary}") + 1
    reserved = num_completion - over
    split = train_split(
        write, tokenizer, document, summary, max_length=48, max_summary_tokens=reserved
    )
    prompt, completion = split.prompts[0], split.completions[0]
    assert tokenizer.decode(completion[:-1]) == f" {summary}"
    assert len(prompt) == 48 - max(reserved, num_completion)
    assert len(split.generation_prompts[0]) == 48 - reserved
    assert split.documents_truncated == 1


def test_a_generation_prompt_does_not_depend_on_the_reference(
    write: Write, tokenizer: PreTrainedTokenizerFast
) -> None:
    document = "storm the coast company " * 30
    prompts = [
        train_split(
            write, tokenizer, document, summary, max_length=64, max_summary_tokens=4
        ).generation_prompts[0]
        for summary in ("storm", "the storm and the coast " * 4)
    ]
    assert prompts[0].tolist() == prompts[1].tolist()


def test_a_summary_that_leaves_no_room_is_an_error_with_the_remedy(
    write: Write, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    short, long = {"document": "storm", "summary": "coast"}, "the storm and the coast " * 12
    write("train.jsonl", [short, {"document": "storm", "summary": long}, short])
    write("validation.jsonl", [short])
    write("test.jsonl", [short])
    least = num_tokens(tokenizer, "\n\nTL;DR:") + num_tokens(tokenizer, f" {long.strip()}") + 2
    task = replace(TASK, max_summary_tokens=8, max_length=least - 1)
    with pytest.raises(DataError) as caught:
        run(task, tokenizer, tmp_path)
    text = str(caught.value)
    assert "row 2 of" in text
    assert "too small for the summary" in text
    assert f"Set task.max_length to {least} or more" in text
    data = run(replace(task, on_bad_row="skip"), tokenizer, tmp_path)
    assert data.splits["train"].rows.tolist() == [1, 3]
    assert data.splits["train"].rows_skipped == 1
    assert "1 bad rows of train were left out." in data.warnings
    fitting = run(replace(task, max_length=least), tokenizer, tmp_path).splits["train"]
    assert len(fitting.prompts[1]) + len(fitting.completions[1]) == least


def test_a_length_without_room_for_any_document_is_an_error(
    write: Write, tokenizer: PreTrainedTokenizerFast
) -> None:
    fixed = num_tokens(tokenizer, "\n\nTL;DR:")
    with pytest.raises(ConfigError, match=rf"task\.max_length to at least {fixed + 9}"):
        train_split(write, tokenizer, "a", "b", max_summary_tokens=8, max_length=fixed + 8)
    split = train_split(write, tokenizer, "a", "b", max_summary_tokens=8, max_length=fixed + 9)
    assert len(split.prompts[0]) == fixed + 1


# Whole tasks


def test_kaggle_s_csv_works_as_it_is(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.csv").write_text("\ufeff" + KAGGLE.format(name=name), "utf-8")
    task = TaskOptions(source=".", document="article", summary="highlights")
    data = run(replace(task, cleaning=("lowercase", "strip_punctuation")), tokenizer, tmp_path)
    train = data.splits["train"]
    assert train.raw_documents == ['The "train" storm,\nhit.']
    assert train.documents == ["the train storm\nhit"]
    assert train.summaries == ["storm\ntowns"]
    assert train.desks is None
    assert data.seed == 0


def test_counts(tmp_path: Path, write: Write, tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [{"document": f"storm {i} " * 40, "summary": f"the coast {i}"} for i in range(5)]
    write("train.jsonl", [*rows, {"document": "", "summary": "x"}])
    write("validation.jsonl", rows[:1])
    write("test.jsonl", [{"document": "towns", "summary": "power"}])
    task = replace(TASK, max_length=64, max_summary_tokens=16, on_bad_row="skip")
    data = run(replace(task, examples=ExamplesOptions(train=10)), tokenizer, tmp_path)
    train = data.splits["train"]
    assert len(train) == len(train.prompts) == len(train.documents) == 5
    expected = sum(
        num_tokens(tokenizer, str(text).strip()) for row in rows for text in row.values()
    )
    assert train.tokens_raw == expected
    assert train.tokens_supervised == int(train.completions.lengths.sum())
    assert train.documents_truncated == 5
    assert train.rows_skipped == 1
    assert train.rows.tolist() == [1, 2, 3, 4, 5]
    assert train.rows.dtype == np.int64
    assert data.overlap.train_validation == 1
    assert data.overlap.train_test == 0
    assert data.warnings == [
        "task.examples.train asks for 10 rows; there are 5 usable ones.",
        "1 bad rows of train were left out.",
        "1 rows of validation have a document that is in train too.",
    ]


def test_wire_needs_nothing(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    task = TaskOptions(
        source="wire",
        examples=ExamplesOptions(train=8, validation=3, test=2),
        max_length=640,
        max_summary_tokens=160,
    )
    data = run(task, tokenizer, tmp_path)
    assert [len(part) for part in data.splits.values()] == [8, 3, 2]
    desks = data.splits["train"].desks
    assert desks is not None
    assert len(desks) == 8
    assert all(desks)


def test_documents_are_tokenised_last(
    tmp_path: Path,
    write: Write,
    tokenizer: PreTrainedTokenizerFast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = [{"document": "a storm", "summary": "b"}]
    write("train.jsonl", good)
    write("validation.jsonl", good)
    write("test.jsonl", [{"document": "a storm", "summary": ""}])
    original = PieceEncoder.encode

    def without_documents(self: PieceEncoder, texts: Sequence[str], **options: Any) -> Any:
        assert "a storm" not in texts
        return original(self, texts, **options)

    monkeypatch.setattr(PieceEncoder, "encode", without_documents)
    with pytest.raises(DataError, match=r"test\.jsonl has bad rows: row 1"):
        run(TASK, tokenizer, tmp_path)
    write("test.jsonl", [{"document": "a storm", "summary": "the coast " * 200}])
    with pytest.raises(DataError, match=r"too small for the summary of row 1 of .*test\.jsonl"):
        run(TASK, tokenizer, tmp_path)


def test_options_are_validated(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ConfigError, match=r"task\.max_length is 3"):
        run(replace(TASK, max_length=3), tokenizer, tmp_path)
