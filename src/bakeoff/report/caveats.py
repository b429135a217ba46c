"""What a reader should know before relying on the answer."""

from __future__ import annotations

from bakeoff.decide.verdicts import MUCH_SILENCE, comparison
from bakeoff.formatting import join, scale_of, shown_share, shown_whole
from bakeoff.page import words
from bakeoff.report.load import row_metric_of
from bakeoff.report.searched import searched_methods
from bakeoff.report.table import Row, metric_label
from bakeoff.runs.records import MetricRecord, Results

_FEW_TEST_EXAMPLES = 200
_MANY = 3


def caveats(
    results: Results, rows: list[Row], pick: Row | None, *, is_running: bool = False
) -> list[str]:
    """Sentences on what limits the answer: rows in two splits first, then what went wrong.

    Args:
        results: the run's. rows: the table's. pick: the recommended method's row.
        is_running: whether the study is going on.
    """
    found = _overlaps(results)
    if is_running:
        found.append("The study is running: this is what there is so far.")
    elif results.status == "partial":
        found.append(_cut_off(results))
    found += _cut_to_budget(results)
    for row in rows:
        if row.state is not None and not row.ended_well:
            reason = f": {row.reason}" if row.reason else ""
            verb = "" if row.state.is_final else "is "
            found.append(f"{row.name} {verb}{words.state(row.state)}{reason}.")
    found += _short_training(results)
    found += _silent(rows)
    found += _silent_on_sets(results)
    if pick is not None:
        for metric in dict.fromkeys((results.primary, row_metric_of(results))):
            found += _baselines_not_beaten(results, metric, rows, pick)
    found += results.data.cautions
    found += _warnings(results)
    found += [searched.warning for searched in searched_methods(results) if searched.warning]
    return found + _of_the_data(results)


def _cut_off(results: Results) -> str:
    """What a study that ended early has not come to."""
    untested = [name for name, method in results.methods.items() if not method.test]
    unmeasured = [
        name
        for name, method in results.methods.items()
        if method.test and method.external is None and method.cost.epoch_seconds is None
    ]
    text = "The study was cut off: this report shows what there was at that moment."
    if untested:
        text += f" Not tested: {join(untested)}."
    if unmeasured:
        text += f" Costs not measured: {join(unmeasured)}."
    return text


def _cut_to_budget(results: Results) -> list[str]:
    """What ``--budget`` took from the study before it began; the times planned are in the notes."""
    said = (note.partition(" (in all at most")[0] for note in results.notes)
    return [
        f"{note[0].upper()}{note[1:].rstrip('.')}."
        for note in said
        if note.startswith("for the budget of ")
    ]


def _short_training(results: Results) -> list[str]:
    """What undercuts an order of methods more than chance does: few updates."""
    return [
        f"{note[0].upper()}{note[1:]}."
        for note in results.notes
        if note.startswith("training has ") and "fewer than" in note
    ]


def _silent(rows: list[Row]) -> list[str]:
    """Methods that often write nothing: a score of text can hide it."""
    found = [
        f"{row.name} writes nothing in {shown_share(share)} of its answers"
        for row in rows
        if not row.is_baseline and (share := row.value("empty") or 0.0) > MUCH_SILENCE
    ]
    return [f"{join(found)}." if len(found) < _MANY else f"{'; '.join(found)}."] if found else []


def _silent_on_sets(results: Results) -> list[str]:
    """Methods that often write nothing for a further test set."""
    return [
        f"{name} writes nothing in {shown_share(share)} of its answers to also_test.{where}."
        for where, test_set in results.also_test.items()
        for name, outputs in test_set.outputs.items()
        if name in results.methods
        and (share := outputs.empty / max(1, outputs.examples)) > MUCH_SILENCE
    ]


def _baselines_not_beaten(
    results: Results, metric: MetricRecord, rows: list[Row], pick: Row
) -> list[str]:
    """Baselines that the recommended method is not shown to be better than."""
    write, found = scale_of(metric.unit).write, []
    for row in rows:
        pair = comparison(results, row.name, pick.name, metric.name) if row.is_baseline else None
        theirs, ours = row.value(metric.name), pick.value(metric.name)
        if pair is None or pair.verdict == "worse" or theirs is None or ours is None:
            continue
        said = {
            "better": f"is better in {metric.title}",
            "equivalent": f"is equivalent in {metric.title}",
        }.get(pair.verdict, f"cannot be told apart from {pick.name} in {metric.title}")
        found.append(
            f"{row.label}, which trains nothing, {said}: {write(theirs)} against {write(ours)}."
        )
    return found


def _warnings(results: Results) -> list[str]:
    """What the referee warns of, by the metrics that the answer speaks of."""
    if results.decision is None:
        return []
    shown = {metric.name: metric for metric in (results.primary, row_metric_of(results))}
    return [
        f"{metric_label(shown[warning.metric])}: {warning.text}."
        for warning in results.decision.warnings
        if warning.metric in shown and warning.set == "test"
    ]


def _of_the_data(results: Results) -> list[str]:
    found = []
    # What was made elsewhere has a note of its own.
    trained = {name: m for name, m in results.methods.items() if m.external is None}
    methods = trained.values()
    single = [name for name, m in trained.items() if m.test and len(m.seeds) == 1]
    if single:
        whose = "each method" if len(single) == len(results.methods) else join(single)
        found.append(
            f"One seed of {whose}: the intervals cover chance among test rows, not chance in "
            "training."
        )
    if len(methods) > 1 and all(method.search is None for method in methods):
        found.append(
            "Each method was tried at one learning rate only: others may change the order. "
            "--set search.learning_rates=6 searches six of each alike."
        )
    tests = results.data.test.examples
    if tests < _FEW_TEST_EXAMPLES:
        found.append(f"Only {shown_whole(tests)} test examples: expect wide intervals.")
    return found


def _overlaps(results: Results) -> list[str]:
    """Test rows that were trained on."""
    found = []
    leaked = results.data.overlap.get("train_test")
    if isinstance(leaked, int) and leaked:
        found.append(f"{shown_whole(leaked)} test rows are also in the training data.")
    near = results.data.overlap.get("train_test_near")
    if isinstance(near, int) and near:
        found.append(f"{shown_whole(near)} test rows are nearly the same as training rows.")
    return found
