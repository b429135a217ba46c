"""Examples as tokens: cut to fit, with which of them are supervised.

What is supervised is never cut. Where a row is too long, the end (or the beginning) of its cuttable
data gives way, token by token; where there is none, the task shortens the example step by step. A
text that is supervised from end to end becomes several rows. Of what surely gives way, only the
beginning is tokenised; see ``reach``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.choice_tokens import ChoiceTokens
from bakeoff.data.encode import Encoded, Ids, TextEncoder
from bakeoff.data.examples import Example, Span
from bakeoff.data.reach import (
    CHARACTERS_PER_TOKEN,
    LONGER,
    Stretch,
    clipped,
    is_enough,
    stretch_of,
    without,
)

Shorten = Callable[[Example], Example | None]
_Found = TypeVar("_Found", "Laid", "LaidPrompt")
_SLACK: Final = 8
"""Tokens that a text which ends in the middle of a word may have more than the same in a whole."""


@dataclass(frozen=True, kw_only=True)
class Laid:
    """One row for training.

    Attributes:
        example: as it was laid out, after shortening.
        lengths: [3] tokens before anything was cut: of all of it, of what is supervised in it, and
            of what stands before its last answer.
        ids: [T]. is_target: [T] bool. num_data: tokens of data before anything was cut.
        is_cut: whether anything gave way.
        missing: tokens that ``max_length`` lacks for it even so; 0 where it fits.
        starts: [T] the character of the text at which each token begins; None where the row cannot
            become several.
        is_at_least: whether ``lengths`` and ``num_data`` count the text's beginning alone.
    """

    example: Example
    lengths: tuple[int, int, int]
    ids: Ids
    is_target: NDArray[np.bool_]
    num_data: int
    is_cut: bool
    missing: int
    starts: NDArray[np.int64] | None = None
    is_at_least: bool = False


@dataclass(frozen=True, kw_only=True)
class LaidPrompt:
    """One row's prompt.

    Attributes:
        ids: [T]. is_cut, missing: as of ``Laid``. length: tokens before anything was cut; of a
            text that is not read to its end, at least.
    """

    ids: Ids
    length: int
    is_cut: bool
    missing: int


class Layout:
    """Lays examples out within the lengths of a task.

    Args:
        encoder: of the base's tokenizer. shorten: the task's.
        max_length, max_target_tokens: as the task's options have them.
    """

    def __init__(
        self, encoder: TextEncoder, shorten: Shorten, *, max_length: int, max_target_tokens: int
    ) -> None:
        self._max_length, self._max_target_tokens = max_length, max_target_tokens
        self._encoder = encoder
        self._shorten = shorten
        self._choices = ChoiceTokens(encoder)

    def rows(self, examples: Sequence[Example]) -> list[Laid]:
        """Every example as tokens for training and likelihoods."""
        return self._each(examples, self._encoded_rows, self._row, self._hopeless_row)

    def prompts(self, examples: Sequence[Example]) -> list[LaidPrompt]:
        """Every prompt as tokens, with ``max_target_tokens`` free."""
        return self._each(examples, self._encoded_prompts, self._prompt, self._hopeless_prompt)

    def choices(
        self, prompts: Sequence[str], choices: Sequence[tuple[str, ...]]
    ) -> list[tuple[Ids, ...]]:
        """Each prompt's choices as they follow it; see ``ChoiceTokens.of``."""
        return self._choices.of(prompts, choices)

    def _each(
        self,
        examples: Sequence[Example],
        encoded: Callable[[Sequence[Example]], list[Encoded]],
        laid: Callable[[Stretch, Encoded], _Found | None],
        hopeless: Callable[[Example, int], _Found | None],
    ) -> list[_Found]:
        """Lays every example out, from as much of it as that takes."""
        found: dict[int, _Found] = {}
        waiting, most = dict(enumerate(examples)), CHARACTERS_PER_TOKEN * self._max_length
        while waiting:
            stretches: dict[int, Stretch] = {}
            for index, example in waiting.items():
                if (without_hope := hopeless(example, most)) is not None:
                    found[index] = without_hope
                else:
                    stretches[index] = stretch_of(example, most)
            tokens = encoded([stretch.example for stretch in stretches.values()])
            waiting = {}
            for (index, stretch), ids in zip(stretches.items(), tokens, strict=True):
                if (one := laid(stretch, ids)) is None:
                    waiting[index] = examples[index]
                else:
                    found[index] = one
            most *= LONGER
        return [found[index] for index in range(len(examples))]

    def _encoded_rows(self, examples: Sequence[Example]) -> list[Encoded]:
        return self._encoder.encode(
            [example.text for example in examples],
            [example.literal_spans for example in examples],
            [_looked_up(example) for example in examples],
        )

    def _encoded_prompts(self, examples: Sequence[Example]) -> list[Encoded]:
        return self._encoder.encode(
            [example.prompt for example in examples],
            [example.literals_of_prompt for example in examples],
            [_cut_spans(example) for example in examples],
        )

    def _count_at_least(self, text: str, literals: Sequence[Span], most: int) -> int:
        """Tokens that the first ``most`` characters of a text surely have."""
        [found] = self._encoder.encode([text[:most]], [clipped(literals, most)])
        return max(0, len(found.ids) - _SLACK)

    def _hopeless_row(self, example: Example, most: int) -> Laid | None:
        """A row whose fixed text alone is far too long, known from its beginning; else None.

        What the task can shorten is shortened until it is not.
        """
        if example.windows:
            return None
        counts: list[int] = []
        while True:
            bare = _bare(example)
            count = 0
            if len(bare.text) > most:
                count = self._count_at_least(bare.text, bare.literal_spans, most)
            if count <= self._max_length:
                break
            counts.append(count)
            shorter = self._shorten(example) if example.cut_span is None else None
            if shorter is None:
                target = min(count, max(1, self._count_at_least(bare.target, (), most)))
                return Laid(
                    example=example,
                    lengths=(counts[0], target, 0),
                    ids=np.zeros(0, dtype=np.int32),
                    # It is left out for its length, not as a row that has nothing to learn.
                    is_target=np.ones(1, dtype=np.bool_),
                    num_data=count,
                    is_cut=False,
                    missing=count - self._max_length,
                    is_at_least=True,
                )
            example = shorter
        if not counts:
            return None
        [laid] = self.rows([example])
        _, target, asked = laid.lengths
        lengths = (counts[0], target, asked)
        return replace(laid, lengths=lengths, is_cut=True, is_at_least=True)

    def _hopeless_prompt(self, example: Example, most: int) -> LaidPrompt | None:
        """The same for a prompt."""
        counts: list[int] = []
        room = self._max_length - self._max_target_tokens
        while len((bare := _bare(example)).prompt) > most:
            count = self._count_at_least(bare.prompt, bare.literals_of_prompt, most)
            if count <= room:
                break
            counts.append(count)
            shorter = self._shorten(example) if example.cut_span is None else None
            if shorter is None:
                return LaidPrompt(
                    ids=np.zeros(0, dtype=np.int32),
                    length=counts[0],
                    is_cut=False,
                    missing=count - room,
                )
            example = shorter
        if not counts:
            return None
        return replace(self.prompts([example])[0], length=counts[0], is_cut=True)

    def _row(self, stretch: Stretch, encoded: Encoded) -> Laid | None:
        """A row's tokens; None where the stretch that was read does not suffice."""
        example = stretch.example
        num_data = int(encoded.touching(example.literal_spans).sum())
        is_cut, uncut = False, None
        while True:
            encoded_target = encoded.touching(example.target_spans)
            ends = example.ends and not (
                len(encoded.ids) and encoded.ids[-1] == self._encoder.eos_id
            )
            start = self._start_of(example, encoded)
            # A supervised token needs one before it that predicts it.
            if not len(start) and len(encoded_target):
                encoded_target[0] = False
            num_target = int(encoded_target.sum()) + ends
            # Of several answers the last one alone is asked for.
            num_last = int(encoded.touching(example.target_spans[-1:]).sum()) + ends
            reserve = max(0, self._max_target_tokens - num_last)
            length = len(start) + len(encoded.ids) + ends
            uncut = uncut or (length, num_target, max(0, length - num_last))
            excess = 0 if example.windows else length + reserve - self._max_length
            keep, missing = _cut(encoded, example, excess)
            if not _suffices(stretch, encoded, keep):
                return None
            may_shorten = missing and example.cut_span is None
            shorter = self._shorten(example) if may_shorten else None
            if shorter is None:
                break
            example, is_cut = shorter, True
            [encoded] = self._encoded_rows([example])
        ids = [start, encoded.ids[keep]]
        target = [np.zeros(len(start), dtype=np.bool_), encoded_target[keep]]
        if ends:
            ids.append(np.array([self._encoder.eos_id], dtype=np.int32))
            reaches_end = bool(example.target_spans) and example.target_spans[-1][1] >= len(
                example.text
            )
            target.append(np.array([reaches_end]))
        return Laid(
            example=example,
            lengths=uncut,
            ids=np.concatenate(ids),
            is_target=np.concatenate(target),
            num_data=num_data,
            is_cut=is_cut or not keep.all(),
            missing=missing,
            starts=_starts(example, encoded, len(start), ends) if example.windows else None,
            is_at_least=stretch.gap is not None,
        )

    def _prompt(self, stretch: Stretch, encoded: Encoded) -> LaidPrompt | None:
        """A prompt's tokens; None where the stretch that was read does not suffice."""
        example = stretch.example
        is_cut, uncut = False, None
        while True:
            start = self._start_of(example, encoded)
            room = self._max_length - self._max_target_tokens
            length = len(start) + len(encoded.ids)
            uncut = uncut or length
            excess = length - room
            keep, missing = _cut(encoded, example, excess)
            if not _suffices(stretch, encoded, keep):
                return None
            may_shorten = missing and example.cut_span is None
            shorter = self._shorten(example) if may_shorten else None
            if shorter is None:
                ids = np.concatenate([start, encoded.ids[keep]])
                return LaidPrompt(
                    ids=ids, length=uncut, is_cut=is_cut or not keep.all(), missing=missing
                )
            example, is_cut = shorter, True
            [encoded] = self._encoded_prompts([example])

    def _start_of(self, example: Example, encoded: Encoded) -> Ids:
        """What stands before the text, unless the text has it already."""
        start = self._encoder.start_ids
        if example.beginning == "always" and not len(start):
            start = np.array([self._encoder.eos_id], dtype=np.int32)
        if example.beginning == "never" or np.array_equal(encoded.ids[: len(start)], start):
            return start[:0]
        return start


def windows(laid: Laid, max_length: int) -> list[Laid]:
    """A row as several of ``max_length`` tokens at most, where its example allows it and it must.

    Each token is supervised once, as in lm-evaluation-harness's likelihood of long texts: every
    row after the first begins with the last token of the one before, for context alone, and the
    last row reaches back as far as there is room. The texts of the rows, joined, are the text.
    """
    if laid.starts is None or len(laid.ids) <= max_length:
        return [laid]
    edges = list(range(max_length, len(laid.ids), max_length - 1))
    found = []
    for first, past in pairwise([0, *edges, len(laid.ids)]):
        begin = max(0, past - max_length)
        text = laid.example.text[
            laid.starts[first] if first else 0 : laid.starts[past] if past < len(laid.ids) else None
        ]
        is_target = laid.is_target[begin:past].copy()
        is_target[: first - begin] = False
        found.append(
            replace(
                laid,
                example=replace(
                    laid.example,
                    text=text,
                    target_spans=((0, len(text)),),
                    literal_spans=((0, len(text)),),
                    shown=text,
                ),
                ids=laid.ids[begin:past],
                is_target=is_target,
                num_data=0 if first else laid.num_data,
                starts=laid.starts[begin:past],
            )
        )
    return found


def _starts(example: Example, encoded: Encoded, num_before: int, ends: bool) -> NDArray[np.int64]:
    """Where each token of a row begins in its text."""
    after = [len(example.text)] if ends else []
    return np.concatenate([np.zeros(num_before), encoded.offsets[:, 0], np.array(after)]).astype(
        np.int64
    )


def _bare(example: Example) -> Example:
    """An example without its cuttable data."""
    return example if example.cut_span is None else without(example, *example.cut_span)


def _cut_spans(example: Example) -> list[Span]:
    return [] if example.cut_span is None else [example.cut_span]


def _looked_up(example: Example) -> list[Span]:
    """The spans whose tokens a row is asked for."""
    return [*example.target_spans, *_cut_spans(example)]


def _cut(encoded: Encoded, example: Example, excess: int) -> tuple[NDArray[np.bool_], int]:
    """Which tokens stay when ``excess`` ones of the cuttable data go; one of them stays always.

    Returns:
        [T] which stay, all of them where there are not so many; and how many there lack.
    """
    keep = np.ones(len(encoded.ids), dtype=np.bool_)
    if excess <= 0:
        return keep, 0
    inside = _inside(encoded, example)
    spare = max(0, len(inside) - 1)
    if excess > spare:
        return keep, excess - spare
    gone = slice(excess) if example.cut_start else slice(len(inside) - excess, None)
    keep[inside[gone]] = False
    return keep, 0


def _inside(encoded: Encoded, example: Example) -> NDArray[np.int64]:
    """Indices of the tokens that hold cuttable data alone."""
    span = example.cut_span
    if span is None:
        return np.zeros(0, dtype=np.int64)
    first, past = encoded.offsets[:, 0], encoded.offsets[:, 1]
    return np.flatnonzero((first >= span[0]) & (past <= span[1]) & (first < span[1]))


def _suffices(stretch: Stretch, encoded: Encoded, keep: NDArray[np.bool_]) -> bool:
    """Whether what was read of an example decides which of its tokens stay."""
    if stretch.gap is None:
        return True
    if keep.all():
        return False
    inside = _inside(encoded, stretch.example)
    return is_enough(encoded.offsets, inside[keep[inside]], stretch.example, stretch.gap)


def cut_tail(example: Example) -> Example | None:
    """An eighth of the cuttable data less, at least a word of it; None where one is left.

    For callers that shorten by text; the layout cuts by tokens, at the same end.
    """
    if example.cut_span is None:
        return None
    start, stop = example.cut_span
    data = example.text[start:stop]
    # What is cut at its beginning is cut at its end, turned round.
    turned = data[::-1] if example.cut_start else data
    kept = turned[: max(1, len(turned) - max(1, len(turned) // 8))]
    word = kept.rstrip().rpartition(" ")[0] if not turned[len(kept) :].startswith(" ") else kept
    kept = word.rstrip() or kept.rstrip()
    removed = len(data) - len(kept)
    if not kept.strip() or removed <= 0:
        return None
    # [first, past) goes.
    first = start if example.cut_start else start + len(kept)
    past = first + removed
    return without(example, first, past)
