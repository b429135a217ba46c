"""A document in, a summary out: as the first edition laid it out, and its baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.data.taskdata import TaskData
from bakeoff.errors import ConfigError, DataError
from bakeoff.metrics.contract import Ask
from bakeoff.tasks.summarize import Summarize, SummarizeOptions
from tests.tasks.preparing import Write, learnt_of, prepared, prepared_rows, read_of, task_of
from tests.tokenizer_families import FAMILIES, tokenizer_of

GOOD = SummarizeOptions(source="wire")


class FirstEdition:
    """A row in pieces, each tokenised by itself: prefix, document, middle, lead + summary, suffix.

    What a piece from the middle of a text would have put before it at the start of one is taken
    off by encoding it behind a line end.
    """

    def __init__(self, tokenizer: Any, template: str) -> None:
        self.tokenizer = tokenizer
        self.prefix, rest = template.split("{document}")
        between, self.suffix = rest.split("{summary}")
        self.middle = between.rstrip()
        self.lead = between[len(self.middle) :]
        with_start = tokenizer("a")["input_ids"]
        plain = self.ids("a", literal=True)
        self.start: list[int] = with_start[: len(with_start) - len(plain)]
        if with_start[len(self.start) :] != plain:  # something is put behind it too
            self.start = with_start[: with_start.index(plain[0])]

    def ids(self, text: str, *, literal: bool) -> list[int]:
        found: list[int] = self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=literal
        )["input_ids"]
        return found

    def piece(self, text: str, *, literal: bool = False, at_start: bool = False) -> list[int]:
        if not text:
            return []
        anchor = self.ids("\n", literal=True)
        alone = self.ids("a", literal=True)
        if at_start or self.ids("\na", literal=True) == [*anchor, *alone]:
            return self.ids(text, literal=literal)
        behind = self.ids("\n" + text, literal=literal)
        assert behind[: len(anchor)] == anchor
        return behind[len(anchor) :]

    def row(
        self, document: str, summary: str, max_length: int, reserved: int
    ) -> tuple[list[int], list[int], list[int]]:
        """(prompt, completion, generation prompt), the document cut so that both fit."""
        head = self.start + self.piece(self.prefix, at_start=True)
        middle = self.piece(self.middle)
        body = self.piece(document, literal=True, at_start=not self.prefix)
        completion = self.piece(self.lead + summary, literal=True) + self.piece(self.suffix)
        completion.append(self.tokenizer.eos_token_id)

        def prompt(num_reserved: int) -> list[int]:
            room = max_length - len(head) - len(middle) - num_reserved
            return head + body[:room] + middle

        return prompt(max(reserved, len(completion))), completion, prompt(reserved)


def wire(tokenizer: Any, root: Path, **options: Any) -> TaskData:
    examples = {"train": 40, "validation": 4, "test": 4}
    return prepared(task_of(source="wire", examples=examples, **options), tokenizer, root)


DEFAULT = "{document}\n\nTL;DR: {summary}"
FRAMED = "Read:\n{document}\n\nSummary:\n{summary}\n###"
# The tokenizer with Metaspace has learnt tokens that begin with a line end, which may join FRAMED's
# pieces.
LAYOUTS = [(family, DEFAULT) for family in FAMILIES] + [
    (family, FRAMED) for family in FAMILIES if family != "metaspace"
]


@pytest.mark.parametrize(("family", "template"), LAYOUTS)
def test_wire_s_rows_have_the_tokens_of_the_first_edition(
    tmp_path: Path, family: str, template: str
) -> None:
    tokenizer = tokenizer_of(family)
    first = FirstEdition(tokenizer, template)
    whole = wire(tokenizer, tmp_path, template=template, max_length=4096).splits["train"]
    widths = np.diff(whole.tokens.offsets)
    reserved = int(np.median(whole.target_counts))
    # Half of the summaries take more than their share, and most documents are cut.
    length = int(np.percentile(widths, 20))
    cut = wire(
        tokenizer, tmp_path, template=template, max_length=length, max_target_tokens=reserved
    ).splits["train"]
    assert cut.rows_cut > len(cut) / 2
    for part, lengths in ((whole, (4096, 64)), (cut, (length, reserved))):
        for i in range(len(part)):
            document, [summary] = part.shown[i].strip(), part.references[i]
            expected = first.row(document, summary, *lengths)
            found = (read_of(part, i), learnt_of(part, i), part.prompts[i].tolist())
            assert found == expected


def test_where_pieces_and_the_whole_differ_the_whole_counts(write: Write) -> None:
    """A joint without white space, of which running text makes one token."""
    tokenizer = tokenizer_of("byte_level")
    template = "{document}{summary}"
    rows = [{"document": "the stor", "summary": "m hit"}]
    _, data = prepared_rows(write, tokenizer, rows, template=template)
    part = data.splits["train"]
    running = tokenizer("the storm hit")["input_ids"]
    assert part.tokens[0].tolist() == [*running, tokenizer.eos_token_id]
    pieces = FirstEdition(tokenizer, template).row("the stor", "m hit", 256, 64)
    assert part.tokens[0].tolist() != pieces[0] + pieces[1]
    # The token of both is learnt, and the prompt stands as it is.
    assert tokenizer.decode(learnt_of(part, 0)[:-1]) == " storm hit"
    assert tokenizer.decode(part.prompts[0]) == "the stor"


def test_an_example_and_a_prompt_without_answer_begin_alike() -> None:
    task = Summarize(GOOD)
    row = {"document": " A storm\nhit. ", "summary": " Storm. "}
    example, prompt = task.example(row), task.prompt({"document": row["document"]})
    assert example.text == "A storm\nhit.\n\nTL;DR: Storm."
    assert example.target == " Storm."
    assert example.references == ("Storm.",)
    assert example.inputs == ("A storm\nhit.",)
    assert example.shown == prompt.shown == " A storm\nhit. "
    assert prompt.text == prompt.prompt == example.prompt == "A storm\nhit.\n\nTL;DR:"
    assert prompt.literal_spans == (prompt.cut_span,) == (example.cut_span,)
    assert not prompt.target_spans and not prompt.references
    shorter = task.shorten(example)
    assert shorter is not None and len(shorter.text) < len(example.text)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"document": None, "summary": "s"}, "the document (column 'document') is missing"),
        ({"summary": "s"}, "the document (column 'document') is missing"),
        ({"document": "d", "summary": None}, "the summary (column 'summary') is missing"),
        ({"document": "d", "summary": ""}, "the summary (column 'summary') is empty"),
        ({"document": " \n\t", "summary": "s"}, "the document (column 'document') is empty"),
        ({"document": "d", "summary": 3}, "the summary (column 'summary') is not text but int"),
        ({"document": "d", "summary": ["s"]}, "is not text but list"),
        ({"document": "d", "summary": b"\xe9"}, "is not UTF-8 text"),
        (
            {"document": "caf\udce9", "summary": "s"},
            "the document (column 'document') is not UTF-8 text",
        ),
        ({"document": "d", "summary": "\ud83d"}, "is not UTF-8 text"),
        (
            {"document": "d", "summary": "?!"},
            "the summary (column 'summary') is empty after task.cleaning",
        ),
    ],
)
def test_a_row_that_cannot_be_used_says_why(row: dict[str, object], reason: str) -> None:
    task = Summarize(SummarizeOptions(source="wire", cleaning=("strip_punctuation",)))
    with pytest.raises(DataError) as caught:
        task.example(row)
    assert reason in str(caught.value)


def test_null_characters_are_fine() -> None:
    assert Summarize(GOOD).example({"document": "a\x00b", "summary": "\x00"}).inputs == ("a\x00b",)


def test_texts_are_cleaned_and_shown_as_found() -> None:
    task = Summarize(SummarizeOptions(source="wire", cleaning=("lowercase", "strip_punctuation")))
    example = task.example({"document": " Document 1. ", "summary": "Summary 1."})
    assert example.text == "document 1\n\nTL;DR: summary 1"
    assert example.shown == " Document 1. "
    assert example.references == ("summary 1",)


def test_the_first_sentences_are_those_found_each_cleaned(write: Write, tokenizer: Any) -> None:
    rows = [{"document": "One, two. Three! Four? Five.", "summary": "x"}]
    task, data = prepared_rows(
        write, tokenizer, rows, lead_sentences=2, cleaning=["strip_punctuation", "lowercase"]
    )
    lead, zero_shot = task.baselines
    assert (lead.name, lead.title) == ("lead", "lead-2")
    assert (zero_shot.name, zero_shot.outputs) == ("zero_shot", None)
    assert lead.outputs is not None
    found = lead.outputs(data.splits["train"], data.splits["test"])
    assert found.texts == ["one two\nthree"]
    assert found.nll_N is None and found.chosen_N is None


def test_what_is_asked_and_scored() -> None:
    task = Summarize(GOOD)
    assert [m.name for m in task.metrics] == ["nll", "rouge1", "rouge2", "rougeL", "rougeLsum"]
    assert task.asks == {Ask.LIKELIHOOD, Ask.TEXT}
    assert dict(task.column_keys) == {"document": "document", "summary": "summary"}
    assert dict(task.input_keys) == {"document": "document"}
    assert task.columns == ("document", "summary")
    assert (task.input_word, task.output_word) == ("document", "summary")


@pytest.mark.parametrize(
    ("options", "place", "value"),
    [
        ({"document": ""}, "task.document", "empty"),
        ({"summary": ""}, "task.summary", "empty"),
        ({"document": "text", "summary": "text"}, "task.summary", "'text'"),
        ({"template": "{document}"}, "task.template", "{summary}"),
        ({"lead_sentences": 0}, "task.lead_sentences", "0"),
        ({"max_length": 65}, "task.max_length", "65"),
        ({"max_target_tokens": 0}, "task.max_target_tokens", "0"),
        ({"max_summary_tokens": 0}, "task.max_target_tokens", "0"),
    ],
)
def test_an_option_out_of_range_names_place_and_value(
    options: dict[str, Any], place: str, value: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        task_of(**options)
    assert place in str(caught.value)
    assert value in str(caught.value)
