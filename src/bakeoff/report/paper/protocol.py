"""The protocol in sentences, from what the records say and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bakeoff.config.former_names import with_present_names
from bakeoff.decide.sentences import margin_words
from bakeoff.decide.verdicts import label_of, metric_words
from bakeoff.formatting import join, shown_whole
from bakeoff.runs.records import Comparison, Results
from bakeoff.runs.settings import bases_of, setting

_BAYES_FROM = 4
"""Methods from which on low variances are raised; see ``docs/referee.md``."""


def protocol_sentences(results: Results) -> list[str]:
    """A paragraph: base, data, training, search, seeds and tests. A setting that the records lack
    has no sentence."""
    return [
        *_base_and_data(results),
        *_training(results),
        *_search(results),
        *_seeds(results),
        *_answers(results),
        *_tests(results),
        *_rest(results),
    ]


def protocol_text(name: str, results: Results) -> str:
    """``protocol.md``."""
    from bakeoff.report.markdown import escape

    text = escape(" ".join(protocol_sentences(results)))
    return f"# Protocol of {escape(name)}\n\n{text}\n"


def main_comparisons(results: Results) -> list[Comparison]:
    """All pairs by the deciding metric on the test set."""
    return [c for c in results.comparisons if c.metric == results.primary.name and c.set == "test"]


def raises_variances(results: Results) -> bool:
    """Whether enough methods vary with their seeds for low variances to be raised."""
    varying = {
        name
        for pair in main_comparisons(results)
        for name, is_fixed in zip((pair.a, pair.b), pair.fixed, strict=True)
        if not is_fixed and pair.why is None
    }
    return len(varying) >= _BAYES_FROM


def _base_and_data(results: Results) -> Iterator[str]:
    study, where, data = results.study, results.environment, results.data
    bases = "base is" if setting(study, "bases") is None else "bases are"
    yield (
        f"The {bases} {bases_of(study)} ({where.base}), computed in {where.precision} on "
        f"{where.device} with bakeoff {where.bakeoff}."
    )
    source = setting(study, "task.source")
    from_source = f" of the source {source}" if isinstance(source, str) else ""
    yield (
        f"The task is {results.task.kind}{from_source}: {shown_whole(data.train.examples)} rows "
        f"to train on, {shown_whole(data.validation.examples)} to choose by and "
        f"{shown_whole(data.test.examples)} to test on."
    )
    length = setting(study, "task.max_length")
    if length is None and data.lengths is not None:
        length = data.lengths.max_length
    if length is not None:
        cut = data.train.documents_truncated
        yield (
            f"Rows have at most {shown_whole(length)} tokens; {shown_whole(cut)} of the training "
            "rows were cut to fit."
        )


def _training(results: Results) -> Iterator[str]:
    protocol = setting(with_present_names(results.study), "protocol")
    if not isinstance(protocol, Mapping):
        return
    yield f"The methods are {join([_method(results, name) for name in results.methods])}."
    epochs, rows = protocol.get("epochs"), protocol.get("micro_batch_size")
    steps = protocol.get("grad_accum_steps")
    if isinstance(epochs, int) and isinstance(rows, int) and isinstance(steps, int):
        searched = set(_mapping(setting(results.study, "search.space"))) & {
            *("epochs", "micro_batch_size", "grad_accum_steps")
        }
        but = f" (where the search over {join(sorted(searched))} says nothing else)" * bool(
            searched
        )
        yield (
            f"Every method was trained for at most {_count(epochs, 'epoch')} with {rows * steps} "
            f"rows per update{but}, by AdamW; the epoch with the lowest validation NLL was kept."
        )
    parts = []
    if (schedule := protocol.get("schedule")) is not None:
        parts.append(f"a {schedule} learning rate")
    if isinstance(warmup := protocol.get("warmup_ratio"), int | float):
        parts.append(
            f"a warm-up over {100 * warmup:.3g} % of the updates" if warmup else "no warm-up"
        )
    if "weight_decay" in protocol:
        decay = protocol["weight_decay"]
        parts.append(
            "each method's own weight decay" if decay is None else f"weight decay {decay:g}"
        )
    if "max_grad_norm" in protocol:
        clip = protocol["max_grad_norm"]
        parts.append("no clipping" if clip is None else f"gradients clipped at a norm of {clip:g}")
    if "patience" in protocol:
        patience = protocol["patience"]
        parts.append(
            "no early stopping"
            if patience is None
            else f"an end after {_count(patience, 'epoch')} without a better validation NLL"
        )
    if parts:
        yield f"Training had {join(parts)}."


def _method(results: Results, name: str) -> str:
    record = results.methods[name]
    what = "" if record.kind == name else f"{record.kind}, "
    if record.learning_rate is None:
        return f"{name} ({record.title})"
    return f"{name} ({what}learning rate {record.learning_rate:g})"


def _search(results: Results) -> Iterator[str]:
    search = setting(results.study, "search")
    if not isinstance(search, Mapping):
        yield "There was no search: each method was trained at the setting that the study names."
        return
    trials = search.get("trials") or search.get("learning_rates")
    how = {"grid": "laid on a grid", "random": "drawn at random"}.get(str(search.get("strategy")))
    laid = f", {how}" if how else ""
    pruned = search.get("pruner") == "halving"
    factor = search.get("reduction_factor")
    ended = f"; successive halving let one in {factor} go on" if pruned and factor else ""
    yield f"Each method tried {trials} settings at first{laid}{ended}."
    by = setting(results.study, "task.select_by") or "NLL"
    found = results.search
    if found is None:
        return
    if found.seed is None:
        yield f"Settings were chosen by validation {by}."
    else:
        yield (
            f"Settings were chosen by validation {by} with the seed {found.seed}; the chosen ones "
            "were trained afresh with seeds that took no part in the search, and only those runs "
            "were tested."
        )


def _seeds(results: Results) -> Iterator[str]:
    by_seeds: dict[tuple[int, ...], list[str]] = {}
    for name, record in results.methods.items():
        by_seeds.setdefault(record.seeds, []).append(name)
    if len(by_seeds) == 1:
        [(seeds, _)] = by_seeds.items()
        if seeds:
            yield f"Every method was tested with {_seed_words(seeds)}."
        return
    parts = [f"{join(n)} with {_seed_words(s) if s else 'none'}" for s, n in by_seeds.items()]
    yield f"Tested were {join(parts)}."


def _seed_words(seeds: tuple[int, ...]) -> str:
    return f"the seed {seeds[0]}" if len(seeds) == 1 else f"the seeds {join(list(map(str, seeds)))}"


def _answers(results: Results) -> Iterator[str]:
    if results.baselines:
        names = [label_of(results, name) for name in results.baselines]
        yield f"Without training {join(names)} took part."
    generation = setting(results.study, "generation")
    written = any(record.outputs is not None for record in results.methods.values())
    chooses = results.task.kind in ("choose", "classify")
    chooses &= setting(results.study, "task.answer") != "generate"
    if isinstance(generation, Mapping) and written and not chooses:
        most = generation.get("max_new_tokens")
        tokens = f" of at most {most} tokens" if isinstance(most, int) else ""
        yield f"Answers were written by {generation.get('strategy')} decoding{tokens}."
    scored = [f"{m.title} ({m.signature})" for m in results.task.metrics]
    yield f"Answers were scored by {join(scored)}; {metric_words(results)} decided."


def _tests(results: Results) -> Iterator[str]:
    pairs, decision = main_comparisons(results), results.decision
    if not pairs:
        yield "No pair was tested."
        return
    if decision is None:
        yield (
            "Pairs were tested by a paired bootstrap over test rows and seeds, corrected for their "
            "number (Holm)."
        )
        return
    level = f"{100 * decision.level:.3g} %"
    silent = [pair for pair in pairs if pair.why is not None]
    untested = [
        f"{label_of(results, pair.a)} and {label_of(results, pair.b)} ({pair.why})"
        for pair in silent
    ]
    if len(silent) == len(pairs):
        yield (
            f"No pair was tested: {join(untested)}. Intervals are of each row of the table alone, "
            f"at {level}."
        )
        return
    tested = len(pairs) - len(silent)
    number = f"all {len(pairs)} pairs" if len(pairs) > 1 else "the one pair"
    if silent:
        number = f"{tested} of {len(pairs)} pairs"
    yield (
        f"For {number} of methods and baselines, on the same {shown_whole(pairs[0].examples)} test "
        "rows or groups of rows, the difference of means was tested against variances over rows "
        "and over seeds, with degrees of freedom by Satterthwaite, and corrected over all pairs of "
        f"the metric (Holm) at the {level} level."
    )
    if untested:
        yield f"Not tested were {join(untested)}."
    if raises_variances(results):
        yield "Low variances from seed to seed were raised towards those of the other methods."
    margin = decision.margins.get(results.primary.name)
    if margin is not None:
        yield (
            "Equivalence was tested by two one-sided tests against a margin that was fixed before "
            f"the test set was opened: {margin_words(results.primary, margin)}."
        )


def _rest(results: Results) -> Iterator[str]:
    for name, found in results.also_test.items():
        yield (
            f"All were tested as well on {name} ({found.kind}, {shown_whole(found.examples)} "
            "rows), without training or choosing on it."
        )
    sizes = sorted({p.rows for points in results.learning_curve.values() for p in points})
    if sizes:
        yield (
            "Chosen settings were trained besides on nested subsets of "
            f"{join([shown_whole(size) for size in sizes])} training rows."
        )
    if results.status == "partial":
        yield "The study is partial: not everything that it plans has finished."


def _count(number: Any, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
