"""What a reader should know before relying on the answer."""

from __future__ import annotations

from bakeoff.formatting import scale_of, shown_whole
from bakeoff.page import words
from bakeoff.report.load import row_metric_of
from bakeoff.report.searched import searched_methods
from bakeoff.report.table import Row
from bakeoff.runs.records import Results

_FEW_TEST_EXAMPLES = 200


def caveats(results: Results, rows: list[Row], pick: Row | None) -> list[str]:
    """Sentences on what limits the answer, what went wrong first.

    Args:
        results: the run's. rows: the table's. pick: the recommended method's row.
    """
    found = []
    if results.status == "partial":
        found.append("The study was cut off: this report shows what there was at that moment.")
    for row in rows:
        if row.state is not None and not row.ended_well:
            reason = f": {row.reason}" if row.reason else ""
            verb = "" if row.state.is_final else "is "
            found.append(f"{row.name} {verb}{words.state(row.state)}{reason}.")
    if pick is not None:
        found += _better_baselines(results, rows, pick)
    found += [searched.warning for searched in searched_methods(results) if searched.warning]
    return found + _of_the_data(results)


def _better_baselines(results: Results, rows: list[Row], pick: Row) -> list[str]:
    """Baselines that write better than the recommended method."""
    metric = row_metric_of(results)
    ours = pick.cells.get(metric.name)
    if ours is None or ours.value is None or not metric.higher_is_better:
        return []
    write, found = scale_of(metric.unit).write, []
    for row in rows:
        theirs = row.cells.get(metric.name)
        if not row.is_baseline or theirs is None or theirs.value is None:
            continue
        if theirs.value <= ours.value:
            continue
        is_apart = ours.high is not None and theirs.low is not None and ours.high < theirs.low
        found.append(
            f"{row.label}, which trains nothing, has the higher {metric.title}: "
            f"{write(theirs.value)} against {write(ours.value)}"
            f"{'.' if is_apart else ', though their intervals overlap.'}"
        )
    return found


def _of_the_data(results: Results) -> list[str]:
    found = []
    if max((len(method.seeds) for method in results.methods.values()), default=0) == 1:
        found.append(
            "One seed per method: the intervals cover chance among test rows, not chance in "
            "training."
        )
    methods = results.methods.values()
    if len(methods) > 1 and all(method.search is None for method in methods):
        found.append(
            "One learning rate per method, the study's own: another may change the order. "
            "--set search.learning_rates=6 searches them all alike."
        )
    tests = results.data.test.examples
    if tests < _FEW_TEST_EXAMPLES:
        found.append(f"Only {shown_whole(tests)} test examples: expect wide intervals.")
    leaked = results.data.overlap.get("train_test")
    if isinstance(leaked, int) and leaked:
        found.append(f"{shown_whole(leaked)} test rows are also in the training data.")
    return found
