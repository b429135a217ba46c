"""Rows in, answers out, by candidates of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from typing import BinaryIO, cast, get_args

import numpy as np

from bakeoff.data.encode import Ids, TextEncoder
from bakeoff.data.examples import Example
from bakeoff.data.inputs import Input, InputFormat, read_inputs
from bakeoff.data.layout import Layout
from bakeoff.engine.choose import choose
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import generate
from bakeoff.engine.texts import decode
from bakeoff.errors import ConfigError, DataError
from bakeoff.inference.finished import FinishedRun, Kept
from bakeoff.methods.switcher import Switcher
from bakeoff.metrics.contract import Ask


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What one candidate answers to one row.

    Attributes:
        word: what the task calls its answer.
    """

    candidate: str
    input: Input
    answer: str
    word: str


def read_input(run: FinishedRun, sources: Sequence[str], form: str, stdin: BinaryIO) -> list[Input]:
    """The command line's rows; see ``read_inputs``.

    Raises:
        ConfigError: if there is no such format.
    """
    formats = get_args(InputFormat)
    if form not in formats:
        near = get_close_matches(form, formats, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ConfigError(f"--format: {form!r} is unknown{hint} Choose one of {', '.join(formats)}")
    return read_inputs(sources, run.task.input_keys, cast(InputFormat, form), stdin)


def as_line(prediction: Prediction, *, as_json: bool, with_id: bool) -> str:
    """A prediction as one line: the answer, line ends made spaces, or an object of JSON."""
    if as_json:
        content = {
            "candidate": prediction.candidate,
            "source": prediction.input.source,
            "row": prediction.input.row,
            prediction.word: prediction.answer,
        }
        return json.dumps(content, ensure_ascii=False) + "\n"
    text = " ".join(prediction.answer.split())
    return f"{prediction.candidate}\t{text}\n" if with_id else f"{text}\n"


def predict(
    run: FinishedRun,
    candidates: Sequence[Kept],
    inputs: Sequence[Input],
    *,
    merged: bool = False,
) -> Iterator[Prediction]:
    """Answers every row with each candidate, with the study's own settings.

    Args:
        run: the run.
        candidates: whose answers, one after the other over one base.
        inputs: as ``read_inputs`` gives them.
        merged: whether each candidate's adapter is merged into the base's weights for its turn;
            what it answers is the same up to rounding, and each token is cheaper.

    Yields:
        In the order of the candidates, then of the rows.

    Raises:
        ConfigError: if a candidate cannot be merged.
        CheckpointError: if an adapter is not whole.
        DataError: if a row holds nothing that can be answered.
    """
    examples = [_example(run, row) for row in inputs]
    encoder = TextEncoder(run.base.tokenizer, tokenizer_id=run.study.options.base)
    layout = Layout(
        encoder,
        run.task.shorten,
        max_length=run.task.max_length,
        max_target_tokens=run.task.options.max_target_tokens,
    )
    prompts = []
    for row, prompt in zip(inputs, layout.prompts(examples), strict=True):
        if prompt.missing:
            raise DataError(
                f"{row.place}: does not fit task.max_length of {run.task.max_length}, and "
                "nothing of it may be cut; shorten it"
            )
        prompts.append(prompt.ids)
    for kept in candidates:
        switcher = Switcher(kept.method.base) if merged else None
        answers = _answers(run, kept, layout, examples, prompts, switcher)
        for row, answer in zip(inputs, answers, strict=True):
            yield Prediction(candidate=kept.id, input=row, answer=answer, word=run.task.output_word)


def _example(run: FinishedRun, row: Input) -> Example:
    try:
        return run.task.prompt(row.values)
    except DataError as error:
        raise DataError(f"{row.place}: {error}; correct the row") from None


def _answers(
    run: FinishedRun,
    kept: Kept,
    layout: Layout,
    examples: Sequence[Example],
    prompts: Sequence[Ids],
    switcher: Switcher | None,
) -> list[str]:
    tensors = kept.load()
    with ExitStack() as stack:
        if switcher is None:
            cohort = Cohort(kept.method.base, [kept.method], 1)
            cohort.seat(0, kept.method, tensors)
        else:
            stack.enter_context(switcher.merged(kept.method, tensors))
            cohort = Cohort(kept.method.base, [], 1)
        stack.enter_context(cohort)
        if Ask.CHOICE in run.task.asks:
            choices = layout.choices([e.prompt for e in examples], [e.choices for e in examples])
            [nlls] = choose(cohort, [0], prompts, choices)
            return [
                run.task.answer_shown(example.choices[int(np.argmin(nlls_M))])
                for example, nlls_M in zip(examples, nlls, strict=True)
            ]
        options = run.study.options.generation.also_stopping_at(run.task.stop_tokens)
        [generated] = generate(cohort, [0], prompts, options)
    return decode(run.base, generated, run.task.lead)
