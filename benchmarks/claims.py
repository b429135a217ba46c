"""Every claim's rule on planted truths: how often it is right, and how often wrong.

    python benchmarks/claims.py --runs 200

In two worlds of each claim, one in which it holds and one in which it does not, studies are drawn
and judged; every claim is corrected for as in a run of all of them. Right: the verdict of that
world. Wrong: the opposite one. The rest is undecided.

The second table has a difference of two methods that lies on its threshold, so that either verdict
is wrong: effects are taken seed by seed, though the seeds of two methods are no pairs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bakeoff.claims.contract import SIZES
from bakeoff.claims.registry import BUILT_IN, claims_named
from bakeoff.claims.simulation import planted_table, wrong_on_the_edge

_LEAST_RIGHT, _MOST_WRONG = 0.90, 0.025
_EDGES: Mapping[str, Mapping[str, Any]] = {
    "equal variances": {},
    "variances 1 to 10": {"ratio": 10.0},
    "variances 1 to 10, half of each shared by a seed": {"ratio": 10.0, "shared": 0.5},
    "equal variances, test rows as much": {"rows": 1.0},
    "equal variances, test rows ten times as much": {"rows": 10.0},
    "exponential seeds, equal": {"skewed": True},
    "exponential seeds, 1 to 10": {"ratio": 10.0, "skewed": True},
}
_SEEDS = (5, 6)


def options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--size", choices=list(SIZES), default="full")
    parser.add_argument("--edge-runs", type=int, default=2000, help="0 leaves the edge out")
    parser.add_argument("--out", type=Path, help="also writes the table there, as Markdown")
    return parser.parse_args()


def edge_lines(runs: int) -> list[str]:
    """The table of what is called of an effect that lies on its threshold."""
    heads = [f"{seeds} seeds, {word}" for seeds in _SEEDS for word in ("above", "below")]
    lines = [f"| on the threshold | {' | '.join(heads)} |", "| --- " * (1 + len(heads)) + "|"]
    for words, cell in _EDGES.items():
        shares = [one for seeds in _SEEDS for one in wrong_on_the_edge(seeds, runs=runs, **cell)]
        lines.append(f"| {words} | {' | '.join(f'{one:.1%}' for one in shares)} |")
    return lines


def main() -> int:
    """Prints the table; 1 where a rule misses what is asked of it."""
    args = options()
    chosen = claims_named((), quick=True) if args.size == "quick" else claims_named(BUILT_IN)
    rows = planted_table(chosen, SIZES[args.size], runs=args.runs, family=len(chosen))
    lines = [
        "| claim | right where true | wrong | right where false | wrong | smallest effect |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    missed = []
    for row in rows:
        right = (row["right_supported"], row["right_contradicted"])
        wrong = (row["wrong_supported"], row["wrong_contradicted"])
        lines.append(
            f"| `{row['claim']}` | {right[0]:.1%} | {wrong[0]:.1%} | {right[1]:.1%} | "
            f"{wrong[1]:.1%} | {row['smallest_effect']:.2g} {chosen[row['claim']].unit} |"
        )
        if min(right) < _LEAST_RIGHT or max(wrong) > _MOST_WRONG:
            missed.append(row["claim"])
    if args.edge_runs:
        lines += ["", *edge_lines(args.edge_runs)]
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if args.out is not None:
        args.out.write_text(text, encoding="utf-8")
    if missed:
        sys.stdout.write(f"missed: {', '.join(missed)}\n")
    return int(bool(missed) and args.size == "full")


if __name__ == "__main__":
    sys.exit(main())
