"""Which method of a study to use: a pure function of its results.

1. Only methods that ended well and were tested take part; while one may still change the answer,
   nothing is recommended.
2. Where there are limits, only methods that are shown to meet each of them may be recommended: a
   cost that was not measured is not shown to be within a limit. What may be lost on further test
   sets (``max_drop``) is a limit as well.
3. The rules of ``referee/recommend.py`` say which, by the deciding metric on the test set, over the
   differences, errors and degrees of freedom that the comparisons hold. Every baseline that has
   the metric takes part.
4. What was made elsewhere has no cost here, so that it counts as dearer than every method of the
   study: it is recommended where it is shown better than all of them. One of two runs takes no
   part, as nothing may be said of it and it would keep the rest from being judged.
5. Of equivalent methods the cheapest is recommended: the smaller adapter, then the faster epoch,
   then fewer parameters, then the better result, then the name.
6. Where seeds follow from looks, the recommendation is the last look's (``last_look.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bakeoff.decide.changes import what_would_change
from bakeoff.decide.drops import drop_breaches, drops_of
from bakeoff.decide.evidence import evidence_from
from bakeoff.decide.last_look import last_look, look_words
from bakeoff.decide.limits import Limits
from bakeoff.decide.money import prices_of
from bakeoff.decide.referee.advice import method_among, recommendation
from bakeoff.decide.referee.evidence import Evidence
from bakeoff.decide.referee.pairs import MIN_SEEDS
from bakeoff.decide.referee.question import Question
from bakeoff.decide.sentences import (
    cost_of_needs,
    fallback_words,
    none_within,
    reached,
    unfinished_words,
)
from bakeoff.decide.verdicts import (
    amount_words,
    best_word,
    comparison,
    cost_order,
    epochs_of,
    finished_methods,
    label_of,
    may_still_finish,
    metric_words,
    rank,
    tested,
    with_unit,
)
from bakeoff.formatting import join
from bakeoff.metrics.judge import NAME as JUDGE
from bakeoff.runs.decisions import LookRecord
from bakeoff.runs.records import (
    DecisionRecord,
    Estimate,
    Needs,
    Outside,
    Recommendation,
    Results,
    RunnerUp,
)
from bakeoff.runs.settings import setting

_FEWEST_ROWS = 2
_BY_PLACE = (
    "Nothing is called equal here, and no margin changes that, as the judge prefers by position "
    "(its flags are in the report); ask another judge, or give judge.rubric clearer words."
)


def recommend(results: Results, limits: Limits | None = None) -> Recommendation:
    """Applies the rules above to a run's results, complete or partial.

    Args:
        results: what the run found; its own recommendation is not looked at, unless the results
            are of the first edition's rules: these kept too little to choose again, so that what
            was recommended then is handed out.
        limits: what a method may cost at most.

    Returns:
        The recommendation. Its ``why`` begins with what the best baseline reaches.

    Raises:
        ConfigError: a limit is in another currency than the study's prices.
    """
    limits = limits or Limits()
    limits.check_currency(prices_of(results).currency)
    outside = {
        name: breaches
        for name, method in finished_methods(results).items()
        if (breaches := [*limits.breaches(results, method), *drop_breaches(results, name)])
    }
    drops = drops_of(results)
    inside = [name for name in _candidates(results) if name not in outside]
    blank = Recommendation(
        method=None,
        verdict="none",
        why="",
        limits=(*limits.described(results), *(drop.described for drop in drops)),
        outside=tuple(
            Outside(method=name, reasons=tuple(breach.reason for breach in breaches))
            for name, breaches in outside.items()
        ),
    )
    if results.decision is None:
        return _as_stored(results, blank)
    found = _refusal(results, inside, blank)
    if found is not None:
        leader = min(inside or outside, key=lambda name: rank(results, name), default=None)
        return replace(found, why=_sentences(reached(results, leader), found.why))
    case = _case(results, results.decision, inside, has_outside=bool(outside))
    found = _decided(case)
    # Other methods than a look had are asked as strictly as pairs are judged.
    unlimited = replace(case.question, scope="", alpha=1.0 - case.decision.level)
    kept = [] if found.method is None else [drop.kept(results, found.method) for drop in drops]
    return replace(
        found,
        why=_sentences(found.why, *kept),
        limits=blank.limits,
        outside=blank.outside,
        changes=what_would_change(
            results,
            inside,
            outside,
            pick=found.method,
            equal=found.equivalent,
            again=lambda names: method_among(case.evidence, replace(unlimited, candidates=names)),
        ),
    )


def shown_recommendation(results: Results, limits: Limits | None = None) -> Recommendation:
    """The recommendation that the results hold; made again only where there are limits."""
    if limits is None or not limits.items():
        return results.recommendation
    return recommend(results, limits)


@dataclass(frozen=True, kw_only=True)
class _Case:
    """A study as the rules take it."""

    results: Results
    decision: DecisionRecord
    inside: Sequence[str]
    evidence: Evidence
    question: Question
    look: LookRecord | None


def _case(
    results: Results, decision: DecisionRecord, inside: Sequence[str], *, has_outside: bool
) -> _Case:
    metric, look = results.primary, last_look(results, inside)
    were_behind = () if look is None else tuple(look.behind)
    finished = finished_methods(results)
    estimates = {name: tested(results, m) for name, m in finished.items()} | {
        name: tested(results, b) for name, b in results.baselines.items()
    }
    known = {name: found for name, found in estimates.items() if found is not None}
    baselines = [name for name in results.baselines if name in known]
    evidence = evidence_from(
        {name: found.mean for name, found in known.items()},
        {name: _num_seeds(results, name, found) for name, found in known.items()},
        [c for c in results.comparisons if c.metric == metric.name and c.set == "test"],
        results.data.test.examples,
        baselines,
    )
    prices = {name: cost_order(name, method)[:-1] for name, method in finished.items()}
    places = {price: float(place) for place, price in enumerate(sorted(set(prices.values())))}
    margin = decision.margins.get(metric.name)
    question = Question(
        higher_is_better=metric.higher_is_better,
        margin=0.0 if margin is None else margin.value,
        alpha=1.0 - decision.level if look is None else look.alpha,
        baselines=baselines,
        candidates=[name for name in inside if name not in were_behind],
        costs={name: places[price] for name, price in prices.items()} if len(places) > 1 else None,
        unit=unit_of(results, metric.name, evidence.num_rows),
        metric=metric.name,
        written=lambda value: amount_words(metric.unit, value),
        labels={name: label_of(results, name) for name in baselines},
        scope=_scope(has_outside=has_outside, are_behind=bool(were_behind)),
        why_no_margin=_BY_PLACE if margin is not None and margin.source == "judge" else "",
    )
    return _Case(
        results=results,
        decision=decision,
        inside=inside,
        evidence=evidence,
        question=question,
        look=look,
    )


def _scope(*, has_outside: bool, are_behind: bool) -> str:
    """Which methods the rules speak of, where it is not all of them."""
    said = ["within the limits"] if has_outside else []
    said += ["still in question after earlier looks"] if are_behind else []
    return f" {' and '.join(said)}" if said else ""


def unit_of(results: Results, metric: str, number: int) -> str:
    """What the comparisons by a metric count, in the plural: rows, or groups of rows.

    Args:
        results: the study's. metric: its name. number: of what they count.
    """
    is_grouped = setting(results.study, "task.group") is not None
    # A judge may have seen some of the rows alone.
    # Cells of a crossed study are compared on the rows that all of them have.
    rows = results.data.test.examples if results.factors is None else results.factors.rows
    is_by_row = number == rows or (metric == JUDGE and not is_grouped)
    return "rows" if is_by_row else "groups"


def _candidates(results: Results) -> list[str]:
    """Those that may be recommended: what was made elsewhere has one run, or enough of them."""
    return [
        name
        for name, method in finished_methods(results).items()
        if method.external is None or len(method.seeds) == 1 or len(method.seeds) >= MIN_SEEDS
    ]


def _num_seeds(results: Results, name: str, found: Estimate) -> int:
    method = results.methods.get(name)
    return max(1, len(found.per_seed), 0 if method is None else len(method.seeds))


def _decided(case: _Case) -> Recommendation:
    """What the rules say, in the study's words and with what it would take to know more."""
    results = case.results
    found = recommendation(case.evidence, case.question)
    look = case.look
    leader = found.method or min(case.inside, key=lambda name: rank(results, name))
    are_too_few = found.needs is not None and not all(
        case.evidence.tests.has_seeds[k, k]
        for k in map(case.evidence.position, (*case.inside, *case.question.baselines))
    )
    needs = None if found.needs is None else _priced(case, found.needs, found.undecided)
    fallback, decision = found.fallback, replace(case.decision, level=1.0 - case.question.alpha)
    return replace(
        found,
        needs=needs,
        behind=(*found.behind, *(() if look is None else look.behind)),
        why=_sentences(
            reached(results, leader),
            found.why,
            "" if look is None else look_words(look),
            cost_of_needs(needs, are_too_few=are_too_few),
            "" if fallback is None else fallback_words(results, decision, fallback),
        ),
        runners_up=() if found.method is None else _runners_up(case, found.method),
    )


def _priced(case: _Case, needs: Needs, open_: Sequence[str]) -> Needs:
    """What deciding takes beyond what is there, each method alone; None where that is not known."""
    total = 0.0
    for name in open_:
        k = case.evidence.position(name)
        method, have = case.results.methods[name], case.evidence.num_seeds[k]
        cost, epochs = method.cost, epochs_of(case.results, method)
        seeds = have if case.evidence.fixed[k] else max(have, needs.seeds or 0)
        if seeds > have:
            if epochs is None or cost.epoch_seconds is None:
                return needs
            total += (seeds - have) * epochs * cost.epoch_seconds.mean
        if needs.rows is not None:
            speed = cost.generation_rows_per_second
            if not speed or case.question.unit != "rows":
                return needs
            total += (needs.rows - case.evidence.num_rows) * seeds / speed
    return replace(needs, seconds=total)


def _refusal(
    results: Results, inside: Sequence[str], blank: Recommendation
) -> Recommendation | None:
    """Why nothing can be recommended at all, or None where something may be."""
    finished = finished_methods(results)
    waiting = [name for name, m in results.methods.items() if may_still_finish(m)]
    if not finished:
        unscored = [n for n, m in results.methods.items() if m.state.is_eligible and m.test]
        if unscored and not waiting:
            return replace(blank, verdict="undecided", why=_unscored_words(results, unscored))
        reason = unfinished_words(waiting) if waiting else "none ended well"
        why = f"Nothing is recommended: no method has a test result, as {reason}."
        return replace(blank, verdict="undecided" if waiting else "none", why=why)
    if waiting:
        leader = min(finished, key=lambda name: rank(results, name))
        why = (
            f"Nothing is recommended yet: {unfinished_words(waiting)}; so far {leader} has the "
            f"{best_word(results)} {metric_words(results)}, {with_unit(results, finished[leader])}."
        )
        return replace(blank, verdict="undecided", why=why)
    if results.data.test.examples < _FEWEST_ROWS:
        why = (
            "Nothing is recommended: one test row says nothing of others; give task.examples.test "
            "two or more."
        )
        return replace(blank, verdict="undecided", why=why)
    if not inside and not blank.outside:
        why = (
            f"Nothing is recommended: of {join(list(finished))}, made elsewhere, there are too few "
            f"runs; give one, or {MIN_SEEDS}."
        )
        return replace(blank, verdict="undecided", why=why)
    if not inside:
        misses = {found.method: found.reasons for found in blank.outside}
        return replace(blank, why=none_within(blank.limits, misses))
    return None


def _unscored_words(results: Results, names: Sequence[str]) -> str:
    """Why methods that were tested cannot be compared: the metric that decides has no values."""
    text = f"Nothing is recommended: {join(names)} ended well, but without {metric_words(results)}"
    judge = results.judge
    if results.primary.name != JUDGE or judge is None:
        return f"{text}, by which this study decides."
    why = f": {judge.why_fewer.rstrip('.')}" if judge.why_fewer else ""
    return (
        f"{text}, as the judge gave no verdicts{why}. Once it can answer, the same command asks it "
        "for what is missing; nothing is trained again."
    )


def _runners_up(case: _Case, pick: str) -> tuple[RunnerUp, ...]:
    """The others that took part, the best first, with what each has more of it than the pick."""
    results, found = case.results, []
    for name in sorted(case.inside, key=lambda name: rank(results, name)):
        if name == pick:
            continue
        gap = comparison(results, name, pick)
        means = [case.evidence.means[case.evidence.position(one)] for one in (name, pick)]
        found.append(
            RunnerUp(
                method=name,
                difference=means[0] - means[1] if gap is None else gap.difference,
                low=None if gap is None else gap.low,
                high=None if gap is None else gap.high,
                verdict="undecided" if gap is None else gap.verdict,
            )
        )
    return tuple(found)


def _as_stored(results: Results, blank: Recommendation) -> Recommendation:
    """What the first edition's rules recommended; within limits only where that meets them."""
    stored = results.recommendation
    if not blank.limits:
        return stored
    outside = {found.method for found in blank.outside}
    if stored.method is not None and stored.method not in outside:
        return replace(stored, limits=blank.limits, outside=blank.outside)
    which = "it recommends none" if stored.method is None else f"it recommends {stored.method}"
    why = (
        "Nothing is recommended within the limits: an earlier version wrote this run, and kept too "
        f"little of its comparisons to choose again. Without limits {which}. Run the study again "
        "in a new folder to choose within limits."
    )
    return replace(blank, verdict="undecided", why=why)


def _sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)
