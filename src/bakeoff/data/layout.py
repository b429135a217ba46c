"""The rows of a split as tokens: prompts that are cut, completions that never are.

An example is ``prompt + completion``. The prompt holds the template up to the summary, with the
document's tail cut so that both together fit ``max_length``; the completion is the summary, whole,
with the end-of-text token. Pieces are tokenised one by one and joined as tokens, so that where a
document is cut does not change how the rest is tokenised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.data.encode import Ids, PieceEncoder
from bakeoff.data.options import TaskOptions
from bakeoff.data.ragged import Ragged, Texts
from bakeoff.data.rows import Rows, rows_text
from bakeoff.data.taskdata import SplitData
from bakeoff.data.template import Template
from bakeoff.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A split's rows whose summaries leave room for a document, with their completions.

    Attributes:
        rows: the others were left out and counted as skipped.
        completions: one array of ids per row.
        num_summary_tokens: tokens of all summaries as plain text.
    """

    rows: Rows
    completions: list[Ids]
    num_summary_tokens: int


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The template in tokens, and the room that it leaves.

    Attributes:
        task: its lengths and what to do with bad rows.
        encoder: of the base's tokenizer.
        template: the same in text.
        head: what the tokenizer puts before any text, and the template's prefix.
        middle: what comes between document and summary.
        tail: the template's suffix and one end-of-text token.
    """

    task: TaskOptions
    encoder: PieceEncoder
    template: Template
    head: Ids
    middle: Ids
    tail: Ids

    @classmethod
    def of(cls, task: TaskOptions, encoder: PieceEncoder) -> Layout:
        """Tokenises a task's template.

        Raises:
            ConfigError: ``max_length`` leaves no room for a single token of a document.
        """
        template = Template.parse(task.template)
        head = encoder.piece(template.prefix, at_start=True)
        if not np.array_equal(head[: len(encoder.start_ids)], encoder.start_ids):
            head = np.concatenate([encoder.start_ids, head])
        tail = encoder.piece(template.suffix, at_start=False)
        if not (len(tail) and tail[-1] == encoder.eos_id):
            tail = np.append(tail, np.int32(encoder.eos_id))
        layout = cls(
            task=task,
            encoder=encoder,
            template=template,
            head=head,
            middle=encoder.piece(template.middle, at_start=False),
            tail=tail,
        )
        if (room := layout.room_beside(task.max_summary_tokens)) < 1:
            raise ConfigError(
                f"task.max_length is {task.max_length}: the template's {layout.num_fixed} tokens "
                f"and task.max_summary_tokens ({task.max_summary_tokens}) leave no room for a "
                f"document. Set task.max_length to at least {task.max_length + 1 - room}, or "
                "shorten the others."
            )
        return layout

    @property
    def num_fixed(self) -> int:
        """Tokens of every prompt that are not the document's."""
        return len(self.head) + len(self.middle)

    def room_beside(self, num_reserved: int) -> int:
        """Returns the tokens left for a document beside the template and a summary's room."""
        return self.task.max_length - self.num_fixed - num_reserved

    def complete(self, rows: Rows) -> Completed:
        """Tokenises a split's summaries.

        Raises:
            DataError: a completion leaves no room for a token of its document, and such rows may
                not be skipped or none would be left.
        """
        lead, encode = self.template.lead, self.encoder.encode
        summaries = encode([lead + text for text in rows.summaries], at_start=False, literal=True)
        plain = encode(rows.summaries, at_start=True, literal=True) if lead else summaries
        completions = [np.concatenate([summary, self.tail]) for summary in summaries]
        too_long = {i for i, ids in enumerate(completions) if self.room_beside(len(ids)) < 1}
        if too_long and (self.task.on_bad_row == "error" or len(too_long) == len(rows)):
            least = self.num_fixed + max(map(len, completions)) + 1
            numbers = [rows.numbers[i] for i in sorted(too_long)]
            raise DataError(
                f"task.max_length is {self.task.max_length}, which is too small for the summary of "
                f"{rows_text(numbers)} of {rows.place}: a summary is never cut, and at least one "
                "token of its document must fit beside it. Set task.max_length to "
                f"{least} or more, or task.on_bad_row: skip to leave such rows out."
            )
        kept = [i for i in range(len(rows)) if i not in too_long]
        return Completed(
            rows=rows.without(too_long),
            completions=[completions[i] for i in kept],
            num_summary_tokens=sum(len(plain[i]) for i in kept),
        )

    def prompt(self, completed: Completed) -> SplitData:
        """Tokenises a split's documents and cuts them to fit."""
        rows, reserved = completed.rows, self.task.max_summary_tokens
        documents = self._encoded(rows.documents)
        prompts: list[Ids] = []
        for_generation: list[Ids] = []
        num_cut = 0
        for document, completion in zip(documents, completed.completions, strict=True):
            room = self.room_beside(max(reserved, len(completion)))
            prompts.append(self._around(document[:room]))
            for_generation.append(self._for_generation(document))
            num_cut += len(document) > room
        completions = Ragged.from_rows(completed.completions)
        return SplitData(
            documents=Texts.from_rows(rows.documents),
            raw_documents=Texts.from_rows(rows.raw_documents),
            summaries=Texts.from_rows(rows.summaries),
            rows=np.array(rows.numbers, dtype=np.int64),
            prompts=Ragged.from_rows(prompts),
            completions=completions,
            generation_prompts=Ragged.from_rows(for_generation),
            tokens_raw=sum(map(len, documents)) + completed.num_summary_tokens,
            tokens_supervised=len(completions.values),
            documents_truncated=num_cut,
            rows_skipped=rows.num_skipped,
            desks=rows.desks if any(rows.desks) else None,
        )

    def generation_prompts(self, documents: Sequence[str]) -> list[Ids]:
        """Cleaned documents as prompts, each cut to leave room for a summary."""
        return [self._for_generation(document) for document in self._encoded(documents)]

    def _encoded(self, documents: Sequence[str]) -> list[Ids]:
        return self.encoder.encode(documents, at_start=not self.template.prefix, literal=True)

    def _for_generation(self, document: Ids) -> Ids:
        return self._around(document[: self.room_beside(self.task.max_summary_tokens)])

    def _around(self, document: Ids) -> Ids:
        return np.concatenate([self.head, document, self.middle])
