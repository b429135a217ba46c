"""Which kind of task data are for: every kind is asked what it makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bakeoff.data.columns import Table
from bakeoff.errors import DataError
from bakeoff.tasks.guess.guesses import FORCED, Guess
from bakeoff.tasks.registry import task_kinds, task_type

_NAMED_FROM: Final = 0.3


@dataclass(frozen=True, kw_only=True)
class Guesses:
    """The best guess, and other kinds that the data would do for."""

    best: Guess
    others: tuple[Guess, ...] = ()


def guess_task(table: Table, kind: str | None = None) -> Guesses:
    """Asks every kind what it makes of a table.

    Args:
        table: of the data. kind: the only one to ask, where the user names it.

    Raises:
        ConfigError: there is no such kind.
        DataError: no kind can read the table, or the one that is named cannot.
    """
    kinds = task_kinds() if kind is None else (kind,)
    found = [task_type(name, where="--kind").guess(table) for name in kinds]
    guesses = sorted((g for g in found if g is not None), key=lambda g: -g.likelihood)
    if not guesses or (kind is None and guesses[0].likelihood <= FORCED):
        asked = "none of the kinds" if kind is None else f"--kind {kind}: the kind"
        raise DataError(
            f"{asked} can be learnt from these columns ({table.described()}). There must be a "
            "column of texts, and what is to be learnt from them: labels, answers, summaries, "
            "messages; or texts alone. Give such data, or write the study yourself"
        )
    best, *others = guesses
    return Guesses(best=best, others=tuple(g for g in others if g.likelihood >= _NAMED_FROM))
