"""Blind comparisons by people: kept in the run's folder, summed up by the referee's intervals."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from bakeoff.decide.referee.distributions import t_quantile
from bakeoff.decide.referee.intervals import within_bounds
from bakeoff.errors import StoreError
from bakeoff.serve.http.bodies import VoteBody
from bakeoff.serve.http.forms import now

VOTES_FILE: Final = "votes.jsonl"
_ALPHA: Final = 0.05
_VALUES: Final = {"a": 1.0, "tie": 0.0, "b": -1.0}


class Votes:
    """Votes by study; those of models without one last as long as the server.

    Args:
        folders: of the runs, by study.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders
        self._lock = threading.Lock()
        self._loose: list[dict[str, Any]] = []

    def add(self, body: VoteBody) -> None:
        """Keeps a vote.

        Raises:
            StoreError: the run's folder cannot be written.
        """
        record = {
            "time": now(),
            "a": body.a,
            "b": body.b,
            "verdict": body.verdict,
            "prompt": hashlib.sha256(body.prompt.encode("utf-8", "replace")).hexdigest(),
            "answer_a": body.answer_a,
            "answer_b": body.answer_b,
        }
        folder = self._folders.get(body.study)
        with self._lock:
            if folder is None:
                self._loose.append(record)
                return
            line = json.dumps(record) + "\n"
            try:
                path = folder / VOTES_FILE
                if _is_torn(path):
                    line = "\n" + line
                with path.open("ab") as file:
                    file.write(line.encode("ascii"))
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                raise StoreError("the vote cannot be kept in the run's folder") from None

    def summary(self, study: str) -> list[dict[str, Any]]:
        """Each pair of models with the mean of its votes and an interval.

        A vote for the first is 1, for the second -1, a tie 0. Votes on one prompt hang together,
        and prompts are taken as drawn from all that there might be.
        """
        folder = self._folders.get(study)
        with self._lock:
            records = list(self._loose) if folder is None else _read(folder / VOTES_FILE)
        pairs: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for record in records:
            first, second = sorted((record["a"], record["b"]))
            sign = 1.0 if record["a"] == first else -1.0
            pairs[first, second][record["prompt"]].append(sign * _VALUES[record["verdict"]])
        return [_judged(pair, votes) for pair, votes in sorted(pairs.items())]


def _is_torn(path: Path) -> bool:
    """Whether a kill has cut the last line short."""
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # there is no file, or nothing in it
        return False


def _read(path: Path) -> list[dict[str, Any]]:
    """The votes of a file; a line that a kill has torn is none."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            record = json.loads(line)
            is_whole = record["verdict"] in _VALUES and all(
                isinstance(record[key], str) for key in ("a", "b", "prompt")
            )
        except (ValueError, KeyError, TypeError):
            continue
        if is_whole:
            found.append(record)
    return found


def _judged(pair: tuple[str, str], by_prompt: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    votes = [vote for some in by_prompt.values() for vote in some]
    means = np.array([float(np.mean(some)) for some in by_prompt.values()])
    mean, number = float(means.mean()), len(means)
    low, high, verdict = None, None, "undecided"
    if number >= 2:
        width = float(t_quantile(number - 1, 1 - _ALPHA / 2)) * float(
            np.sqrt(means.var(ddof=1) / number)
        )
        if means.min() == means.max() and abs(mean) < 1.0:
            # Prompts that agree show no spread, but others may differ: as many of them as may be
            # that were not seen in so many (Clopper and Pearson 1934), and by all that a vote can.
            width = 2.0 * (1.0 - (_ALPHA / 2) ** (1 / number))
        low, high = within_bounds(mean, width, (-1.0, 1.0), number, _ALPHA)
        verdict = "better" if low > 0 else "worse" if high < 0 else "undecided"
    return {
        "a": pair[0],
        "b": pair[1],
        "votes": len(votes),
        "prompts": number,
        "better": sum(vote > 0 for vote in votes),
        "tie": sum(vote == 0 for vote in votes),
        "worse": sum(vote < 0 for vote in votes),
        "mean": mean,
        "low": low,
        "high": high,
        "verdict": verdict,
    }
