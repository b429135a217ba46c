"""Documents in, summaries out, by candidates of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from typing import BinaryIO, cast, get_args

from bakeoff.data.documents import Document, DocumentFormat, read_documents
from bakeoff.data.encode import Ids, PieceEncoder
from bakeoff.data.layout import Layout
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import generate
from bakeoff.engine.texts import decode
from bakeoff.errors import ConfigError
from bakeoff.inference.finished import FinishedRun, Kept
from bakeoff.methods.switcher import Switcher


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What one candidate wrote for one document."""

    candidate: str
    document: Document
    summary: str


def read_input(
    run: FinishedRun, sources: Sequence[str], form: str, stdin: BinaryIO
) -> list[Document]:
    """The command line's documents; see ``read_documents``.

    Raises:
        ConfigError: if there is no such format.
    """
    formats = get_args(DocumentFormat)
    if form not in formats:
        near = get_close_matches(form, formats, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ConfigError(f"--format: {form!r} is unknown{hint} Choose one of {', '.join(formats)}")
    return read_documents(sources, run.study.options.task, cast(DocumentFormat, form), stdin)


def as_line(prediction: Prediction, *, as_json: bool, with_id: bool) -> str:
    """A prediction as one line: the summary, line ends made spaces, or an object of JSON."""
    if as_json:
        document = prediction.document
        content = {
            "candidate": prediction.candidate,
            "source": document.source,
            "row": document.row,
            "summary": prediction.summary,
        }
        return json.dumps(content, ensure_ascii=False) + "\n"
    text = " ".join(prediction.summary.split())
    return f"{prediction.candidate}\t{text}\n" if with_id else f"{text}\n"


def predict(
    run: FinishedRun,
    candidates: Sequence[Kept],
    documents: Sequence[Document],
    *,
    merged: bool = False,
) -> Iterator[Prediction]:
    """Summarises every document with each candidate, with the study's own settings.

    Args:
        run: the run.
        candidates: whose summaries, one after the other over one base.
        documents: cleaned, as ``read_documents`` gives them.
        merged: whether each candidate's adapter is merged into the base's weights for its turn;
            what it writes is the same up to rounding, and each token is cheaper.

    Yields:
        In the order of the candidates, then of the documents.

    Raises:
        ConfigError: if a candidate cannot be merged.
        CheckpointError: if an adapter is not whole.
    """
    task = run.study.options.task
    encoder = PieceEncoder(run.base.tokenizer, tokenizer_id=run.study.options.base)
    prompts = Layout.of(task, encoder).generation_prompts([d.text for d in documents])
    switcher = Switcher(run.base)
    for kept in candidates:
        texts = _texts(run, kept, prompts, switcher if merged else None)
        for document, text in zip(documents, texts, strict=True):
            yield Prediction(candidate=kept.id, document=document, summary=text)


def _texts(
    run: FinishedRun, kept: Kept, prompts: Sequence[Ids], switcher: Switcher | None
) -> list[str]:
    tensors = kept.load()
    with ExitStack() as stack:
        if switcher is None:
            cohort = Cohort(run.base, [kept.method], 1)
            cohort.seat(0, kept.method, tensors)
        else:
            stack.enter_context(switcher.merged(kept.method, tensors))
            cohort = Cohort(run.base, [], 1)
        stack.enter_context(cohort)
        [generated] = generate(cohort, [0], prompts, run.study.options.generation)
    return decode(run.base, generated)
