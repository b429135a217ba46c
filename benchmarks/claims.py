"""Every claim's rule on planted truths: how often it is right, and how often wrong.

    python benchmarks/claims.py --runs 200

In two worlds of each claim, one in which it holds and one in which it does not, studies are drawn
and judged; every claim is corrected for as in a run of all of them. Right: the verdict of that
world. Wrong: the opposite one. The rest is undecided.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bakeoff.claims.contract import SIZES
from bakeoff.claims.registry import BUILT_IN, claims_named
from bakeoff.claims.simulation import planted_table

_LEAST_RIGHT, _MOST_WRONG = 0.90, 0.025


def options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--size", choices=list(SIZES), default="full")
    parser.add_argument("--out", type=Path, help="also writes the table there, as Markdown")
    return parser.parse_args()


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
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if args.out is not None:
        args.out.write_text(text, encoding="utf-8")
    if missed:
        sys.stdout.write(f"missed: {', '.join(missed)}\n")
    return int(bool(missed) and args.size == "full")


if __name__ == "__main__":
    sys.exit(main())
