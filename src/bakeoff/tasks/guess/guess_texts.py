"""Whether rows are pairs of texts: documents with summaries, or prompts with what follows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bakeoff.data.columns import Column, Table, folded, parsed_json
from bakeoff.metrics.squad import share_blurred
from bakeoff.tasks.guess.guesses import (
    CERTAIN,
    FORCED,
    LIKELY,
    POSSIBLE,
    Guess,
    quoted,
    shown_words,
    texts_of,
    unread_explanations,
    unread_gaps,
    without_explanations,
    without_gaps,
)
from bakeoff.tasks.role_names import (
    ANSWER,
    DOCUMENT,
    INPUT,
    LANGUAGES,
    NUMBER,
    QUESTION,
    REFERENCES,
    SUMMARY,
    SYSTEM,
    TITLE,
    first_called,
    is_called,
)

_LONGER: Final = 3.0
_DOCUMENT_WORDS: Final = 40
_SAMPLE: Final = 300
_COPIED: Final = 0.5
_MOST_INPUTS: Final = 4
_GAPS: Final = 0.05
_FINAL_NUMBER: Final = re.compile(r"####\s*[-+$]?[\d.,]+\s*$")
_SHORT_WORDS: Final = 5
_BLURRED: Final = 0.05
"""Answers of which exact_match would drop what tells them apart; a few decimals are in any set."""


def guess_summaries(table: Table) -> Guess | None:
    """See ``Task.guess``; a long text column, and a shorter one that says the same."""
    prose = table.prose
    if len(prose) < 2:
        return None
    for names, likelihood in ((SUMMARY, CERTAIN), (TITLE, LIKELY)):
        if (summary := first_called(prose, names)) is not None:
            longer = tuple(c for c in prose if c is not summary and c.chars > summary.chars)
            document = first_called(longer, DOCUMENT) or max(
                longer, key=lambda c: c.chars, default=None
            )
            # A title says of which a text is, and a question of a few words has none.
            if document is None or (names is TITLE and document.chars < _LONGER * summary.chars):
                continue
            return _summarize(document, summary, likelihood, f"{summary.name!r} by its name")
    document = max(prose, key=lambda c: c.chars)
    summary = next(c for c in reversed(prose) if c is not document)
    if len(prose) == 2 and _is_summary(table, document, summary):
        why = f"what {summary.name!r} says is in {document.name!r}, in fewer words"
        return _summarize(document, summary, POSSIBLE + 0.2, why)
    return _summarize(document, summary, FORCED, "as asked for")


def _summarize(document: Column, summary: Column, likelihood: float, why: str) -> Guess:
    return Guess(
        kind="summarize",
        options={"document": document.name, "summary": summary.name},
        likelihood=likelihood,
        reasons={
            "kind": f"{why}; {shown_words(document)} become {summary.words:.0f}",
            "document": texts_of(document),
            "summary": texts_of(summary),
        },
    )


def _is_summary(table: Table, document: Column, summary: Column) -> bool:
    """Whether the words of one are mostly the other's, and few of them."""
    if document.words < max(_DOCUMENT_WORDS, _LONGER * summary.words) or summary.words < 3:
        return False
    shares = []
    for long, short in zip(document.values[:_SAMPLE], summary.values[:_SAMPLE], strict=True):
        if isinstance(long, str) and isinstance(short, str):
            words = [w for w in re.findall(r"\w+", folded(short)) if len(w) > 3]
            known = set(re.findall(r"\w+", folded(long)))
            if words:
                shares.append(sum(word in known for word in words) / len(words))
    return bool(shares) and sum(shares) / len(shares) >= _COPIED


@dataclass(frozen=True, kw_only=True)
class _Pair:
    inputs: list[Column]
    answer: Column
    likelihood: float
    why: str
    other_way: bool = False
    is_measure: bool = False
    explanations: Sequence[Column] = ()
    gaps: Sequence[Column] = ()


def guess_completions(table: Table) -> Guess | None:
    """See ``Task.guess``; any columns to read, and one with texts that are to be written."""
    pair = _pair(table)
    if pair is None:
        return None
    inputs, answer = pair.inputs, pair.answer
    notes = [*unread_explanations(pair.explanations, "answer"), *unread_gaps(pair.gaps)]
    if pair.other_way:
        notes.append(
            f"No name says which of {quoted([inputs[-1].name, answer.name])} is to be written; if "
            f"it is {inputs[-1].name!r}, swap them"
        )
    if pair.is_measure:
        notes.append(
            f"{answer.name!r} holds numbers, which are learnt as texts and are right where they "
            "are equal; to score how far off they are, name a function of yours: task.metrics: "
            '["python: FILE.py:FUNCTION"]'
        )
    metrics, why_metrics = _metrics(answer.first, inputs)
    holds = (
        f"lists of texts, of which the first is learnt; {answer.first.described()}"
        if answer.is_references
        else answer.described()
    )
    options: dict[str, Any] = {}
    reasons = {"kind": pair.why}
    plain = None
    if len(inputs) == 1:
        options = {"prompt": inputs[0].name, "completion": answer.name}
        plain = _plain_template(inputs[0], answer.first)
        reasons["prompt"] = f"{inputs[0].described()}"
        reasons["completion"] = holds
    else:
        fields = [f"{_title(column)}: {{{column.name}}}" for column in inputs]
        options = {
            "template": "\n\n".join(fields) + f"\n\n{_title(answer)}: {{{answer.name}}}",
            "target": answer.name,
        }
        reasons["template"] = f"{quoted([c.name for c in inputs])} are all read"
        reasons["target"] = holds
    if metrics:
        options["metrics"] = metrics
        reasons["metrics"] = why_metrics
    return Guess(
        kind="complete",
        options=options,
        likelihood=pair.likelihood,
        reasons=reasons,
        notes=tuple(notes),
        plain_template=plain,
    )


def _pair(table: Table) -> _Pair | None:
    prose = table.prose
    # A short answer may be a number, or one of few words.
    writable = tuple(
        c
        for c in table.columns
        if c.is_prose
        or (_may_be_answer(c) and is_called(c, ANSWER))
        or (c.is_references and is_called(c, ANSWER | REFERENCES))
    )
    answer = first_called(writable, ANSWER) or first_called(writable, REFERENCES)
    if answer is not None:
        rest, explanations = without_explanations([c for c in prose if c is not answer])
        inputs, gaps = _inputs(tuple(rest), _systems(table))
        if inputs:
            sure = is_called(inputs[-1], INPUT | DOCUMENT)
            likelihood = LIKELY + (0.1 if sure else 0.05)
            if answer.is_label_like:
                likelihood = POSSIBLE
            return _Pair(
                inputs=inputs,
                answer=answer,
                likelihood=likelihood,
                why=f"{answer.name!r} is to be written, by its name",
                explanations=explanations,
                gaps=gaps,
            )
    measures = tuple(c for c in table.columns if _is_measure(c))
    measure = first_called(measures, NUMBER)
    if prose and measure is not None:
        rest, explanations = without_explanations(prose)
        inputs, gaps = _inputs(tuple(rest))
        return _Pair(
            inputs=inputs,
            answer=measure,
            likelihood=POSSIBLE + 0.25,
            why=f"{measure.name!r} holds numbers that are to be written, by its name",
            is_measure=True,
            explanations=explanations,
            gaps=gaps,
        )
    if len(prose) >= 2:
        asked = [c for c in prose if _asks(c)]
        if len(asked) == 1:
            others = [c for c in prose if c is not asked[0]]
            return _Pair(
                inputs=asked,
                answer=others[-1],
                likelihood=POSSIBLE + 0.25,
                why=f"{asked[0].name!r} asks, as most of its texts end in a question mark",
                other_way=False,
            )
        questions = [c for c in prose if is_called(c, INPUT)]
        first = questions[0] if questions else prose[0]
        answer = next(c for c in reversed(prose) if c is not first)
        return _Pair(
            inputs=[first],
            answer=answer,
            likelihood=POSSIBLE + (0.1 if questions else 0.0),
            why="two columns of texts"
            + (f", and {first.name!r} is read, by its name" if questions else ", in their order"),
            other_way=not questions,
        )
    others = [c for c in table.columns if c not in prose and _may_be_answer(c)]
    if prose and others:  # such as labels, where the user asks for it
        answer = next((c for c in others if c.is_label_like), others[-1])
        return _Pair(
            inputs=[prose[0]],
            answer=answer,
            likelihood=FORCED,
            why=f"{answer.name!r} as a text to write",
        )
    return None


def _inputs(
    columns: tuple[Column, ...], systems: Sequence[Column] = ()
) -> tuple[list[Column], list[Column]]:
    """(what is read: the columns that are called so, a question last, else all of them; those of
    them that too many rows lack).

    Args:
        columns: of texts. systems: what rows say to the system, which comes first.
    """
    columns = tuple(c for c in columns if c not in systems)
    if len(columns) + len(systems) > 1:  # a template names them
        systems = [c for c in systems if not set("{}") & set(c.name)]
        able = tuple(c for c in columns if not set("{}") & set(c.name))
        columns, systems = (able, systems) if able else (columns[:1], [])
    named = [c for c in columns if is_called(c, INPUT)] or list(columns)
    if all(is_called(c, QUESTION) for c in named):
        # A question alone leaves out what it is asked of.
        named = [c for c in columns if is_called(c, INPUT | DOCUMENT)] or named
    found = sorted(named[:_MOST_INPUTS], key=lambda c: is_called(c, QUESTION))
    if not found:
        return [], []
    needed = found[-1] if is_called(found[-1], QUESTION) else min(found, key=lambda c: c.gaps)
    found, gaps = without_gaps(found, needed)
    return [*systems, *found], gaps


def _systems(table: Table) -> list[Column]:
    """Columns of what the system is to do in each row: there in nearly all, and not always one."""
    return [
        c
        for c in table.columns
        if c.shape == "text" and is_called(c, SYSTEM) and not c.is_constant and c.gaps <= _GAPS
    ]


def _may_be_answer(column: Column) -> bool:
    return column.shape in ("text", "number", "boolean") and not column.is_constant


def _is_measure(column: Column) -> bool:
    """Whether it holds numbers that neither count labels nor name rows."""
    is_other = column.is_reference or column.is_label_like or column.is_constant
    return column.shape == "number" and not is_other


def _asks(column: Column) -> bool:
    return column.share(lambda text: text.rstrip().endswith(("?", "\uff1f", "\u061f"))) >= 0.5


def _title(column: Column) -> str:
    return column.own_name.replace("_", " ").strip().capitalize()


def _plain_template(prompt: Column, answer: Column) -> str | None:
    """What keeps the words of both apart where no chat template does; None if they are already."""
    apart = prompt.share(lambda text: text[-1:].isspace()) >= 0.5
    if apart or answer.share(lambda text: text[:1].isspace()) >= 0.5:
        return None
    if is_called(prompt, QUESTION):
        return "Question: {prompt}\nAnswer: {completion}"
    return "{prompt}\n\n{completion}"


def _metrics(answer: Column, inputs: list[Column]) -> tuple[list[str], str]:
    """How what is written is scored, and why so."""
    if answer.share(_FINAL_NUMBER.search) >= 0.9:
        return ["number", "number_strict"], "answers end in #### and a number, as GSM8K's"
    is_blurred = share_blurred(answer.texts) >= _BLURRED
    match = "strict_match" if is_blurred else "exact_match"
    if answer.shape == "number":
        return ["number", match], "answers are numbers"
    if answer.share(lambda text: parsed_json(text) is not None) >= 0.9:
        return ["json_valid", match], "answers are JSON"
    if is_called(answer, LANGUAGES) and any(is_called(c, LANGUAGES) for c in inputs):
        return ["chrf", "bleu"], "the columns are called after languages"
    if answer.words <= _SHORT_WORDS:
        signs = ", and exact_match drops what tells some apart" if is_blurred else ""
        return [match, "f1"], f"answers have {shown_words(answer)} on average{signs}"
    # Of free texts the likelihood decides, as the kind has it.
    return [], ""
