"""Seeds that follow from looks: whether the recommendation is the last look's."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.decide.verdicts import finished_methods
from bakeoff.formatting import join
from bakeoff.runs.decisions import LookRecord
from bakeoff.runs.records import Results


def last_look(results: Results, candidates: Sequence[str]) -> LookRecord | None:
    """The look whose answer is the study's.

    A study ends as soon as a look recommends, by what that look may spend of the error, among those
    that no earlier look has shown behind. Judged again more strictly, it could say undecided for
    good. The errors of all looks together are the study's own.

    Args:
        results: the study's. candidates: that may be recommended, within its limits.

    Returns:
        None where the results are not what the look saw: one of its methods did not end well, is
        outside of limits, or has more seeds, as of a study that was decided and then changed.
    """
    look = None if results.decision is None else results.decision.look
    if look is None:
        return None
    trained = {
        name: len(method.seeds)
        for name, method in finished_methods(results).items()
        if method.external is None
    }
    is_whole = set(trained) == {*look.methods, *look.behind} and set(trained) <= set(candidates)
    if not is_whole or any(trained[name] != look.num_seeds for name in look.methods):
        return None
    return look


def look_words(look: LookRecord) -> str:
    """What a reader must know of a recommendation that is a look's."""
    text = f"This is the look at {look.num_seeds} seeds, at its own level of {1 - look.alpha:.4g}"
    if look.behind:
        are = "was" if len(look.behind) == 1 else "were"
        text += f"; {join(list(look.behind))} {are} shown behind at an earlier one"
    return f"{text}."
