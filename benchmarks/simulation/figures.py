"""What is counted over the simulated studies of a cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from bakeoff.decide.referee.components import (
    Components,
    SeedVariance,
    components_of,
    own_variances,
    raised_variances,
)
from bakeoff.decide.referee.influence import Bools, Floats, Influence, of_means
from bakeoff.decide.referee.looks import NOTHING_SAID, Aim, Standing, look, look_alphas, wants_seeds
from bakeoff.decide.referee.pairs import judge, pair_indices, pair_tests
from bakeoff.decide.referee.recommend import Choice, Outcome, choose
from simulation.cells import Cell, draw, first_order_ratios, parts
from simulation.rivals import games_howell, holm_welch, pooled_tukey

ALPHA = 0.05
RIVALS: dict[str, Callable[[Floats, float], Bools]] = {
    "holm_welch": holm_welch,
    "games_howell": games_howell,
    "pooled_tukey": pooled_tukey,
}
_AIMS: tuple[Aim, ...] = ("pairs", "recommendation")
_CHUNK_SCORES = 4_000_000
_TINY = 1e-30
Figures = dict[str, float]


def chunks(cell: Cell, studies: int) -> Iterator[tuple[list[Components], Floats]]:
    """The cell's studies in parts that fit into a few hundred MB; always the same ones.

    Yields:
        The variance components of each method, baselines last, and [B, S, M] the seeds' statistics
        of the methods alone.
    """
    for drawn in _draws(cell, studies):
        yield parts(cell, drawn), _seed_means(cell, drawn)


def _seed_means(cell: Cell, drawn: list[Influence]) -> Floats:
    means = [influence.u.mean(axis=-1) for influence in drawn[: cell.methods]]
    return np.stack(means or [np.empty((0, 0))], axis=-1)


def _draws(cell: Cell, studies: int) -> Iterator[list[Influence]]:
    rng = np.random.default_rng([cell.methods, cell.seeds, cell.rows, *cell.name.encode()])
    size = max(1, _CHUNK_SCORES // (max(1, cell.methods) * cell.seeds * cell.rows))
    for start in range(0, studies, size):
        yield draw(cell, rng, min(size, studies - start))


def equal_figures(cell: Cell, studies: int) -> Figures:
    """Of methods that are all equal: studies with a wrong call, and coverage, in percent."""
    counts: dict[str, list[Floats]] = {}

    def add(name: str, values: Bools | Floats) -> None:
        counts.setdefault(name, []).append(np.ravel(values).astype(np.float64))

    for drawn in _draws(cell, studies):
        methods = parts(cell, drawn)
        tests = pair_tests(methods)
        i, j = pair_indices(len(methods))
        add("wrong", _any_called(methods))
        for name, rule in _OTHER_RULES.items():
            add(f"wrong_{name}", _any_called(methods, rule(methods)))
        if cell.kind == "tokens":
            add("wrong_first_order", _any_called(parts(cell, [*map(first_order_ratios, drawn)])))
        tested = tests.tested[..., i, j]
        add("coverage", (tests.p_different()[..., i, j] > ALPHA)[tested])
        residual = np.stack([m.residual for m in methods], axis=-1)
        whole = np.maximum(tests.variance[..., i, j], _TINY)
        add("row_share", (tests.row_variance[..., i, j] / whole)[tested])
        add("residual_share", ((residual[..., i] + residual[..., j]) / whole)[tested])
        if cell.methods > 1 and cell.seeds > 1:
            means = _seed_means(cell, drawn)
            for name, rival in RIVALS.items():
                add(name, np.asarray(rival(means, ALPHA).any(axis=-1)))
    return {
        name: _mean(values) * (1.0 if name.endswith("share") else 100.0)
        for name, values in counts.items()
    }


def _raised_below_five(methods: Sequence[Components]) -> SeedVariance:
    """Low variances are raised with fewer than five seeds only."""
    return raised_variances(methods, with_more_seeds=0.0)


_OTHER_RULES: dict[str, Callable[[Sequence[Components]], SeedVariance]] = {
    "few_raised": _raised_below_five,
    "own_variances": own_variances,
}


def _any_called(methods: Sequence[Components], seeds: SeedVariance | None = None) -> Bools:
    """[B] whether some pair is called different."""
    return np.asarray(judge(pair_tests(methods, seeds), 0.0, ALPHA).different.any(axis=-1))


def _mean(values: Sequence[Floats]) -> float:
    whole = np.concatenate(values)
    return float(whole.mean()) if whole.size else math.nan


def power_figures(cell: Cell, studies: int) -> Figures:
    """Of methods that differ: the share of truly different pairs called rightly, in percent."""
    shifts = np.array(cell.shifts)
    i, j = pair_indices(cell.methods)
    true = np.sign(shifts[i] - shifts[j])
    counts: dict[str, list[float]] = {}
    for methods, means in chunks(cell, studies):
        tests = pair_tests(methods)
        calls = {"rules": judge(tests, 0.0, ALPHA).different}
        for name, rule in _OTHER_RULES.items():
            calls[name] = judge(pair_tests(methods, rule(methods)), 0.0, ALPHA).different
        calls |= {name: rival(means, ALPHA) for name, rival in RIVALS.items()}
        right = np.sign(tests.difference[..., i, j]) == true
        for name, called in calls.items():
            counts.setdefault(name, []).extend((called & right)[:, true != 0.0].mean(axis=-1))
    return {name: 100.0 * float(np.mean(values)) for name, values in counts.items()}


def margin_figures(cell: Cell, studies: int) -> Figures:
    """Of methods of which some are worse by the margin: those recommended, or called equivalent.

    The worse a method, the cheaper it is, so that a wrong one is taken wherever it can be.
    """
    shifts = np.array(cell.shifts)
    i, j = pair_indices(cell.methods)
    apart = np.abs(shifts[i] - shifts[j]) >= cell.margin * (1.0 - 1e-9)
    bad = np.append(shifts <= shifts.max() - cell.margin * (1.0 - 1e-9), False)
    counts: dict[str, list[float]] = {}
    for methods, _ in chunks(cell, studies):
        tests = pair_tests(methods)
        choice = _choice(cell, methods, costs=shifts.tolist())
        counts.setdefault("worse_recommended", []).extend(bad[choice.method])
        equivalent = judge(tests, cell.margin, ALPHA).equivalent
        counts.setdefault("called_equivalent", []).extend(
            np.asarray(equivalent[:, apart].any(axis=-1))
        )
        counts.setdefault("recommended", []).extend(choice.method >= 0)
    return {name: 100.0 * float(np.mean(values)) for name, values in counts.items()}


def baseline_figures(cell: Cell, studies: int) -> Figures:
    """Of methods that are equal to the best baseline: studies in which one is recommended."""
    counts: dict[str, list[float]] = {}
    for methods, _ in chunks(cell, studies):
        choice = _choice(cell, methods, costs=[0.0] * cell.methods)
        counts.setdefault("recommended", []).extend(choice.method >= 0)
        counts.setdefault("none", []).extend(choice.outcome == Outcome.NONE)
    return {name: 100.0 * float(np.mean(values)) for name, values in counts.items()}


def adaptive_figures(cell: Cell, studies: int) -> Figures:
    """Looks at 3, 5 and 10 seeds: wrong calls, the best one found, in percent, and seeds spent."""
    shifts = np.array(cell.shifts or (0.0,) * cell.methods)
    best = int(np.argmax(shifts))
    is_one = int((shifts == shifts[best]).sum()) == 1
    figures: Figures = {}
    most = replace(cell, seeds=max(look_alphas(ALPHA)))
    for aim in _AIMS:
        wrong, found, misled, spent = [], [], [], []
        for drawn in _draws(most, studies):
            for b in range(drawn[0].u.shape[0]):
                standing, seeds = _looked_at(cell, [influence.u[b] for influence in drawn], aim)
                spent.append(seeds)
                wrong.append(
                    any(
                        _is_wrong(verdict, shifts[i] - shifts[j], cell.margin)
                        for (i, j), verdict in standing.verdicts.items()
                    )
                )
                pick = standing.method
                found.append(pick == best)
                misled.append(pick is not None and shifts[best] - shifts[pick] >= cell.margin)
        figures[f"{aim}_wrong"] = 100.0 * float(np.mean(wrong))
        figures[f"{aim}_seeds"] = float(np.mean(spent))
        if cell.shifts:
            figures[f"{aim}_best_found"] = 100.0 * float(np.mean(found)) if is_one else math.nan
            figures[f"{aim}_worse_recommended"] = 100.0 * float(np.mean(misled))
    return figures


def _looked_at(cell: Cell, scores: Sequence[Floats], aim: Aim) -> tuple[Standing, float]:
    """One study with its looks, and the seeds it took per method. Scores [10, N] of each method."""
    everyone = list(range(cell.methods))
    seeds, standing, wanted = [0] * cell.methods, NOTHING_SAID, everyone
    for num_seeds, alpha in look_alphas(ALPHA).items():
        for k in wanted:
            seeds[k] = num_seeds
        methods = [components_of(of_means(scores[k][: seeds[k]])) for k in everyone]
        standing = look(
            methods,
            standing,
            num_seeds=num_seeds,
            candidates=everyone,
            baselines=[],
            costs=[0.0] * cell.methods,
            higher_is_better=True,
            margin=cell.margin,
            alpha=alpha,
        )
        wanted = wants_seeds(methods, standing, candidates=everyone, aim=aim)
        if not wanted:
            break
    return standing, sum(seeds) / cell.methods


def fixed_figures(cell: Cell, studies: int) -> Figures:
    """The same with a fixed number of seeds: the share of studies in which the best is found."""
    best = int(np.argmax(cell.shifts))
    found: list[float] = []
    for methods, _ in chunks(cell, studies):
        choice = _choice(cell, methods, costs=[0.0] * cell.methods)
        found.extend(choice.method == best)
    return {"best_found": 100.0 * float(np.mean(found))}


def _choice(cell: Cell, methods: Sequence[Components], costs: Sequence[float]) -> Choice:
    return choose(
        pair_tests(methods),
        np.stack([m.mean for m in methods], axis=-1),
        candidates=range(cell.methods),
        baselines=range(cell.methods, len(methods)),
        costs=costs,
        higher_is_better=True,
        margin=cell.margin,
        alpha=ALPHA,
    )


def _is_wrong(verdict: str, true: float, margin: float) -> bool:
    if verdict == "equivalent":
        return abs(true) >= margin
    return (true <= 0.0) if verdict == "better" else (true >= 0.0)
