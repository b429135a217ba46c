"""Which factor of a crossed study mattered how much, from the scores of its test rows."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bakeoff.decide.judged import MetricScores
from bakeoff.decide.referee.arrays import group_indices
from bakeoff.decide.referee.components import Components, components_of
from bakeoff.decide.referee.factors import SEEDS, factor_shares
from bakeoff.decide.referee.influence import of_runs
from bakeoff.decide.referee.pairs import MIN_SEEDS
from bakeoff.errors import DataError
from bakeoff.formatting import join
from bakeoff.runs.factors import FactorsRecord, VarianceComponent

FACTORS: Final = ("method", "base", "template")
"""In the order of a cell's key."""
_FEWEST_ROWS: Final = 10
Key = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class _Design:
    """The part of a study that is whole: methods that stand in every cell.

    Attributes:
        runs: by (method, base, template) the name of what was scored. left_out: other methods.
    """

    runs: Mapping[Key, str]
    left_out: tuple[str, ...]


def with_components(
    record: FactorsRecord, scores: MetricScores, places: Mapping[str, Key]
) -> FactorsRecord:
    """A crossed study's record with its variance components, or why it has none.

    Args:
        record: with the level. scores: of everything by the deciding metric, on one set.
        places: by the name of a run the method, base and template of it; an empty text stands for
            what is no factor.
    """
    design = _design(places, scores.runs)
    record = replace(record, left_out=design.left_out)
    if not design.runs:
        return replace(record, why="no method was tested with every base and prompt")
    varied = [len({key[k] for key in design.runs}) > 1 for k in range(len(FACTORS))]
    if not any(varied):
        return replace(record, why="there is one method, one base and one prompt")
    found: dict[tuple[str, ...], Components] = {}
    if scores.withheld:
        return replace(record, why=scores.withheld)
    num_rows = len(next(iter(scores.runs.values()))[0])
    inverse, _ = group_indices(scores.groups, num_rows)
    for key, name in design.runs.items():
        try:
            influence = of_runs(
                scores.runs[name], scores.value, is_ratio=scores.is_ratio, groups=inverse
            )
        except DataError:
            return replace(record, why=f"{name} has no value once one row is left out")
        if influence.num_rows < _FEWEST_ROWS:
            number = influence.num_rows
            return replace(
                record,
                why=f"{number} test rows are too few; from {_FEWEST_ROWS} on they say something",
            )
        found[key] = components_of(influence)
    few = [name for name in design.runs.values() if len(scores.runs[name]) < MIN_SEEDS]
    if few:
        have = "one seed" if len(scores.runs[few[0]]) == 1 else f"{len(scores.runs[few[0]])} seeds"
        return replace(
            record,
            why=f"{few[0]} has {have} only, and the work of seeds cannot be kept apart from that "
            f"of the factors; train at least {MIN_SEEDS}",
        )
    shares = factor_shares(found, FACTORS, pairs=True, level=record.level)
    if not any(share.deviation for share in shares):
        return replace(record, why="nothing differs: all methods, bases and prompts score alike")
    components = [
        VarianceComponent(
            name=share.name,
            factors=_factors_of(share.name, varied),
            deviation=share.deviation,
            share=share.share,
            low=share.low,
            high=share.high,
        )
        for share in shares
    ]
    return replace(record, components=tuple(sorted(components, key=lambda one: -one.share)))


def _factors_of(name: str, varied: Sequence[bool]) -> tuple[str, ...]:
    if name == SEEDS:
        return ()
    named = tuple(name.split(" × "))
    if set(named) <= set(FACTORS):
        return named
    return tuple(itertools.compress(FACTORS, varied))


def _design(places: Mapping[str, Key], scored: Collection[str]) -> _Design:
    """What of a design is whole, whatever the number of seeds in a cell."""
    known = {key: name for name, key in places.items() if name in scored}
    cells = {key[1:] for key in places.values()}
    methods = dict.fromkeys(key[0] for key in places.values())
    whole = [m for m in methods if all((m, *cell) in known for cell in cells)]
    return _Design(
        runs={key: name for key, name in known.items() if key[0] in whole},
        left_out=tuple(method for method in methods if method not in whole),
    )


def component_words(component: VarianceComponent) -> str:
    """What a component is called in a sentence."""
    titles = {"method": "the method", "base": "the base", "template": "the prompt"}
    if not component.factors:
        return "another seed"
    if len(component.factors) == 1:
        return titles[component.factors[0]]
    named = join([titles[factor] for factor in component.factors])
    return f"which {_plain(named)} go together"


def _plain(named: str) -> str:
    return named.replace("the ", "")


def factors_sentence(record: FactorsRecord) -> str:
    """What mattered most, in one sentence, with its interval."""
    if not record.components:
        return f"What mattered is not known: {record.why}." if record.why else ""
    first, *others = record.components
    sentence = (
        f"Of the variance of the test scores, {component_words(first)} makes "
        f"{share_words(first.share)} ({share_words(first.low)} to {share_words(first.high)})"
    )
    rest = [
        f"{component_words(one)} {share_words(one.share)}" for one in others if one.share >= 0.005
    ]
    if rest:
        sentence += f", {join(rest)}"
    overlapping = [one for one in others if one.high > first.low]
    if overlapping:
        sentence += (
            f"; the interval of {component_words(overlapping[0])} overlaps with it, so that which "
            "matters more is not settled"
        )
    return f"{sentence}."


def share_words(value: float) -> str:
    """A share in percent, with a digit more where it is small."""
    return f"{100 * value:.0f} %" if value >= 0.0995 or not value else f"{100 * value:.1f} %"
