"""The golden runs, as they are and with the situations that no small run comes into by itself.

``tools/golden_runs.py`` wrote the folders below ``tests/golden``. What differs from them is made by
replacing parts of their records, so that no test writes results by hand.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bakeoff.decide.recommendation import recommend
from bakeoff.decide.verdicts import turned
from bakeoff.runs.reading import RESULTS_FILE, read_results, to_json
from bakeoff.runs.records import (
    Comparable,
    Comparison,
    CostRecord,
    EpochSeconds,
    Estimate,
    MethodRecord,
    Results,
)

GOLDEN = Path(__file__).parent / "golden"
Change = Callable[[Results], Results]


def golden(name: str) -> Results:
    """The results of a golden run."""
    return read_results(GOLDEN / name)


def copy_of(name: str, folder: Path, change: Change | None = None) -> Results:
    """Copies a golden run, with its results changed, decided again and written.

    Args:
        name: of the golden run. folder: where the copy goes; it may be there already, empty.
        change: makes the copy's results of the golden ones.
    """
    shutil.copytree(GOLDEN / name, folder, dirs_exist_ok=True)
    results = golden(name)
    if change is not None:
        results = decided(change(results))
        save(folder, results)
    return results


def decided(results: Results) -> Results:
    """The same with the recommendation that follows from it."""
    return replace(results, recommendation=recommend(results))


def save(folder: Path, results: Results) -> None:
    """Writes results."""
    text = json.dumps(to_json(results), allow_nan=False, ensure_ascii=False)
    # As the run's own writer does: a half of a surrogate pair has no form in UTF-8.
    (folder / RESULTS_FILE).write_bytes(text.encode("utf-8", "replace"))


def with_methods(results: Results, **changes: Any) -> Results:
    """Methods by name: None leaves one out, a mapping replaces fields of its record."""
    methods = dict(results.methods)
    for name, change in changes.items():
        if change is None:
            del methods[name]
        else:
            methods[name] = replace(methods[name], **change)
    comparisons = tuple(
        found
        for found in results.comparisons
        if all(side in methods or side in results.baselines for side in (found.a, found.b))
    )
    return replace(results, methods=methods, comparisons=comparisons)


def with_costs(method: MethodRecord, *, epoch: float | None = None, **costs: Any) -> MethodRecord:
    """A method with other costs; ``epoch`` is the mean epoch in seconds."""
    cost: CostRecord = replace(method.cost, **costs)
    if epoch is not None:
        cost = replace(cost, epoch_seconds=EpochSeconds(mean=epoch, max=epoch))
    return replace(method, cost=cost)


def with_verdicts(
    results: Results, verdicts: Mapping[tuple[str, str], Comparable], metric: str = "nll"
) -> Results:
    """Other verdicts of comparisons, each named the way round that it is meant."""

    def change(found: Comparison) -> Comparison:
        if found.metric != metric:
            return found
        if (found.a, found.b) in verdicts:
            return replace(found, verdict=verdicts[found.a, found.b])
        if (found.b, found.a) in verdicts:
            return turned(replace(turned(found), verdict=verdicts[found.b, found.a]))
        return found

    return replace(results, comparisons=tuple(map(change, results.comparisons)))


def with_test(method: MethodRecord, metric: str, mean: float, spread: float = 0.1) -> MethodRecord:
    """A method with another result on the test set."""
    found = Estimate(mean=mean, low=mean - spread, high=mean + spread)
    return replace(method, test={**method.test, metric: found})


def renamed(results: Results, names: Mapping[str, str]) -> Results:
    """The same run with other names of its methods; ids of candidates stay."""

    def name(old: str) -> str:
        return names.get(old, old)

    study = {
        **results.study,
        "methods": {name(k): v for k, v in results.study["methods"].items()},
    }
    return replace(
        results,
        study=study,
        methods={name(old): method for old, method in results.methods.items()},
        candidates={
            key: replace(found, method=name(found.method))
            for key, found in results.candidates.items()
        },
        comparisons=tuple(
            replace(found, a=name(found.a), b=name(found.b)) for found in results.comparisons
        ),
    )


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes a JSON-lines file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
