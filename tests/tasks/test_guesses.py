"""What each kind makes of data that no one has described: columns by contents, then by names."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from bakeoff.data.columns import Table
from bakeoff.errors import ConfigError, DataError
from bakeoff.tasks import registry
from bakeoff.tasks.guess.guesses import Guess
from bakeoff.tasks.guess.guessing import Guesses, guess_task
from bakeoff.tasks.summarize import Summarize

WORDS = [
    "the",
    "parcel",
    "came",
    "late",
    "and",
    "its",
    "box",
    "was",
    "wet",
    "so",
    "we",
    "sent",
    "it",
    "back",
    "to",
    "the",
    "shop",
    "on",
    "Monday",
    "where",
    "a",
    "clerk",
    "der",
    "Kunde",
    "zahlt",
    "die",
    "Rechnung",
    "nicht",
    "und",
    "ruft",
    "gestern",
    "wieder",
    "an",
]
Row = dict[str, Any]


class Writer:
    """Sentences of random words."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)

    def text(self, words: int) -> str:
        """A sentence."""
        return " ".join(self.random.choice(WORDS) for _ in range(words)) + "."

    def asked(self, words: int) -> str:
        """A question."""
        return self.text(words)[:-1] + "?"

    def article(self) -> tuple[str, str]:
        """A document and a sentence of it."""
        found = [self.text(12) for _ in range(12)]
        return " ".join(found), found[0]


def guessed(row: Callable[[Writer, int], Row], kind: str | None = None, rows: int = 120) -> Guesses:
    writer = Writer()
    return guess_task(Table.of([row(writer, i) for i in range(rows)]), kind)


Case = tuple[Callable[[Writer, int], Row], str, dict[str, Any]]
CASES: dict[str, Case] = {
    "numbers as labels, in German": (
        lambda w, i: {"id": i, "nachricht": w.text(15), "klasse": w.random.randint(0, 3)},
        "classify",
        {"text": "nachricht", "label": "klasse"},
    ),
    "numbers of a CSV file": (
        lambda w, i: {
            "review": w.text(15),
            "stars": str(w.random.randint(1, 5)),
            "date": f"2024-01-{i % 28 + 1:02d}",
        },
        "classify",
        {"text": "review", "label": "stars"},
    ),
    "numbers of a CSV file with a space after each comma": (
        lambda w, i: {"review": w.text(15), " stars": f" {i % 5} "},
        "classify",
        {"text": "review", "label": " stars"},
    ),
    "booleans": (
        lambda w, i: {"comment_text": w.text(15), "is_toxic": i % 9 == 0},
        "classify",
        {"text": "comment_text", "label": "is_toxic"},
    ),
    "names that say nothing": (
        lambda w, i: {"a": w.text(15), "b": w.random.choice(["in", "out"])},
        "classify",
        {"text": "a", "label": "b"},
    ),
    "a question's kind": (
        lambda w, i: {"question": w.asked(8), "kind": w.random.choice(["place", "person"])},
        "classify",
        {"text": "question", "label": "kind"},
    ),
    "two texts and a label": (
        lambda w, i: {"premise": w.text(15), "hypothesis": w.text(6), "label": i % 3},
        "classify",
        {
            "text": "premise",
            "label": "label",
            "template": "{text}\n\n{hypothesis}\n\nLabel: {label}",
        },
    ),
    "labels of which one begins another": (
        lambda w, i: {"text": w.text(15), "category": ["Sci", "Sci/Tech"][i % 2]},
        "classify",
        {"text": "text", "label": "category", "template": "{text}\n\nLabel: {label}\n"},
    ),
    "Chinese labels": (
        lambda w, i: {"评论": f"这个产品很好用我很喜欢{i}", "标签": ["正面", "负面"][i % 2]},
        "classify",
        {"text": "评论", "label": "标签"},
    ),
    "a summary by its name, with a section beside it": (
        lambda w, i: {
            **dict(zip(("Artikel", "Kurzfassung"), w.article(), strict=True)),
            "rubrik": ["a", "b"][i % 2],
        },
        "summarize",
        {"document": "Artikel", "summary": "Kurzfassung"},
    ),
    "a summary by what it says": (
        lambda w, i: dict(zip(("lang", "kurz"), w.article(), strict=True)),
        "summarize",
        {"document": "lang", "summary": "kurz"},
    ),
    "an e-mail's subject": (
        lambda w, i: {"id": f"m_{i}", "email_body": w.text(80), "subject_line": w.text(5)},
        "summarize",
        {"document": "email_body", "summary": "subject_line"},
    ),
    "context, question and answer": (
        lambda w, i: {"context": w.text(60), "question": w.asked(6), "answer": w.text(2)},
        "complete",
        {
            "template": "Context: {context}\n\nQuestion: {question}\n\nAnswer: {answer}",
            "target": "answer",
            "metrics": ["exact_match", "f1"],
        },
    ),
    "a question of an article": (
        lambda w, i: {"article": w.text(60), "question": w.asked(6), "answer": w.text(2)},
        "complete",
        {
            "template": "Article: {article}\n\nQuestion: {question}\n\nAnswer: {answer}",
            "target": "answer",
            "metrics": ["exact_match", "f1"],
        },
    ),
    "worked answers": (
        lambda w, i: {"question": w.asked(20), "answer": f"{w.text(20)}\n#### {i:,}"},
        "complete",
        {"prompt": "question", "completion": "answer", "metrics": ["number", "number_strict"]},
    ),
    "plain numbers as answers": (
        lambda w, i: {"problem": w.text(20), "answer": str(7 * i)},
        "complete",
        {"prompt": "problem", "completion": "answer", "metrics": ["number", "exact_match"]},
    ),
    "JSON as answers": (
        lambda w, i: {"input": w.text(10), "output": f'{{"number": {i}}}'},
        "complete",
        {"prompt": "input", "completion": "output", "metrics": ["json_valid", "exact_match"]},
    ),
    "a question without its name": (
        lambda w, i: {"x1": w.text(20), "x2": w.asked(6)},
        "complete",
        {"prompt": "x2", "completion": "x1"},
    ),
    "a translation": (
        lambda w, i: {"en": w.text(10), "de": w.text(11)},
        "complete",
        {"prompt": "en", "completion": "de", "metrics": ["chrf", "bleu"]},
    ),
    "messages": (
        lambda w, i: {
            "messages": [
                {"role": "user", "content": w.text(5)},
                {"role": "assistant", "content": w.text(9)},
            ]
        },
        "chat",
        {"messages": "messages"},
    ),
    "messages as JSON, in a column of any name": (
        lambda w, i: {
            "verlauf": '[{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]'
        },
        "chat",
        {"messages": "verlauf"},
    ),
    "instructions": (
        lambda w, i: {
            "instruction": w.text(9),
            "context": w.text(20) if i % 2 else "",
            "response": w.text(30),
            "category": ["qa", "open"][i % 2],
        },
        "chat",
        {"instruction": "instruction", "input": "context", "output": "response"},
    ),
    "a list of choices and an index": (
        lambda w, i: {
            "question": w.asked(9),
            "choices": [w.text(n) for n in (2, 3, 4, 5)],
            "answer": i % 4,
        },
        "choose",
        {"question": "question", "choices": "choices", "answer": "answer", "answer_is": "index"},
    ),
    "choices with labels": (
        lambda w, i: {
            "question": w.asked(9),
            "choices": {"text": [w.text(n) for n in (2, 3, 4)], "label": ["A", "B", "C"]},
            "answerKey": "ABC"[i % 3],
        },
        "choose",
        {"question": "question", "choices": "choices", "answer": "answerKey", "answer_is": "label"},
    ),
    "a list of choices with their labels": (
        lambda w, i: {
            "question": w.asked(9),
            "choices": [{"label": c, "text": w.text(n)} for n, c in enumerate("ABC", start=2)],
            "answerKey": "ABC"[i % 3],
        },
        "choose",
        {"question": "question", "choices": "choices", "answer": "answerKey", "answer_is": "label"},
    ),
    "a list of choices as pandas writes it to a CSV file": (
        lambda w, i: {
            "question": w.asked(9),
            "choices": str([w.text(n) for n in (2, 3, 4)]),
            "answer": str(i % 3),
        },
        "choose",
        {"question": "question", "choices": "choices", "answer": "answer", "answer_is": "index"},
    ),
    "a column for each choice, counted from 1": (
        lambda w, i: {
            "question": w.asked(9),
            **{f"op{letter}": w.text(n) for n, letter in enumerate("abcd", start=2)},
            "cop": str(i % 4 + 1),
        },
        "choose",
        {
            "question": "question",
            "choices": ["opa", "opb", "opc", "opd"],
            "answer": "cop",
            "answer_is": "number",
        },
    ),
    "letters": (
        lambda w, i: {
            "question": w.asked(9),
            **{letter: w.text(n) for n, letter in enumerate("ABCD", start=2)},
            "answer": "ABCD"[i % 4],
        },
        "choose",
        {
            "question": "question",
            "choices": ["A", "B", "C", "D"],
            "answer": "answer",
            "answer_is": "letter",
        },
    ),
    "the text of the right choice": (
        lambda w, i: (
            lambda found: {"Frage": w.asked(9), "Antworten": found, "richtig": found[i % 3]}
        )([w.text(n) for n in (2, 3, 4)]),
        "choose",
        {
            "question": "Frage",
            "choices": "Antworten",
            "answer": "richtig",
            "answer_is": "text",
        },
    ),
    "a passage beside the question": (
        lambda w, i: {
            "article": w.text(60),
            "question": w.asked(9),
            "options": [w.text(n) for n in (2, 3, 4)],
            "answer": "ABC"[i % 3],
            "explanation": w.text(20),
        },
        "choose",
        {
            "question": "question",
            "choices": "options",
            "answer": "answer",
            "answer_is": "letter",
            "template": "{article}\n\nQuestion: {question}\nAnswer: {answer}",
        },
    ),
    "a premise beside a question of one word": (
        lambda w, i: {
            "premise": w.text(12),
            "question": ["cause", "effect"][i % 2],
            "choice1": w.text(5),
            "choice2": w.text(6),
            "label": i % 2,
        },
        "choose",
        {
            "question": "question",
            "choices": ["choice1", "choice2"],
            "answer": "label",
            "answer_is": "index",
            "template": "{premise}\n\nQuestion: {question}\nAnswer: {answer}",
        },
    ),
    "a number for two texts": (
        lambda w, i: {
            "sentence1": w.text(9),
            "sentence2": w.text(9),
            "score": round(w.random.random() * 5, 2),
        },
        "complete",
        {
            "template": "Sentence1: {sentence1}\n\nSentence2: {sentence2}\n\nScore: {score}",
            "target": "score",
            "metrics": ["number", "strict_match"],
        },
    ),
    "a number for a text": (
        lambda w, i: {"essay": w.text(40), "grade": i / 7},
        "complete",
        {"prompt": "essay", "completion": "grade", "metrics": ["number", "strict_match"]},
    ),
    "an answer and one that was rejected": (
        lambda w, i: {"prompt": w.text(9), "rejected": w.text(9), "chosen": w.text(9)},
        "complete",
        {"prompt": "prompt", "completion": "chosen"},
    ),
    "talks as texts, one of each two rejected": (
        lambda w, i: {"chosen": f"Human: {w.text(9)}", "rejected": f"Human: {w.text(9)}"},
        "text",
        {"text": "chosen"},
    ),
    "talks, one of each two rejected": (
        lambda w, i: {
            name: [
                {"role": "user", "content": w.text(5)},
                {"role": "assistant", "content": w.text(9)},
            ]
            for name in ("rejected", "chosen")
        },
        "chat",
        {"messages": "chosen"},
    ),
    "messages before an answer beside whole talks": (
        lambda w, i: {
            "prompt": [{"role": "user", "content": w.text(5)}],
            "talk": [
                {"role": "user", "content": w.text(5)},
                {"role": "assistant", "content": w.text(9)},
            ],
        },
        "chat",
        {"messages": "talk"},
    ),
    "what the system is to do in each row": (
        lambda w, i: {
            "question": w.asked(9),
            "system": ["You are brief.", "You are kind.", ""][i % 3],
            "response": w.text(9),
        },
        "complete",
        {
            "template": "System: {system}\n\nQuestion: {question}\n\nResponse: {response}",
            "target": "response",
        },
    ),
    "tools as JSON beside a query": (
        lambda w, i: {
            "query": w.asked(9),
            "tools": f'[{{"name": "tool {w.text(3)}"}}]',
            "answers": f'[{{"name": "{i}"}}]',
        },
        "complete",
        {
            "template": "Tools: {tools}\n\nQuery: {query}\n\nAnswers: {answers}",
            "target": "answers",
            "metrics": ["json_valid", "exact_match"],
        },
    ),
    "several right answers": (
        lambda w, i: {"source": w.text(9), "references": [w.text(9), w.text(9)]},
        "complete",
        {"prompt": "source", "completion": "references"},
    ),
    "instructions with what the system is to do": (
        lambda w, i: {
            "system": w.text(5),
            "instruction": w.text(9),
            "input": w.text(20),
            "output": w.text(30),
        },
        "chat",
        {"instruction": "instruction", "input": "input", "output": "output"},
    ),
    "splits in a column": (
        lambda w, i: {"sentence": w.text(9), "set": ["train", "dev", "test"][i % 3], "side": i % 2},
        "classify",
        {"text": "sentence", "label": "side"},
    ),
    "texts with what says where they are from": (
        lambda w, i: {"url": f"https://a.example/{i}", "text": w.text(80), "date": f"2020-01-{i}"},
        "text",
        {"text": "text"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_kind_and_columns(name: str) -> None:
    row, kind, options = CASES[name]
    best = guessed(row).best
    assert (best.kind, dict(best.options)) == (kind, options)
    assert best.reasons["kind"]


@pytest.mark.parametrize("name", CASES)
def test_what_is_guessed_are_options_of_the_kind(name: str) -> None:
    row, kind, options = CASES[name]
    task = registry.read_task({**options, "kind": kind, "source": "x"})
    writer = Writer()
    example = task.example(row(writer, 1))
    assert example.target


def test_a_second_candidate_is_named() -> None:
    found = guessed(
        lambda w, i: {
            "text": w.text(9),
            "colour": ["red", "blue"][i % 2],
            "size": ["s", "m"][i % 2],
        }
    )
    assert found.best.kind == "classify"
    assert "The label could also be 'size'" in found.best.notes[0]


@pytest.mark.parametrize(
    ("answers", "rule", "is_sure"),
    [((1, 2), "index", False), ((0, 1, 2), "index", True), ((1, 2, 3, 4), "number", True)],
)
def test_where_numbers_begin_is_not_decided_in_silence(
    answers: tuple[int, ...], rule: str, is_sure: bool
) -> None:
    found = guessed(
        lambda w, i: {
            "question": w.asked(9),
            "choices": [w.text(n) for n in (2, 3, 4, 5)],
            "answer": answers[i % len(answers)],
        }
    )
    assert found.best.options["answer_is"] == rule
    assert any("may count from 0 or from 1" in note for note in found.best.notes) is not is_sure


@pytest.mark.parametrize(
    ("labels", "shown", "note"),
    [
        ([*map(str, range(1, 11))], "1, 2, 3, 4, 5, 6, ...", None),
        ([0, 1, 2, -1], "-1, 0, 1, 2", "'label' is -1 in some rows, which often says that a row"),
        (["Yes", "no", "yes", "No"], "No, Yes, no, yes", "'No' and 'no' are labels of their own"),
    ],
)
def test_labels_are_shown_in_their_order_and_doubtful_ones_said(
    labels: list[object], shown: str, note: str | None
) -> None:
    best = guessed(lambda w, i: {"text": w.text(9), "label": labels[i % len(labels)]}).best
    assert best.reasons["label"] == shown
    assert len(best.notes) == (note is not None)
    assert note is None or best.notes[0].startswith(note)


def test_one_word_is_one_word() -> None:
    best = guessed(lambda w, i: {"word": w.text(4).replace(" ", "-"), "label": i % 3}).best
    assert best.reasons["text"] == "texts of 1 word"


def test_what_may_give_a_choice_away_is_not_read_and_said() -> None:
    best = guessed(CASES["a passage beside the question"][0]).best
    assert "'explanation' is not read" in best.notes
    assert best.reasons["template"] == "'article' and 'question' are all read"


@pytest.mark.parametrize("name", ["explanation", "Rationale_1", "reason", "Begründung", "cot"])
@pytest.mark.parametrize("learnt", ["label", "answer", "score"])
def test_what_explains_an_answer_is_not_read_and_said(learnt: str, name: str) -> None:
    values: dict[str, Callable[[Writer, int], object]] = {
        "label": lambda w, i: ["good", "bad"][i % 2],
        "answer": lambda w, i: w.text(3),
        "score": lambda w, i: i / 7,
    }
    best = guessed(
        lambda w, i: {"said": w.text(9), name: w.text(20), learnt: values[learnt](w, i)}
    ).best
    assert best.options["text" if learnt == "label" else "prompt"] == "said"
    assert "template" not in best.options
    away = "label" if learnt == "label" else "answer"
    assert f"{name!r} is not read, as it may give the {away} away" in best.notes


def test_of_several_that_explain_all_are_named() -> None:
    best = guessed(
        lambda w, i: {
            "premise": w.text(20),
            "hypothesis": w.text(9),
            "label": i % 3,
            "explanation_1": w.text(20),
            "explanation_2": w.text(30),
        }
    ).best
    assert best.options["template"] == "{text}\n\n{hypothesis}\n\nLabel: {label}"
    assert best.notes == (
        "'explanation_1' and 'explanation_2' are not read, as they may give the label away",
    )


@pytest.mark.parametrize("name", ["explanation", "comment", "evidence", "reason_of_return"])
def test_what_is_alone_or_is_often_what_is_asked_of_is_read(name: str) -> None:
    best = guessed(lambda w, i: {name: w.text(9), "label": i % 3}).best
    assert (best.options["text"], best.notes) == (name, ())
    beside = guessed(lambda w, i: {"text": w.text(20), name: w.text(9), "label": i % 3}).best
    assert ("template" in beside.options) is (name != "explanation")


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("talks as texts, one of each two rejected", "'rejected' is not read, as no kind learns"),
        ("talks, one of each two rejected", "'rejected' is not read, as no kind learns"),
        ("messages before an answer beside whole talks", "'prompt' holds messages too"),
        (
            "instructions with what the system is to do",
            "'system' is not read; to have all of a row read, write it as messages",
        ),
        ("splits in a column", "'set' is not read, as the values name splits; to split rows"),
        ("booleans", None),
        ("choices with labels", None),
        ("an e-mail's subject", None),
    ],
)
def test_columns_that_are_not_read_are_named_once(name: str, note: str | None) -> None:
    notes = guessed(CASES[name][0]).best.notes
    assert len(notes) == (note is not None), notes
    assert note is None or notes[0].startswith(note)


def test_all_that_differs_from_row_to_row_and_is_not_read_is_named() -> None:
    best = guessed(
        lambda w, i: {
            "id": f"q{i}",
            "date": f"2024-01-{i % 28 + 1:02d}",
            "kind": "open",
            "question": w.asked(9),
            "contexts": [w.text(9), w.text(9)],
            "answer": w.text(9),
            "level": ["low", "high"][i % 2],
            "score": i / 7,
            "none": None,
        }
    ).best
    assert dict(best.options) == {"prompt": "question", "completion": "answer"}
    assert best.notes == (
        "'level' and 'score' are not read",
        "'contexts' is not read; to have lists read, join each into one text",
    )
    many = guessed(lambda w, i: {"text": w.text(9), **{f"n{k}": i / (7 + k) for k in range(9)}})
    assert many.best.notes == (
        "'n0', 'n1', 'n2', 'n3', 'n4', 'n5' and 3 more columns are not read",
    )


def test_a_column_for_the_system_with_gaps_is_not_read_but_named() -> None:
    """Rows without a value would be left out."""
    best = guessed(
        lambda w, i: {
            "question": w.asked(9),
            "system": ["You are brief.", "You are kind.", None][i % 3],
            "mode": "short" if i % 2 else "long",
            "response": w.text(9),
        }
    ).best
    assert dict(best.options) == {"prompt": "question", "completion": "response"}
    assert best.notes == ("'system' and 'mode' are not read",)


@pytest.mark.parametrize(
    ("missing", "is_read"), [(0.0, True), (0.2, True), (0.3, False), (0.6, False)]
)
@pytest.mark.parametrize("kind", ["classify", "choose", "complete"])
def test_what_many_rows_lack_is_not_read_beside_what_is_asked(
    kind: str, missing: float, is_read: bool
) -> None:
    """A row without one of the template's columns is a bad row, and would be left out."""
    rest: dict[str, Callable[[Writer, int], Row]] = {
        "classify": lambda w, i: {"review": w.text(20), "label": i % 2},
        "choose": lambda w, i: {
            "question": w.asked(9),
            "choices": [w.text(n) for n in (2, 3, 4)],
            "answer": "ABC"[i % 3],
        },
        "complete": lambda w, i: {"question": w.asked(9), "answer": w.text(9)},
    }
    best = guessed(
        lambda w, i: {
            "context": None if i % 10 < 10 * missing else w.text(12),
            **rest[kind](w, i),
        }
    ).best
    assert best.kind == kind
    assert ("{context}" in best.options.get("template", "")) is is_read
    said = (
        f"'context' is not read, as rows without it would be left out ({round(100 * missing)} % "
        "of all); to have it read, write an empty text where there is nothing, as an empty cell of "
        "CSV is"
    )
    assert best.notes == (() if is_read else (said,))


def test_what_is_asked_is_read_whatever_rows_lack_it() -> None:
    best = guessed(
        lambda w, i: {
            "context": w.text(30),
            "question": w.asked(9) if i % 2 else None,
            "answer": w.text(9),
        }
    ).best
    assert "{context}" in best.options["template"] and "{question}" in best.options["template"]
    alone = guessed(lambda w, i: {"a": w.text(9) if i % 2 else None, "answer": w.text(9)}).best
    assert alone.options["prompt"] == "a"


def test_an_empty_text_is_no_gap() -> None:
    best = guessed(
        lambda w, i: {
            "context": w.text(30) if i % 2 else "",
            "question": w.asked(9),
            "answer": w.text(9),
        }
    ).best
    assert "{context}" in best.options["template"]


def test_answers_beside_lists_of_them_are_not_passed_over_in_silence() -> None:
    best = guessed(
        lambda w, i: {"source": w.text(9), "target": w.text(9), "references": [w.text(9)]}
    ).best
    assert best.options["completion"] == "target"
    assert best.notes[0].startswith("'references' holds lists of answers, which are not read; as")


@pytest.mark.parametrize(
    ("asked", "answers"),
    [
        (["user"], ["assistant"]),
        (["system", "user", "assistant", "tool"], ["assistant"]),
        (["user"], ["assistant", "tool", "assistant"]),
    ],
)
def test_a_talk_in_two_columns_is_read_from_both(asked: list[str], answers: list[str]) -> None:
    def row(w: Writer, i: int) -> Row:
        return {
            "prompt": [{"role": role, "content": w.text(5)} for role in asked],
            "completion": [{"role": role, "content": w.text(9)} for role in answers],
        }

    best = guessed(row).best
    assert dict(best.options) == {"messages": ["prompt", "completion"]}
    assert best.reasons["kind"].startswith("'prompt' and 'completion' hold messages (role")


def test_messages_that_a_text_answers_are_read_with_it() -> None:
    best = guessed(
        lambda w, i: {
            "prompt": [
                {"role": role, "content": w.text(5)} for role in ("user", "assistant", "user")
            ],
            "answer": w.text(3),
            "source": w.text(1),
        }
    ).best
    assert dict(best.options) == {"messages": ["prompt", "answer"]}
    assert best.reasons["kind"].startswith("'prompt' holds messages (role")


def test_messages_as_pandas_writes_them_to_csv_are_messages() -> None:
    def row(w: Writer, i: int) -> Row:
        said = [{"role": "user", "content": w.text(5)}, {"role": "assistant", "content": "it's"}]
        return {"talk": str(said)}

    assert dict(guessed(row).best.options) == {"messages": "talk"}


def test_of_preferred_answers_as_messages_the_chosen_one_is_read() -> None:
    best = guessed(
        lambda w, i: {
            "prompt": [{"role": "user", "content": w.text(5)}],
            "chosen": [{"role": "assistant", "content": w.text(9)}],
            "rejected": [{"role": "assistant", "content": w.text(9)}],
        }
    ).best
    assert best.options["messages"] == ["prompt", "chosen"]
    assert "'rejected' is not read" in best.notes[0]


def test_numbers_that_measure_are_said_to_be_written() -> None:
    best = guessed(CASES["a number for two texts"][0]).best
    assert "are right where they are equal" in best.notes[0]
    # Texts that are written by their names go before a number beside them.
    found = guessed(lambda w, i: {"prompt": w.text(9), "response": w.text(9), "score": i / 7})
    assert dict(found.best.options)["completion"] == "response"


@pytest.mark.parametrize(
    ("row", "note"),
    [
        (
            lambda w, i: {"tokens": w.text(3 + i % 5).split(), "tags": [i % 3] * (3 + i % 5)},
            "'tags' holds a value for each piece of another list",
        ),
        (
            lambda w, i: {"title": f"T{i}", "paragraphs": [{"context": w.text(9), "qas": []}]},
            "'paragraphs' holds lists of objects; write a row for each",
        ),
    ],
)
def test_lists_that_no_kind_reads_are_explained(
    row: Callable[[Writer, int], Row], note: str
) -> None:
    with pytest.raises(DataError, match=note):
        guessed(row)


def test_lists_of_one_length_are_not_taken_for_tags() -> None:
    best = guessed(
        lambda w, i: {"text": w.text(20), "topics": ["a", "b"], "scores": [i % 2, 1]}
    ).best
    assert not any("each piece of another list" in note for note in best.notes)


def test_a_rare_first_choice_still_counts_from_0() -> None:
    found = guessed(
        lambda w, i: {
            "question": w.asked(9),
            "choices": [w.text(n) for n in (2, 3, 4, 5)],
            "answer": 0 if i % 40 == 0 else 2,
        }
    )
    assert found.best.options["answer_is"] == "index"


def test_another_kind_that_fits_is_named() -> None:
    found = guessed(
        lambda w, i: {"title": w.text(5), "body": w.text(60), "rating": w.random.randint(1, 5)}
    )
    assert found.best.kind == "classify"
    assert "summarize" in [other.kind for other in found.others]


def test_a_summary_by_its_name_outweighs_instructions() -> None:
    found = guessed(
        lambda w, i: {"instruction": w.text(9), "response": w.text(60), "summary": w.text(5)}
    )
    assert found.best.kind == "summarize"
    assert "chat" in [other.kind for other in found.others]


def test_the_form_of_messages_is_named() -> None:
    for name, form in (
        ("messages", "role and content, OpenAI's"),
        ("messages as JSON, in a column of any name", "from and value, ShareGPT's"),
    ):
        best = guessed(CASES[name][0]).best
        assert best.reasons["messages"] == form
        assert best.reasons["kind"].endswith(f"holds messages ({form})")


def test_which_of_two_texts_is_to_be_written_is_not_decided_in_silence() -> None:
    found = guessed(lambda w, i: {"left": w.text(9), "right": w.text(9)})
    assert dict(found.best.options) == {"prompt": "left", "completion": "right"}
    assert "No name says which of 'left' and 'right' is to be written" in found.best.notes[0]


def test_the_kind_that_is_asked_for_is_taken() -> None:
    row = CASES["numbers of a CSV file"][0]
    assert dict(guessed(row, "text").best.options) == {"text": "review"}
    assert dict(guessed(row, "complete").best.options)["completion"] == "stars"


def test_a_kind_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="--kind chat: the kind cannot be learnt") as caught:
        guessed(CASES["booleans"][0], "chat")
    assert "'is_toxic': booleans, 2 different in 120 rows" in str(caught.value)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ConfigError, match="--kind: there is no kind of task 'classfy'; did you"):
        guessed(CASES["booleans"][0], "classfy")


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (lambda w, i: {"text": w.text(9), "label": "spam"}, "holds 'spam' in all 120 rows"),
        (
            lambda w, i: {"text": w.text(9), "label": f"code {i}"},
            "120 different values in 120 rows: labels must come back",
        ),
        (lambda w, i: {"height": i / 7, "width": i / 3}, "none of the kinds"),
        (lambda w, i: {"height": i % 3}, "'height': numbers, 3 different in 120 rows"),
    ],
)
def test_what_cannot_be_learnt_is_refused(row: Callable[[Writer, int], Row], rule: str) -> None:
    with pytest.raises(DataError, match=rule):
        guessed(row)


def test_missing_values_and_a_few_odd_ones_change_nothing() -> None:
    def row(w: Writer, i: int) -> Row:
        found: Row = {"note": w.text(9), "class": ["yes", "no"][i % 2]}
        return {"note": None} if i % 20 == 0 else {**found, "note": 7} if i % 30 == 1 else found

    assert dict(guessed(row).best.options) == {"text": "note", "label": "class"}


@pytest.mark.parametrize("spelt", [str, float], ids=["csv", "parquet"])
def test_whole_numbers_are_labels_as_tables_with_gaps_write_them(
    spelt: Callable[[float], object],
) -> None:
    gap = "" if spelt is str else float("nan")
    found = guessed(
        lambda w, i: {"text": w.text(9), "label": gap if i % 11 == 0 else spelt(float(i % 3))}
    )
    assert found.best.kind == "classify"
    assert dict(found.best.options) == {"text": "text", "label": "label"}


def test_several_labels_in_a_row_get_a_hint() -> None:
    found = guessed(lambda w, i: {"text": w.text(9), "labels": ["late", "wet"][: i % 3]})
    assert found.best.kind == "text"
    assert any(note.startswith("'labels' holds lists of labels") for note in found.best.notes)


def test_a_kind_of_one_s_own_guesses_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shout(Summarize):
        kind = "shout"

        @classmethod
        def guess(cls, table: Table) -> Guess | None:
            return Guess(kind="shout", options={"document": "text"}, likelihood=1.0)

    monkeypatch.setattr(registry, "_registered", {})
    registry.register_task(Shout)
    assert guessed(CASES["booleans"][0]).best.kind == "shout"


def test_a_table_of_single_turns_and_one_with_objects_get_a_hint() -> None:
    write = Writer()
    turns: list[Row] = [
        {"talk": i // 4, "speaker": ("Customer", "Agent")[i % 2], "message": write.text(12)}
        for i in range(80)
    ]
    found = guess_task(Table.of(turns, ["talk", "speaker", "message"])).best
    [note] = [note for note in found.notes if "a row is one turn" in note]
    assert note.startswith("'speaker' names who speaks")
    nested: list[Row] = [
        {"text": write.text(12), "label": "ab"[i % 2], "meta": {"id": i}} for i in range(80)
    ]
    found = guess_task(Table.of(nested, ["text", "label", "meta"])).best
    [note] = [note for note in found.notes if "objects" in note]
    assert note.startswith("'meta' holds objects, which are not read")
    assert note.endswith("a study may name its fields: 'meta.id'")
    with pytest.raises(DataError, match="'meta' holds objects"):
        guess_task(Table.of([{"meta": row["meta"]} for row in nested], ["meta"]))


def test_fields_of_objects_are_columns_too() -> None:
    write = Writer()
    rows: list[Row] = [
        {
            "id": str(i),
            "title": write.text(2),
            "context": write.text(40),
            "question": write.text(6) + "?",
            "answers": {"text": [write.text(2), write.text(2)], "answer_start": [3 * i + 7, 2]},
        }
        for i in range(80)
    ]
    found = guess_task(Table.of(rows, list(rows[0]))).best
    assert found.kind == "complete" and found.options["target"] == "answers.text"
    assert found.options["template"].endswith("Answers: {answers.text}")
    assert found.options["metrics"] == ["exact_match", "f1"]
    asked: list[Row] = [
        {
            "question": {
                "stem": write.asked(6),
                "choices": [{"text": write.text(3), "label": label} for label in "ABCD"],
            },
            "answerKey": "ABCD"[i % 4],
        }
        for i in range(80)
    ]
    found = guess_task(Table.of(asked, list(asked[0]))).best
    assert (found.kind, dict(found.options)) == (
        "choose",
        {
            "question": "question.stem",
            "choices": "question.choices",
            "answer": "answerKey",
            "answer_is": "label",
        },
    )
    pairs = [{"translation": {"en": write.text(9), "de": write.text(9)}} for _ in range(80)]
    found = guess_task(Table.of(pairs, ["translation"])).best
    assert (found.kind, found.options["prompt"]) == ("complete", "translation.en")
    assert found.options["metrics"] == ["chrf", "bleu"]
