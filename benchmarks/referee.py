"""What the referee's rules reach in simulated studies, beside the tests of textbooks.

    python benchmarks/referee.py                 # 2,000 studies a cell, some minutes on one core
    python benchmarks/referee.py --quick         # 200, for a look
    python benchmarks/referee.py --json out.json

Every cell is a design (methods, seeds, rows, how much each varies), and every figure a share of its
studies. ``docs/referee.md`` has the rules in words, their targets, and this table.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from common.flags import positive
from simulation import figures, table
from simulation.cells import Cell
from simulation.figures import Figures
from simulation.table import Part

_STUDIES, _QUICK_STUDIES = 2000, 200
# A cell with one pair has a sixth of the pairs that a cell of four methods has.
_MORE_FOR_ONE_PAIR = 5

_Counted = list[tuple[Cell, Figures]]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One thing that is asked, and what was found."""

    what: str
    asked: str
    found: str
    met: bool


def _sections() -> list[tuple[str, Part, Callable[[Cell, int], Figures]]]:
    rivals = {
        "wrong": "these rules",
        "wrong_few_raised": "raised below five seeds only",
        "wrong_own_variances": "own variances",
        "wrong_first_order": "ratios to first order",
        "holm_welch": "Holm–Welch",
        "games_howell": "Games–Howell",
        "pooled_tukey": "pooled Tukey",
        "coverage": "coverage",
        "row_share": "rows' share of V",
        "residual_share": "runs' share of V",
    }
    return [
        (
            "equal",
            Part(
                title="Equal methods: some pair is called different, %",
                cells=table.equal_cells(),
                figures=rivals,
                most={"wrong": 7.5},
            ),
            figures.equal_figures,
        ),
        (
            "skewed",
            Part(
                title="The same, seeds exponential: some pair is called different, %",
                cells=table.skewed_cells(),
                figures=rivals,
                most={"wrong": 10.0},
            ),
            figures.equal_figures,
        ),
        (
            "rare",
            Part(
                title="Two equal methods, one of which scores on few rows: called different, %",
                cells=table.rare_cells(),
                figures={key: rivals[key] for key in ("wrong", "coverage", "row_share")},
                most={},
            ),
            figures.equal_figures,
        ),
        (
            "margin",
            Part(
                title="Some methods are worse by the margin, and the cheaper ones, %",
                cells=table.margin_cells(),
                figures={
                    "worse_recommended": "a worse one is recommended",
                    "called_equivalent": "some such pair is called equivalent",
                    "recommended": "something is recommended",
                },
                most={"worse_recommended": 7.0, "called_equivalent": 7.0},
            ),
            figures.margin_figures,
        ),
        (
            "baseline",
            Part(
                title="No method is better than the best baseline, %",
                cells=table.baseline_cells(),
                figures={"recommended": "one is recommended", "none": "none is said"},
                most={"recommended": 7.5},
            ),
            figures.baseline_figures,
        ),
        (
            "power",
            Part(
                title="Truly different pairs that are called rightly, %",
                cells=table.power_cells(),
                figures={
                    "rules": "these rules",
                    "few_raised": "raised below five seeds only",
                    "own_variances": "own variances",
                    "holm_welch": "Holm–Welch",
                    "games_howell": "Games–Howell",
                    "pooled_tukey": "pooled Tukey",
                },
                most={},
            ),
            figures.power_figures,
        ),
        (
            "adaptive",
            Part(
                title="Looks at 3, 5 and 10 seeds, %",
                cells=table.adaptive_cells(),
                figures={
                    "pairs_wrong": "a wrong verdict (all pairs to be decided)",
                    "pairs_seeds": "seeds",
                    "recommendation_wrong": "a wrong verdict (recommendation to be decided)",
                    "recommendation_worse_recommended": "a worse one is recommended",
                    "recommendation_best_found": "the best is recommended",
                    "recommendation_seeds": "seeds",
                },
                most={},
            ),
            figures.adaptive_figures,
        ),
        (
            "fixed",
            Part(
                title="The same with a fixed number of seeds, %",
                cells=table.fixed_cells(),
                figures={"best_found": "the best is recommended"},
                most={},
            ),
            figures.fixed_figures,
        ),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=positive, help=f"of a cell; {_STUDIES} by default")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_STUDIES} studies of a cell")
    parser.add_argument("--only", nargs="+", choices=[name for name, *_ in _sections()])
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all figures are written")
    arguments = parser.parse_args(argv)
    studies = arguments.studies or (_QUICK_STUDIES if arguments.quick else _STUDIES)
    started = time.perf_counter()
    found: dict[str, _Counted] = {}
    for name, part, count in _sections():
        if arguments.only and name not in arguments.only:
            continue
        results: _Counted = []
        for cell in part.cells:
            num = studies * (_MORE_FOR_ONE_PAIR if cell.methods + cell.baselines == 2 else 1)
            results.append((cell, count(cell, num)))
        found[name] = results
        print(table.markdown(part, results), end="\n\n", flush=True)
    asked = what_is_asked(found)
    if asked:
        print("### Targets\n\n| figure | target | found | |\n| --- | --- | --- | --- |")
    for one in asked:
        print(f"| {one.what} | {one.asked} | {one.found} | {'met' if one.met else '**missed**'} |")
    seconds = time.perf_counter() - started
    print(f"\n{studies:,} studies a cell, {seconds:.0f} s.", file=sys.stderr)
    if arguments.json:
        content = {
            "studies": studies,
            "seconds": seconds,
            "asked": [asdict(one) for one in asked],
            "cells": {
                name: [{**asdict(cell), "figures": _finite(values)} for cell, values in results]
                for name, results in found.items()
            },
        }
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def what_is_asked(found: dict[str, _Counted]) -> list[Asked]:
    """Every figure that is asked and was counted."""
    checks: list[Asked] = []

    def at_most(what: str, section: str, key: str, any_cell: float, mean: float | None) -> None:
        cells = [(c, f[key]) for c, f in found.get(section, []) if not math.isnan(f[key])]
        # Fewer than three seeds are another line.
        cells = [(c, value) for c, value in cells if c.seeds >= 3]
        if not cells:
            return
        worst = max(cells, key=lambda pair: pair[1])
        checks.append(
            Asked(
                what=f"{what}, any cell",
                asked=f"at most {any_cell} %",
                found=f"{worst[1]:.1f} % ({worst[0].name})",
                met=worst[1] <= any_cell,
            )
        )
        if mean is not None:
            average = sum(value for _, value in cells) / len(cells)
            checks.append(
                Asked(
                    what=f"{what}, mean of cells of three seeds or more",
                    asked=f"at most {mean} %",
                    found=f"{average:.2f} %",
                    met=average <= mean,
                )
            )

    at_most("some pair of equal methods called different", "equal", "wrong", 7.5, 5.5)
    few = [f["wrong"] for c, f in found.get("equal", []) if c.seeds < 3]
    if few:
        checks.append(
            Asked(
                what="the same with fewer than three seeds",
                asked="0 %",
                found=f"{max(few):.1f} %",
                met=max(few) == 0.0,
            )
        )
    at_most("the same with skewed seeds at ratio 10", "skewed", "wrong", 10.0, None)
    at_most("a method worse by the margin recommended", "margin", "worse_recommended", 7.0, 5.0)
    at_most("called equivalent at the margin", "margin", "called_equivalent", 7.0, 5.0)
    at_most("recommended though equal to the best baseline", "baseline", "recommended", 7.5, None)
    checks += _coverage(found.get("equal", []))
    checks += _power(found.get("power", []))
    return checks


def _coverage(results: _Counted) -> list[Asked]:
    covered = [(c, f) for c, f in results if not math.isnan(f["coverage"])]
    if not covered:
        return []
    low = min(covered, key=lambda pair: pair[1]["coverage"])
    seeds_lead = [(c, f) for c, f in covered if f["row_share"] < 0.5 and f["residual_share"] < 0.5]
    checks = [
        Asked(
            what="coverage of unadjusted intervals, skewed seeds aside",
            asked="at least 93 %",
            found=f"{low[1]['coverage']:.1f} % ({low[0].name})",
            met=low[1]["coverage"] >= 93.0,
        )
    ]
    if seeds_lead:
        high = max(seeds_lead, key=lambda pair: pair[1]["coverage"])
        checks.append(
            Asked(
                what="the same where rows and runs make less than half of V",
                asked="at most 97.5 %",
                found=f"{high[1]['coverage']:.1f} % ({high[0].name})",
                met=high[1]["coverage"] <= 97.5,
            )
        )
    return checks


def _power(results: _Counted) -> list[Asked]:
    checks = []
    for few, points in ((True, 15.0), (False, 10.0)):
        gaps = [(c, f["holm_welch"] - f["rules"]) for c, f in results if (c.seeds == 3) == few]
        if gaps:
            worst = max(gaps, key=lambda pair: pair[1])
            checks.append(
                Asked(
                    what=f"power below Holm–Welch at {'three' if few else 'five or more'} seeds",
                    asked=f"at most {points:.0f} points",
                    found=f"{worst[1]:.1f} points ({worst[0].name})",
                    met=worst[1] <= points,
                )
            )
    return checks


def _finite(values: Figures) -> dict[str, float | None]:
    return {key: None if math.isnan(value) else value for key, value in values.items()}


if __name__ == "__main__":
    main()
