"""``votes.jsonl``: what people prefer, a line for each vote.

``{"index": 3, "a": "lora", "b": "zero_shot", "vote": "better"}``: on the test row 3 the answer of
``a`` is better than that of ``b``; ``worse`` and ``tie`` are the others. ``winner`` may stand
instead, with ``a``, ``b``, one of the two names, or ``tie``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from bakeoff.errors import DataError
from bakeoff.execution.judging.statistics import Vote

VOTES_FILE: Final = "votes.jsonl"
_VOTES: Final = {"better": 1, "tie": 0, "worse": -1}
_MOST_BYTES: Final = 100_000_000


def read_votes(path: Path) -> tuple[list[Vote], int]:
    """A file's votes, and how many lines are none.

    Raises:
        DataError: it cannot be read.
    """
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
    found, lost = [], 0
    for line in content.splitlines():
        if not line.strip():
            continue
        try:
            vote = _vote_of(json.loads(line))
        except (ValueError, RecursionError):
            vote = None
        if vote is None:
            lost += 1
        else:
            found.append(vote)
    return found, lost


def _vote_of(line: Any) -> Vote | None:
    if not isinstance(line, dict):
        return None
    row, a, b = line.get("index"), line.get("a"), line.get("b")
    if type(row) is not int or not isinstance(a, str) or not isinstance(b, str) or a == b:
        return None
    said = line.get("vote", line.get("winner"))
    preferred = (
        {**_VOTES, "a": 1, "b": -1, a: 1, b: -1}.get(said) if isinstance(said, str) else None
    )
    return None if preferred is None else Vote(row=row, a=a, b=b, preferred=preferred)
