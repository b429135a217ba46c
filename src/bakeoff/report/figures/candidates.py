"""Figures drawn from single candidates: learning curves and loss against learning rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bakeoff.decide.facts import dig, mapping, number
from bakeoff.page import words
from bakeoff.page.palette import Look
from bakeoff.page.render import Figure, render
from bakeoff.report.figures import tradeoff
from bakeoff.report.figures.curves import Curve, Panel, learning


def learning_figures(results: Mapping[str, Any], look: dict[str, Look]) -> Iterator[Figure]:
    """The losses by epoch of every candidate that has any."""
    panels = []
    for name in look:
        curves = []
        chosen = dig(results, "methods", name, "candidates") or ()
        for key, candidate in mapping(results.get("candidates")).items():
            found = mapping(candidate)
            epochs = [
                (epoch, number(e.get("train_nll")), number(e.get("val_nll")))
                for e in map(mapping, found.get("epochs") or ())
                if (epoch := number(e.get("epoch"))) is not None
            ]
            if found.get("method") == name and any(t or v for _, t, v in epochs):
                title = f"{name}, rate {words.rate(found.get('learning_rate'))}"
                title += f", seed {words.plain(found.get('seed'))}"
                best = number(found.get("best_epoch"))
                curves.append(
                    Curve(
                        title=title,
                        epochs=epochs,
                        best_epoch=best,
                        is_chosen=not chosen or key in chosen,
                    )
                )
        if curves:
            panels.append(Panel(name=name, look=look[name], curves=curves))
    if not panels:
        return
    faint = any(not c.is_chosen for p in panels for c in p.curves)
    zero = number(dig(results, "baselines", "zero_shot", "val_nll"))
    lowest = [
        f"{p.name} {min(v for c in p.curves for *_, v in c.epochs if v is not None):.3f}"
        for p in panels
        if any(v is not None for c in p.curves for *_, v in c.epochs)
    ]
    whole, charts = learning(panels, zero)
    yield render(
        whole,
        name="learning_curves",
        group="course",
        title="Learning curves",
        caption="NLL by epoch, a line a candidate: solid on validation data, dashed on training "
        "data; a filled point is the epoch that was kept."
        + (" Faint: learning rates that were not chosen." if faint else "")
        + (" Dotted: the untuned base." if zero is not None else ""),
        alt=f"Learning curves. Lowest validation NLL: {', '.join(lowest)}.",
        panels=[
            (chart, f"Learning curves of {panel.name}.")
            for panel, chart in zip(panels, charts, strict=True)
        ],
    )


def rate_figures(results: Mapping[str, Any], look: dict[str, Look]) -> Iterator[Figure]:
    """Loss against learning rate, where any method tried more than one."""
    curves = []
    for name in look:
        trials: list[tuple[float, float, str]] = []
        finals = dig(results, "methods", name, "candidates") or ()
        variant = dig(results, "candidates", finals[0], "variant") if finals else None
        for candidate in mapping(results.get("candidates")).values():
            found = mapping(candidate)
            if found.get("variant") != variant:
                continue  # other options have a curve of their own
            rate = number(found.get("learning_rate"))
            losses = [number(mapping(e).get("val_nll")) for e in found.get("epochs") or ()]
            known = [loss for loss in losses if loss is not None]
            if found.get("method") == name and rate is not None and rate > 0 and known:
                tip = f"{name}, rate {words.rate(rate)}, seed {words.plain(found.get('seed'))}"
                trials.append((rate, min(known), f"{tip}: {min(known):.3f}"))
        by_rate: dict[float, list[float]] = {}
        for rate, loss, _ in trials:
            by_rate.setdefault(rate, []).append(loss)
        means = [(rate, sum(v) / len(v)) for rate, v in sorted(by_rate.items())]
        if means:
            curves.append(
                tradeoff.RateCurve(name=name, look=look[name], means=means, trials=trials)
            )
    if not any(len(curve.means) > 1 for curve in curves):
        return
    best = {c.name: min(c.means, key=lambda mean: mean[1])[0] for c in curves}
    is_pruned = any(
        mapping(c).get("state") == "PRUNED" for c in mapping(results.get("candidates")).values()
    )
    zero = number(dig(results, "baselines", "zero_shot", "val_nll"))
    ceiling = zero or max(loss for c in curves for _, loss, _ in c.trials)
    told = ", ".join(f"{name} {words.rate(rate)}" for name, rate in best.items())
    yield render(
        tradeoff.rates(curves, ceiling),
        name="learning_rate",
        group="course",
        title="Loss against learning rate",
        caption="Best validation NLL of every candidate; a ring marks each method's best rate. "
        "Each method has its own scale, so one rate for all would favour some."
        + (" A rate that was pruned stands where it was then." if is_pruned else ""),
        alt=f"Loss against learning rate. Best rate: {told}.",
    )
