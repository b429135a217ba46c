"""``votes.jsonl``: what people prefer, a line for each vote.

``{"index": 3, "a": "lora", "b": "zero_shot", "vote": "better"}``: on the test row 3 the answer of
``a`` is better than that of ``b``; ``worse`` and ``tie`` are the others. ``winner`` may stand
instead, with ``a``, ``b``, one of the two names, or ``tie``.

The playground of ``bakeoff serve`` writes blind votes to the same file: ``verdict`` (``a``, ``b``,
``tie``), the SHA-256 of the ``prompt`` and both answers as they were shown. One of these speaks of
the test row whose input is that prompt, and of the runs that kept these very answers to it.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bakeoff.errors import DataError
from bakeoff.execution.judging.statistics import Vote, VoteFault
from bakeoff.formatting import join

VOTES_FILE: Final = "votes.jsonl"
_VOTES: Final = {"better": 1, "tie": 0, "worse": -1}
_VERDICTS: Final = {"a": 1, "tie": 0, "b": -1}
_MOST_BYTES: Final = 100_000_000


@dataclass(frozen=True, kw_only=True)
class BlindVote:
    """A vote of the playground: on two answers to a prompt.

    Attributes:
        line: of its file. a, b: models as they are served. prompt: its SHA-256.
        answers: that of ``a`` and that of ``b``. preferred: as that of ``Vote``.
    """

    line: int
    a: str
    b: str
    prompt: str
    answers: tuple[str, str]
    preferred: int


class KeptAnswers:
    """The answers that a judge is given.

    Args:
        shown: [N] inputs of the test rows.
        answers: by a method's, a baseline's or a run's name, by the run's: [N] answers.
        indices: [N] what votes call each row; its place without.
    """

    def __init__(
        self,
        shown: Sequence[str],
        answers: Mapping[str, Mapping[str, Sequence[str]]],
        indices: Sequence[int] | None = None,
    ) -> None:
        self._places = None if indices is None else {n: row for row, n in enumerate(indices)}
        self._answers = answers
        self._rows: dict[str, list[int]] = defaultdict(list)
        for row, text in enumerate(shown):
            for one in dict.fromkeys((text, _in_a_browser(text))):
                self._rows[_hash_of(one)].append(row)

    def numbered(self, vote: Vote) -> Vote | VoteFault:
        """A vote that names its row, with the row's place here."""
        if self._places is None:
            return vote
        if (place := self._places.get(vote.row)) is None:
            return VoteFault(vote.line, f"row {vote.row} is not one that all were asked")
        return replace(vote, row=place)

    def placed(self, vote: BlindVote) -> Vote | VoteFault:
        """The vote on a row and two runs, or why it is on none."""
        of_a, _, a = vote.a.rpartition("/")  # several served runs have their names in front
        of_b, _, b = vote.b.rpartition("/")
        if of_a != of_b:
            return VoteFault(vote.line, f"{vote.a} and {vote.b} are of two studies")
        for name in (a, b):
            if name not in self._answers:
                known = join(sorted(self._answers)) or "none"
                return VoteFault(vote.line, f"{name} was not judged, of {known} that were")
        rows = self._rows.get(vote.prompt, [])
        for row in rows:
            first = _who_said(vote.answers[0], row, self._answers[a])
            second = _who_said(vote.answers[1], row, self._answers[b])
            if first is not None and second is not None:
                return Vote(row=row, a=first, b=second, preferred=vote.preferred, line=vote.line)
        if not rows:
            return VoteFault(vote.line, "its prompt is the input of no test row")
        return VoteFault(
            vote.line,
            f"the answers that were shown for {a} and {b} are not those that were kept from the "
            "test, which the judge compares",
        )


def read_votes(path: Path) -> tuple[list[Vote], int]:
    """A file's votes that name their rows, and how many other lines there are.

    Raises:
        DataError: it cannot be read.
    """
    votes, others = placed_votes(path, KeptAnswers((), {}))
    return votes, len(others)


def placed_votes(path: Path, kept: KeptAnswers) -> tuple[list[Vote], list[VoteFault]]:
    """A file's votes on rows, and what counts for nothing.

    Raises:
        DataError: it cannot be read.
    """
    votes: list[Vote] = []
    faults: list[VoteFault] = []
    for one in _read(path):
        if isinstance(one, BlindVote):
            placed = kept.placed(one)
        else:
            placed = kept.numbered(one) if isinstance(one, Vote) else one
        if isinstance(placed, VoteFault):
            faults.append(placed)
        else:
            votes.append(placed)
    return votes, faults


def _read(path: Path) -> Iterator[Vote | BlindVote | VoteFault]:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"judge.votes: {path} cannot be read ({error.strerror}); give a JSON-lines file of "
            "votes, or leave it out"
        ) from None
    if len(content) > _MOST_BYTES:
        raise DataError(f"judge.votes: {path} is larger than {_MOST_BYTES:,} bytes; give fewer")
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            yield VoteFault(number, "is no JSON")
            continue
        yield _vote_of(row, number)


def _vote_of(row: Any, line: int) -> Vote | BlindVote | VoteFault:
    if not isinstance(row, dict):
        return VoteFault(line, "is no JSON object")
    a, b = row.get("a"), row.get("b")
    if not isinstance(a, str) or not isinstance(b, str) or a == b:
        return VoteFault(line, "a and b do not name two that are compared")
    if "verdict" in row and "index" not in row:
        return _blind(row, a, b, line)
    index, said = row.get("index"), row.get("vote", row.get("winner"))
    if type(index) is not int:
        return VoteFault(line, "has no whole number as its index")
    preferred = (
        {**_VOTES, "a": 1, "b": -1, a: 1, b: -1}.get(said) if isinstance(said, str) else None
    )
    if preferred is None:
        return VoteFault(line, "its vote is none of better, worse and tie, and it has no winner")
    return Vote(row=index, a=a, b=b, preferred=preferred, line=line)


def _blind(row: dict[str, Any], a: str, b: str, line: int) -> BlindVote | VoteFault:
    said, prompt = row["verdict"], row.get("prompt")
    first, second = row.get("answer_a"), row.get("answer_b")
    if not isinstance(said, str) or said not in _VERDICTS:
        return VoteFault(line, "its verdict is none of a, b and tie")
    if not isinstance(prompt, str) or not isinstance(first, str) or not isinstance(second, str):
        return VoteFault(line, "has not the texts prompt, answer_a and answer_b")
    return BlindVote(
        line=line, a=a, b=b, prompt=prompt, answers=(first, second), preferred=_VERDICTS[said]
    )


def _hash_of(text: str) -> str:
    """As the playground's votes have it."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _in_a_browser(text: str) -> str:
    """As a text field gives it back."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _who_said(answer: str, row: int, runs: Mapping[str, Sequence[str]]) -> str | None:
    """The first run that kept this answer to a row."""
    said = answer.strip()
    return next((run for run, kept in runs.items() if kept[row].strip() == said), None)
