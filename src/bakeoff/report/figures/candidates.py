"""Figures drawn from single candidates: learning curves and loss against learning rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bakeoff.decide.verdicts import ZERO_SHOT, best_val_nll
from bakeoff.formatting import shown_rate
from bakeoff.page.figure import Figure
from bakeoff.page.palette import Look
from bakeoff.page.render import render
from bakeoff.report.factors import per_token_words
from bakeoff.report.figures import tradeoff
from bakeoff.report.figures.curves import Curve, Panel, learning
from bakeoff.runs.records import CandidateRecord, Results
from bakeoff.types import RunState

NLL = "nll"


def learning_figures(results: Results, look: Mapping[str, Look]) -> Iterator[Figure]:
    """The losses by epoch of every candidate that has any."""
    panels = []
    for name, record in results.methods.items():
        curves = [
            Curve(
                title=_title(candidate),
                epochs=[
                    (epoch.epoch, epoch.train_nll, epoch.val_nll) for epoch in candidate.epochs
                ],
                best_epoch=candidate.best_epoch,
                is_chosen=not record.candidates or key in record.candidates,
            )
            for key, candidate in results.candidates.items()
            if candidate.method == name and candidate.epochs and candidate.rows is None
        ]
        if curves:
            panels.append(Panel(name=name, look=look[name], curves=curves))
    if not panels:
        return
    faint = any(not curve.is_chosen for panel in panels for curve in panel.curves)
    zero = _untuned(results)
    losses = {
        name: [
            loss
            for c in results.candidates.values()
            if c.method == name and c.rows is None
            if (loss := best_val_nll(c)) is not None
        ]
        for name in (panel.name for panel in panels)
    }
    lowest = [f"{name} {min(found):.3f}" for name, found in losses.items()]
    whole, charts = learning(panels, zero)
    yield render(
        whole,
        name="learning_curves",
        group="history",
        title="Learning curves",
        caption="NLL by epoch, a line per candidate: solid on validation data, dashed on training "
        "data; a filled point is the epoch that was kept."
        + (" Faint: learning rates that were not chosen." if faint else "")
        + (" Dotted: the untuned base." if zero is not None else "")
        + per_token_words(results),
        alt=f"Learning curves. Lowest validation NLL: {', '.join(lowest)}.",
        panels=[
            (chart, f"Learning curves of {panel.name}.")
            for panel, chart in zip(panels, charts, strict=True)
        ],
    )


def rate_figures(results: Results, look: Mapping[str, Look]) -> Iterator[Figure]:
    """Loss against learning rate, where any method tried more than one."""
    curves = [
        tradeoff.RateCurve(name=name, look=look[name], means=means, trials=trials)
        for name in results.methods
        if (trials := _trials(results, name)) and (means := _means(trials))
    ]
    if not any(len(curve.means) > 1 for curve in curves):
        return
    best = {c.name: min(c.means, key=lambda mean: mean[1])[0] for c in curves}
    is_pruned = any(c.state is RunState.PRUNED for c in results.candidates.values())
    ceiling = _untuned(results) or max(loss for c in curves for _, loss, _ in c.trials)
    rates = ", ".join(f"{name} {shown_rate(rate)}" for name, rate in best.items())
    yield render(
        tradeoff.rates(curves, ceiling),
        name="learning_rate",
        group="history",
        title="Loss against learning rate",
        caption="Best validation NLL of every candidate; a ring marks each method's best rate. "
        "Each method has its own scale, so one rate for all would favour some."
        + (" A rate that was pruned is shown where it was then." if is_pruned else "")
        + per_token_words(results),
        alt=f"Loss against learning rate. Best rate: {rates}.",
    )


def _trials(results: Results, method: str) -> list[tuple[float, float, str]]:
    """(rate, best validation NLL, its words) of each candidate with the chosen other options.

    Of a search only its own runs, all of one seed: the chosen rate's others would move its point.
    """
    finals, search = results.methods[method].candidates, results.methods[method].search
    searched = None if search is None else {point.candidate for point in search.curve}
    final = results.candidates.get(finals[0]) if finals else None
    variant = None if final is None else final.variant
    trials = []
    for key, candidate in results.candidates.items():
        loss = best_val_nll(candidate)
        rate = candidate.learning_rate
        if candidate.method != method or loss is None or rate is None or rate <= 0:
            continue
        if candidate.rows is not None or (searched is not None and key not in searched):
            continue
        if variant is not None and candidate.variant != variant:
            continue  # other options have a curve of their own
        trials.append((rate, loss, f"{_title(candidate)}: {loss:.3f}"))
    return trials


def _means(trials: list[tuple[float, float, str]]) -> list[tuple[float, float]]:
    by_rate: dict[float, list[float]] = {}
    for rate, loss, _ in trials:
        by_rate.setdefault(rate, []).append(loss)
    return [(rate, sum(losses) / len(losses)) for rate, losses in sorted(by_rate.items())]


def _title(candidate: CandidateRecord) -> str:
    return f"{candidate.method}, rate {shown_rate(candidate.learning_rate)}, seed {candidate.seed}"


def _untuned(results: Results) -> float | None:
    zero = results.baselines.get(ZERO_SHOT)
    found = None if zero is None else zero.validation.get(NLL)
    return None if found is None else found.mean
