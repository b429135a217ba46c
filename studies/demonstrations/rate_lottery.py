"""The rate lottery: one shared learning rate against an equal search, and who wins each time.

    python studies/demonstrations/rate_lottery.py STUDY.yaml [--rate 1e-3] [--out DIR] [--set K=V]

runs the study twice into DIR: with every method at the same rate and one seed, as published tables
often are, and as it stands, each method with its own search and all seeds. Then it prints both
rankings. A second call takes up what is there. See docs/demonstrations/rate_lottery.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import kendalltau

import bakeoff
from bakeoff.config import apply_overrides, load_yaml
from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.formatting import counted


def main() -> None:
    """Runs both and prints how they compare."""
    parser = argparse.ArgumentParser(description="One shared rate against an equal search.")
    parser.add_argument("study", type=Path)
    parser.add_argument("--rate", type=float, default=1e-3, help="shared by all methods")
    parser.add_argument("--out", type=Path, help="runs/NAME without")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    given = parser.parse_args()
    try:
        study = load_yaml(given.study.read_text(encoding="utf-8"), where=str(given.study))
        study = apply_overrides(dict(study), given.overrides)
        one_rate = at_one_rate(study, given.rate, where=str(given.study))
        out = given.out or Path("runs") / str(study.get("name", given.study.stem))
        shared = bakeoff.run(one_rate, out=out / "shared")
        searched = bakeoff.run(study, out=out / "searched")
        found = compared(shared.record, searched.record, given.rate)
        (out / "lottery.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    except (BakeoffError, OSError, UnicodeError) as error:
        sys.exit(f"Error: {error}")
    print(text_of(found))


def at_one_rate(study: Mapping[str, Any], rate: float, *, where: str) -> dict[str, Any]:
    """The study with every method at one rate, without a search, and with its first seed alone.

    Raises:
        ConfigError: where the study, which is from the file ``where``, has no methods to compare.
    """
    entries = study.get("methods")
    if not isinstance(entries, Mapping) or len(entries) < 2:
        raise ConfigError(f"{where}: methods names no two methods; a ranking is of at least two")
    methods = {name: {**(of or {}), "learning_rate": rate} for name, of in entries.items()}
    return {
        **study,
        "name": f"{study.get('name', 'study')}-shared",
        "methods": methods,
        "search": None,
        "protocol": {**(study.get("protocol") or {}), "seeds": [0]},
    }


def compared(shared: Any, searched: Any, rate: float) -> dict[str, Any]:
    """Both rankings by the deciding metric on the test set, and the pairs on which they differ."""
    metric = searched.primary
    before, after = (_means(results, metric.name) for results in (shared, searched))
    common = [name for name in searched.methods if name in before and name in after]
    sign = -1.0 if metric.higher_is_better else 1.0
    ranks = [_places({name: sign * of[name] for name in common}) for of in (before, after)]
    pairs = list(itertools.combinations(common, 2))
    # A tie has no order that could turn.
    orders = [(a, b, *((of[a] > of[b]) - (of[a] < of[b]) for of in ranks)) for a, b in pairs]
    turned = [(a, b) for a, b, one, other in orders if one * other < 0]
    tied = [(a, b) for a, b, one, other in orders if one * other == 0]
    said = {
        (one.a, one.b): one.verdict
        for one in searched.comparisons
        if one.set == "test" and one.metric == metric.name
    }
    shown = [pair for pair in turned if said.get(pair, said.get(pair[::-1])) in ("better", "worse")]
    rates = {name: searched.methods[name].learning_rate for name in common}
    return {
        "metric": metric.name,
        "shared_rate": rate,
        "rows": [
            {
                "method": name,
                "shared": before[name],
                "shared_rank": ranks[0][name],
                "searched": after[name],
                "searched_rank": ranks[1][name],
                "searched_rate": rates[name],
            }
            for name in sorted(common, key=lambda name: ranks[1][name])
        ],
        "without_result": [name for name in searched.methods if name not in common],
        "pairs": len(pairs),
        "turned": turned,
        "turned_and_shown": shown,
        "tied": tied,
        "kendall_tau": _tau([[of[name] for name in common] for of in ranks]),
        "seeds": max((len(searched.methods[name].seeds) for name in common), default=0),
        "spread_shared": _spread([before[name] for name in common]),
        "spread_searched": _spread([after[name] for name in common]),
    }


def text_of(found: Mapping[str, Any]) -> str:
    """The comparison as a table in Markdown and two sentences."""
    lines = [
        f"| method | {found['metric']} at {found['shared_rate']:g} | place | searched | place "
        "| its rate |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['method']} | {row['shared']:.4f} | {row['shared_rank']} "
        f"| {row['searched']:.4f} | {row['searched_rank']} | {row['searched_rate']:.2g} |"
        for row in found["rows"]
    ]
    if found["without_result"]:
        lines.append(f"\nWithout a result in one of the two: {', '.join(found['without_result'])}.")
    lines.append(
        f"\n{len(found['turned'])} of {found['pairs']} pairs changed places"
        + (f", {len(found['tied'])} more tied in one of the two" if found["tied"] else "")
        + f" (Kendall's tau {_shown(found['kendall_tau'])}); of these "
        f"{counted(len(found['turned_and_shown']), 'is', 'are')} shown to differ once each method "
        "has its own rate "
        f"and {counted(found['seeds'], 'seed', 'seeds')}. Best and worst are "
        f"{found['spread_shared']:.4f} apart at one rate and {found['spread_searched']:.4f} after "
        "the search."
    )
    return "\n".join(lines)


def _means(results: Any, metric: str) -> dict[str, float]:
    return {
        name: method.test[metric].mean
        for name, method in results.methods.items()
        if metric in method.test
    }


def _places(values: Mapping[str, float]) -> dict[str, int]:
    """The place of each, from 1 for the lowest on; equal ones share a place."""
    return {name: 1 + sum(v < own for v in values.values()) for name, own in values.items()}


def _tau(ranks: Sequence[Sequence[int]]) -> float | None:
    """Kendall's tau-b, which counts ties; None where one of the rankings is one tie."""
    found = float(kendalltau(*ranks).statistic)
    return None if math.isnan(found) else found


def _shown(tau: float | None) -> str:
    return "unknown" if tau is None else f"{tau:.2f}"


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values) if values else 0.0


if __name__ == "__main__":
    main()
