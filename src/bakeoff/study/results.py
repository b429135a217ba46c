"""``results.json``: what a study found, in the schema that others may rely on."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import peft
import torch
import transformers
from numpy.typing import NDArray

from bakeoff import __version__
from bakeoff.config import to_mapping
from bakeoff.decide.choice import recommend
from bakeoff.decide.comparisons import compare_methods
from bakeoff.decide.intervals import Interval, bootstrap_interval
from bakeoff.engine.candidate import Candidate
from bakeoff.metrics.rouge import ROUGE_KEYS
from bakeoff.runs.folder import RESULTS_FILE
from bakeoff.runs.reading import finite, results_from
from bakeoff.search.schedule import MethodSearch, StudySchedule
from bakeoff.study.options import Study
from bakeoff.study.workbench import Workbench
from bakeoff.types import SPLITS, RunState

SCHEMA = 1
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TestScores:
    """What one candidate, or a baseline, reached on the test set.

    Attributes:
        rouge_N4: [examples, 4] F-measures in 0..1, in the order of ``ROUGE_KEYS``.
        nll_N: [examples] summed nats of each reference, or None for a baseline without a model.
    """

    __test__ = False  # not a test, whatever its name

    rouge_N4: Floats
    nll_N: Floats | None


@dataclass
class Findings:
    """Everything that is known so far; any part may still be missing."""

    schedule: StudySchedule
    test_scores: dict[str, TestScores] = field(default_factory=dict)
    baselines: dict[str, TestScores] = field(default_factory=dict)
    zero_shot_val_nll: float | None = None
    footprints: dict[str, dict[str, Any]] = field(default_factory=dict)
    adapter_bytes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    wall_seconds: dict[str, float] = field(default_factory=dict)
    started: str = ""

    @property
    def candidates(self) -> list[Candidate]:
        """All that were named so far."""
        return self.schedule.candidates

    def finals(self, name: str) -> list[Candidate]:
        """The method's candidates that the test set is for, by seed; none before it is chosen."""
        return self.schedule.methods[name].finals

    @property
    def has_failed(self) -> bool:
        """Whether a failure leaves the study without a part of its answer."""
        return any(
            c.state is RunState.FAILED
            for method in self.schedule.methods.values()
            for c in (method.finals or method.searched)
        )


def build_results(bench: Workbench, findings: Findings, *, complete: bool) -> dict[str, Any]:
    """Puts everything that is known into the schema; what is not known is null."""
    tokens_N = np.diff(bench.data.splits["test"].completions.offsets).astype(np.float64)
    methods = {
        entry.name: _method(bench, findings, entry.name, tokens_N) for entry in bench.study.entries
    }
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "status": "complete" if complete else "partial",
        "study": bench.study.resolved,
        "environment": _environment(bench, findings),
        "data": _data(bench),
        "baselines": _baselines(bench, findings, tokens_N),
        "methods": methods,
        "candidates": {c.id: _candidate(c) for c in findings.candidates},
        "comparisons": _comparisons(findings, list(methods), tokens_N),
        "notes": [*bench.data.warnings, *findings.notes, *_search_notes(bench, findings)],
    }
    if findings.schedule.search is not None:
        results["search"] = _cost(bench, findings)
    results["recommendation"] = None
    results["recommendation"] = _recommendation(results)
    return results


def _recommendation(results: dict[str, Any]) -> dict[str, Any]:
    """The recommendation, in the words of this schema."""
    found = recommend(results_from(finite(results), where=RESULTS_FILE))
    return {
        "method": found.method,
        "why": found.why,
        "ties": list(found.undecided),
        "runners_up": [
            {**asdict(entry), "verdict": "behind" if entry.verdict == "worse" else "tie"}
            for entry in found.runners_up
        ],
        "changes": list(found.changes),
        "limits": list(found.limits),
        "outside": [
            {"method": entry.method, "reasons": list(entry.reasons)} for entry in found.outside
        ],
    }


def _search_notes(bench: Workbench, findings: Findings) -> list[str]:
    """What must be told of the search: grids that grew, and answers that lie at an edge."""
    search = findings.schedule.search
    if search is None:
        return []
    notes = []
    sizes = {e.name: len(e.grid(search)) * len(e.variants) for e in bench.study.entries}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        notes.append(f"the methods were not searched alike, as the study asks for: {told}")
    notes += unused_settings(bench.study)
    for name, method in findings.schedule.methods.items():
        if method.num_grown:
            notes.append(
                f"{name}: the grid of learning rates grew by {method.num_grown} in search of the "
                f"best rate (at most {search.growth})"
            )
        failed = [c for c in method.searched if c.state is RunState.FAILED]
        if failed:
            notes.append(
                f"{name}: {len(failed)} of {len(method.searched)} rates failed and took no part in "
                f"the choice; {failed[0].learning_rate:g}: {failed[0].reason}"
            )
        if method.chosen is not None and len(method.rates) > 1 and method.edge() is not None:
            notes.append(
                f"{name}: the chosen rate {method.chosen.learning_rate:g} still lies at the edge "
                f"of its grid, which may grow by {search.growth}; raise search.growth to look "
                "further"
            )
    return notes


def unused_settings(study: Study) -> list[str]:
    """What to tell of rates and seeds that a study names, but a search does not use."""
    if study.options.search is None:
        return []
    notes = [
        f"methods.{entry.name}.learning_rate: {entry.learning_rate:g} is not used, as the search "
        "centres on the method's published default "
        f"{entry.method_type.default_learning_rate:g}; a list of rates is a grid of one's own"
        for entry in study.entries
        if entry.rates is None and entry.learning_rate != entry.method_type.default_learning_rate
    ]
    seeds, used = study.options.protocol.seeds, study.options.search.seeds
    if len(seeds) > used:
        told = ", ".join(map(str, seeds[used:]))
        notes.append(f"protocol.seeds: {told} not used, as search.seeds asks for {used}")
    return notes


def now() -> str:
    """The present time, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _environment(bench: Workbench, findings: Findings) -> dict[str, Any]:
    device = bench.base.device
    return {
        "bakeoff": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "precision": str(bench.base.compute_dtype).removeprefix("torch."),
        "base": bench.base.source.description,
        "base_fingerprint": bench.base.source.fingerprint,
        "seed_of_data": bench.data.seed,
        "started": findings.started,
        "finished": now(),
        "wall_seconds": {k: round(v, 3) for k, v in findings.wall_seconds.items()},
    }


def _data(bench: Workbench) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for split in SPLITS:
        part = bench.data.splits[split]
        content[split] = {
            "examples": len(part),
            "tokens_raw": part.tokens_raw,
            "tokens_padded": bench.plans[split].tokens_padded,
            "tokens_supervised": part.tokens_supervised,
            "padding_share": bench.plans[split].padding_share,
            "documents_truncated": part.documents_truncated,
            "rows_skipped": part.rows_skipped,
        }
    overlap = bench.data.overlap
    content["overlap"] = asdict(overlap)
    return content


def _baselines(bench: Workbench, findings: Findings, tokens_N: Floats) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, scores in findings.baselines.items():
        entry: dict[str, Any] = {}
        intervals: dict[str, Any] = {}
        if scores.nll_N is not None:
            interval = bootstrap_interval(scores.nll_N[None], tokens_N[None])
            entry = {"val_nll": findings.zero_shot_val_nll, "test_nll": interval.mean}
            intervals["test_nll"] = _bounds(interval)
        for column, key in enumerate(ROUGE_KEYS):
            interval = bootstrap_interval(scores.rouge_N4[None, :, column])
            entry[key] = interval.mean
            intervals[key] = _bounds(interval)
        if name == "lead":
            entry["k"] = bench.study.options.lead_sentences
        content[name] = {**entry, "intervals": intervals}
    return content


def _method(bench: Workbench, findings: Findings, name: str, tokens_N: Floats) -> dict[str, Any]:
    entry = next(e for e in bench.study.entries if e.name == name)
    search = findings.schedule.methods[name]
    resolved = to_mapping(entry.variants[0].options)
    # While nothing is chosen, the best so far stands for the method.
    shown = search.chosen or search.best() or search.candidates[0]
    candidates = search.finals or search.searched
    eligible = [c for c in search.finals if c.state.is_eligible]
    tested = [findings.test_scores[c.id] for c in eligible if c.id in findings.test_scores]
    state, reason = _state(search)
    variant = next(v for v in entry.variants if v.label == shown.variant)
    content: dict[str, Any] = {
        "kind": entry.kind,
        "title": entry.method_type.title,
        "options": {**resolved, **to_mapping(variant.options)},
        "state": state.value,
        "reason": reason,
        "trainable_parameters": shown.method.num_trainable,
        "learning_rate": shown.learning_rate,
        "epoch_seconds": None,
        "peak_memory_bytes": None,
        "adapter_bytes": max(
            (findings.adapter_bytes[c.id] for c in candidates if c.id in findings.adapter_bytes),
            default=None,
        ),
        **findings.footprints.get(name, {}),
        "val_nll": _mean([c.best_val_nll for c in eligible if c.best_val_nll is not None]),
        "test_nll": None,
        "test_nll_interval": None,
        **dict.fromkeys(ROUGE_KEYS),
        "candidates": [c.id for c in candidates],
    }
    if findings.schedule.search is not None:
        content["search"] = _search(bench, search)
    if tested:
        nll_SN = np.stack([t.nll_N for t in tested if t.nll_N is not None])
        interval = bootstrap_interval(nll_SN, np.broadcast_to(tokens_N, nll_SN.shape))
        content["test_nll"] = interval.mean
        content["test_nll_interval"] = asdict(interval)
        for column, key in enumerate(ROUGE_KEYS):
            rouge_SN = np.stack([t.rouge_N4[:, column] for t in tested])
            content[key] = asdict(bootstrap_interval(rouge_SN))
    return content


def _state(search: MethodSearch) -> tuple[RunState, str | None]:
    """The method's word is that of its weakest news: one unfinished seed leaves it unfinished."""
    if not search.finals:
        open_ones = [c for c in search.searched if not c.state.is_final]
        if open_ones:
            waiting = all(c.state is RunState.WAITING and not c.epochs for c in search.searched)
            return (RunState.WAITING if waiting else RunState.RUNNING), None
        lost = min(search.searched, key=lambda c: c.state is not RunState.FAILED)
        return lost.state, f"no rate of {len(search.searched)} ended well; {lost.reason}"
    leading = next((c for c in search.finals if not c.state.is_eligible), search.finals[0])
    return leading.state, leading.reason


def _search(bench: Workbench, search: MethodSearch) -> dict[str, Any]:
    """The rate's curve of one method, and how its grid came to be."""
    entry = next(e for e in bench.study.entries if e.name == search.name)
    options = {variant.label: variant.searched for variant in entry.variants}
    edge = search.edge() if search.chosen else None
    return {
        "centre": None if entry.rates else entry.method_type.default_learning_rate,
        "grid": list(search.rates),
        "grown": search.num_grown,
        "best_at_edge": None if search.chosen is None else edge is not None,
        "chosen": None if search.chosen is None else search.chosen.id,
        "curve": [
            {
                "learning_rate": c.learning_rate,
                "options": options[c.variant],
                "val_nll": c.best_val_nll,
                "epochs": len(c.epochs),
                "state": c.state.value,
                "candidate": c.id,
            }
            for c in sorted(search.searched, key=lambda c: (c.variant, c.learning_rate))
        ],
    }


def _cost(bench: Workbench, findings: Findings) -> dict[str, Any]:
    """What the search trained, against every rate with every seed to the end."""
    schedule, epochs = findings.schedule, bench.study.options.protocol.epochs
    tokens = bench.plans["train"].tokens_padded
    trained = sum(len(c.epochs) for c in schedule.candidates)
    rates = sum(len(method.searched) for method in schedule.methods.values())
    full = rates * len(schedule.seeds) * epochs
    return {
        "seeds": list(schedule.seeds),
        "rungs": list(schedule.rungs),
        "epochs_trained": trained,
        "epochs_full_grid": full,
        "tokens_trained": trained * tokens,
        "tokens_full_grid": full * tokens,
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "method": candidate.method_name,
        **({"variant": candidate.variant} if candidate.variant else {}),
        "learning_rate": candidate.learning_rate,
        "seed": candidate.seed,
        "state": candidate.state.value,
        "best_epoch": candidate.best_epoch,
        "epochs": [asdict(e) for e in candidate.epochs],
        "reason": candidate.reason,
    }


def _comparisons(
    findings: Findings, names: Sequence[str], tokens_N: Floats
) -> list[dict[str, Any]]:
    scores: dict[str, list[TestScores]] = {}
    untuned = findings.baselines.get("zero_shot")
    if untuned is not None and untuned.nll_N is not None:
        scores["zero_shot"] = [untuned]
    for name in names:
        tested = [
            findings.test_scores[c.id]
            for c in findings.finals(name)
            if c.state.is_eligible and c.id in findings.test_scores
        ]
        if tested:
            scores[name] = tested
    if len(scores) < 2 or len(tokens_N) < 2:
        return []
    nlls = {n: np.stack([t.nll_N for t in ts if t.nll_N is not None]) for n, ts in scores.items()}
    weights = {n: np.broadcast_to(tokens_N, nll.shape) for n, nll in nlls.items()}
    # So many that Holm's strictest level can be reached whatever the number of pairs.
    resamples = max(10_000, 40 * len(scores) ** 2)
    found = compare_methods(
        nlls, metric="test_nll", weights=weights, higher_is_better=False, resamples=resamples
    )
    for column, key in enumerate(ROUGE_KEYS):
        rouges = {n: np.stack([t.rouge_N4[:, column] for t in ts]) for n, ts in scores.items()}
        found += compare_methods(
            rouges, metric=key, weights=None, higher_is_better=True, resamples=resamples
        )
    verdicts = {"better": "a", "worse": "b"}
    kept = ("a", "b", "metric", "difference", "low", "high", "p_value")
    return [
        {key: getattr(one, key) for key in kept} | {"verdict": verdicts.get(one.verdict, "tie")}
        for one in found
    ]


def _bounds(interval: Interval) -> Mapping[str, float]:
    return {"low": interval.low, "high": interval.high}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
