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
from bakeoff.engine.candidate import Candidate
from bakeoff.metrics.intervals import Interval, bootstrap_interval
from bakeoff.metrics.rouge import ROUGE_KEYS
from bakeoff.metrics.significance import compare_methods
from bakeoff.study.recommend import recommend
from bakeoff.study.workbench import Workbench
from bakeoff.types import SPLITS

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

    candidates: list[Candidate]
    test_scores: dict[str, TestScores] = field(default_factory=dict)
    baselines: dict[str, TestScores] = field(default_factory=dict)
    zero_shot_val_nll: float | None = None
    footprints: dict[str, dict[str, Any]] = field(default_factory=dict)
    adapter_bytes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    wall_seconds: dict[str, float] = field(default_factory=dict)
    started: str = ""

    def of_method(self, name: str) -> list[Candidate]:
        """The method's candidates, by seed as the study lists them."""
        return [c for c in self.candidates if c.method_name == name]


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
        "notes": [*bench.data.warnings, *findings.notes],
    }
    results["recommendation"] = recommend(results)
    return results


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
    resolved = bench.study.resolved["methods"][name]
    candidates = findings.of_method(name)
    eligible = [c for c in candidates if c.state.is_eligible]
    tested = [findings.test_scores[c.id] for c in eligible if c.id in findings.test_scores]
    # The method's word is that of its weakest news: one unfinished seed leaves it unfinished.
    leading = next((c for c in candidates if not c.state.is_eligible), candidates[0])
    content: dict[str, Any] = {
        "kind": entry.kind,
        "options": {k: v for k, v in resolved.items() if k not in ("kind", "learning_rate")},
        "state": leading.state.value,
        "reason": leading.reason,
        "trainable_parameters": bench.methods[name].num_trainable,
        "learning_rate": entry.learning_rate,
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
    if tested:
        nll_SN = np.stack([t.nll_N for t in tested if t.nll_N is not None])
        interval = bootstrap_interval(nll_SN, np.broadcast_to(tokens_N, nll_SN.shape))
        content["test_nll"] = interval.mean
        content["test_nll_interval"] = asdict(interval)
        for column, key in enumerate(ROUGE_KEYS):
            rouge_SN = np.stack([t.rouge_N4[:, column] for t in tested])
            content[key] = asdict(bootstrap_interval(rouge_SN))
    return content


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "method": candidate.method_name,
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
            for c in findings.of_method(name)
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
    return [asdict(comparison) for comparison in found]


def _bounds(interval: Interval) -> Mapping[str, float]:
    return {"low": interval.low, "high": interval.high}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
