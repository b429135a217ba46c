"""The cells that the referee is held to, and the table that they make."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simulation.cells import Cell, Kind
from simulation.figures import Figures

_SEEDS = (3, 5, 10)
_KINDS: tuple[tuple[Kind, str], ...] = (("accuracy", "accuracy"), ("tokens", "NLL over tokens"))
# Noise of runs that leaves seeds to be nearly all of the variance.
_QUIET = 0.02


@dataclass(frozen=True, kw_only=True)
class Part:
    """Cells of which the same is counted.

    Attributes:
        title: above the table. cells: its lines. figures: column titles by figure.
        most: at most so many percent in any cell, by figure.
    """

    title: str
    cells: Sequence[Cell]
    figures: Mapping[str, str]
    most: Mapping[str, float]


def equal_cells() -> list[Cell]:
    """All methods are equal."""
    found = [
        Cell(name=f"{m} methods, {s} seeds", methods=m, seeds=s, noise=_QUIET)
        for m in (2, 4, 12)
        for s in (2, *_SEEDS)
    ]
    found += [
        Cell(
            name=f"{m} methods, {v} at ratio 10, {s} seeds",
            methods=m,
            seeds=s,
            ratio=10.0,
            varied=v,
            noise=_QUIET,
        )
        for m, v in ((2, 1), (4, 1), (4, 2), (12, 1), (12, 6))
        for s in _SEEDS
    ]
    found += [
        Cell(name=f"method by row 0.1, {n} rows, {s} seeds", seeds=s, rows=n, interaction=0.1)
        for n in (50, 300, 2000)
        for s in _SEEDS
    ]
    found += [
        Cell(
            name=f"12 methods, {v} at ratio 10, method by row 0.1, 3 seeds",
            methods=12,
            ratio=10.0,
            varied=v,
            interaction=0.1,
        )
        for v in (0, 1, 6)
    ]
    found += [
        Cell(name=f"noise of runs alone, {s} seeds", seeds=s, seed_spread=0.0) for s in _SEEDS
    ]
    found += [
        Cell(name=f"{title}, {n} rows, {s} seeds", kind=kind, rows=n, seeds=s, interaction=0.1)
        for kind, title in _KINDS
        for n in (50, 300, 2000)
        for s in _SEEDS
    ]
    found += [
        Cell(name=f"macro-F1, a label of 10 rows, {s} seeds", kind="macro_f1", seeds=s)
        for s in _SEEDS
    ]
    found += [
        Cell(
            name=f"{m} methods, a baseline of one run, {s} seeds",
            methods=m,
            seeds=s,
            baselines=1,
            interaction=0.1,
        )
        for m, s in ((4, 3), (4, 5), (4, 10), (12, 3))
    ]
    found += [
        Cell(
            name=f"two outputs without seeds, {n} rows",
            methods=0,
            baselines=2,
            rows=n,
            interaction=0.1,
        )
        for n in (50, 300)
    ]
    return found


def skewed_cells() -> list[Cell]:
    """All methods are equal, and their seeds exponential."""
    return [
        Cell(
            name=f"{m} methods, {v} at ratio 10, {s} seeds",
            methods=m,
            seeds=s,
            varied=v,
            ratio=10.0,
            skewed=True,
            noise=_QUIET,
        )
        for m, v in ((2, 1), (4, 1), (12, 6))
        for s in _SEEDS
    ]


def rare_cells() -> list[Cell]:
    """Two methods with the same mean, of which one has it from a few rows."""
    return [
        Cell(
            name=f"{share:.0%} of rows against half of them, {n} rows",
            methods=2,
            rows=n,
            kind="rare",
            rare=share,
        )
        for share in (0.02, 0.05, 0.1)
        for n in (50, 300, 2000)
    ]


def margin_cells() -> list[Cell]:
    """Some methods are worse by the margin, exactly."""
    found = []
    for m, s, margin in (
        (2, 3, 0.02),
        (2, 5, 0.02),
        (4, 3, 0.01),
        (4, 3, 0.02),
        (4, 3, 0.04),
        (4, 5, 0.02),
        (4, 10, 0.02),
        (12, 3, 0.03),
        (12, 5, 0.02),
    ):
        for worse in {1, m - 1}:
            for interaction in (0.0, 0.1):
                found.append(
                    Cell(
                        name=f"{worse} of {m} worse by {margin}, method by row {interaction}, "
                        f"{s} seeds",
                        methods=m,
                        seeds=s,
                        interaction=interaction,
                        shifts=(0.0,) * (m - worse) + (-margin,) * worse,
                        margin=margin,
                    )
                )
    return found


def baseline_cells() -> list[Cell]:
    """No method is better than the best baseline."""
    return [
        Cell(
            name=f"{m} methods, {b} of one run, method by row {i}, {s} seeds",
            methods=m,
            seeds=s,
            baselines=b,
            interaction=i,
            margin=0.02,
        )
        for m, b in ((1, 1), (2, 1), (4, 1), (4, 2), (12, 1))
        for i in (0.0, 0.1)
        for s in (3, 5)
    ]


def power_cells() -> list[Cell]:
    """One method is better, or each by as much as the next; rows say nothing of their own."""
    found = []
    for m in (2, 4, 12):
        for s, gap in ((3, 0.04), (5, 0.025), (10, 0.015)):
            one = (gap,) + (0.0,) * (m - 1)
            found.append(
                Cell(
                    name=f"one of {m} better by {gap}, {s} seeds",
                    methods=m,
                    seeds=s,
                    shifts=one,
                    noise=_QUIET,
                )
            )
    found += [
        Cell(
            name=f"one of 12 better by {gap}, six at ratio 10, {s} seeds",
            methods=12,
            seeds=s,
            shifts=(0.0,) * 11 + (gap,),
            ratio=10.0,
            varied=6,
            noise=_QUIET,
        )
        for s, gap in ((3, 0.06), (5, 0.04), (10, 0.025))
    ]
    for s, gap in ((3, 0.02), (5, 0.015), (10, 0.01)):
        found.append(
            Cell(
                name=f"4 methods in steps of {gap}, {s} seeds",
                seeds=s,
                shifts=tuple(gap * k for k in range(4)),
                noise=_QUIET,
            )
        )
    found += [
        Cell(
            name=f"one of 4 better by {gap}, two at ratio 10, {s} seeds",
            seeds=s,
            shifts=(0.0, 0.0, gap, 0.0),
            ratio=10.0,
            varied=2,
            noise=_QUIET,
        )
        for s, gap in ((3, 0.06), (5, 0.04), (10, 0.025))
    ]
    return found


def adaptive_cells() -> list[Cell]:
    """Methods that are equal, and one that is better."""
    return [
        Cell(name="4 equal methods", margin=0.005, noise=_QUIET),
        Cell(name="4 equal methods, two at ratio 10", varied=2, ratio=10.0, noise=_QUIET),
        Cell(
            name="one of 4 better by 0.015",
            shifts=(0.015, 0.0, 0.0, 0.0),
            margin=0.005,
            noise=_QUIET,
        ),
        Cell(
            name="one of 4 worse by the margin of 0.02",
            shifts=(0.0, 0.0, 0.0, -0.02),
            margin=0.02,
            noise=_QUIET,
        ),
        Cell(
            name="3 of 4 worse by the margin of 0.01",
            shifts=(0.0, -0.01, -0.01, -0.01),
            margin=0.01,
            noise=_QUIET,
        ),
    ]


def fixed_cells() -> list[Cell]:
    """One better method, with each number of seeds that there is a look at."""
    return [
        Cell(
            name=f"one of 4 better by 0.015, {s} seeds",
            seeds=s,
            shifts=(0.015, 0.0, 0.0, 0.0),
            margin=0.005,
            noise=_QUIET,
        )
        for s in _SEEDS
    ]


def markdown(part: Part, results: Sequence[tuple[Cell, Figures]]) -> str:
    """The part's table; a figure above what is asked is set in bold."""
    lines = [f"### {part.title}", ""]
    lines.append(f"| cell | {' | '.join(part.figures.values())} |")
    lines.append("| --- |" + " --- |" * len(part.figures))
    for cell, figures in results:
        texts = []
        for key in part.figures:
            value = figures.get(key, math.nan)
            text = "" if math.isnan(value) else f"{value:.2f}" if "share" in key else f"{value:.1f}"
            texts.append(f"**{text}**" if value > part.most.get(key, math.inf) else text)
        lines.append(f"| {cell.name} | {' | '.join(texts)} |")
    means = []
    for key in part.figures:
        values = [f[key] for _, f in results if not math.isnan(f.get(key, math.nan))]
        means.append(f"{sum(values) / len(values):.2f}" if values else "")
    lines.append(f"| mean of cells | {' | '.join(means)} |")
    return "\n".join(lines)
