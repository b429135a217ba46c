"""Adaptive seeds: what the look that ended a study may say, read from its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bakeoff.decide.referee.looks import look_alphas
from bakeoff.decide.verdicts import finished_methods
from bakeoff.formatting import join
from bakeoff.runs.records import Results
from bakeoff.runs.settings import setting


@dataclass(frozen=True, kw_only=True)
class LastLook:
    """The look after which nothing more was trained.

    A study ends as soon as a look recommends, by what that look may spend of the error, among those
    that no earlier look has shown behind. The recommendation is this look's, so that a study that
    has ended says what it ended for. The errors of all looks together are the study's own.

    Attributes:
        num_seeds: of the look. alpha: what it may spend.
        behind: methods that have fewer seeds, as an earlier look has shown them behind.
    """

    num_seeds: int
    alpha: float
    behind: frozenset[str]

    def alive(self, names: Sequence[str]) -> list[str]:
        """Those of some methods that took part in the look; all where none of them did."""
        return [name for name in names if name not in self.behind] or list(names)

    def described(self, taking_part: Sequence[str]) -> str:
        """What a reader must know of it.

        Args:
            taking_part: names of methods that may be recommended.
        """
        text = (
            f"This is the look at {self.num_seeds} seeds, at its own level of {1 - self.alpha:.4g}"
        )
        out = sorted(self.behind.intersection(taking_part))
        if out and len(out) < len(taking_part):
            are = "was" if len(out) == 1 else "were"
            text += f"; {join(out)} {are} shown behind at an earlier one"
        return f"{text}."


def last_look(results: Results) -> LastLook | None:
    """The last look of a study; None where its number of seeds was given, or none was reached."""
    bounds = setting(results.study, "protocol.seeds")
    if not isinstance(bounds, Mapping) or results.decision is None:
        return None
    shares = look_alphas(1.0, at_least=bounds.get("at_least", 3), at_most=bounds.get("at_most", 10))
    seeds = {
        name: len(method.seeds)
        for name, method in finished_methods(results).items()
        if method.external is None
    }
    reached = [number for number in shares if number <= max(seeds.values(), default=0)]
    if not reached:
        return None
    # Pairs are judged by what the look that spends least may spend.
    whole = (1.0 - results.decision.level) / min(shares.values())
    return LastLook(
        num_seeds=max(reached),
        alpha=whole * shares[max(reached)],
        behind=frozenset(name for name, number in seeds.items() if number < max(reached)),
    )
