"""Older results as the present schema: the one place that knows what they looked like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

ROUGE = {
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
}
_LEVEL = 0.95
_NO_COST = ("micro_batch_size", "generation_rows_per_second", "peak_memory_bytes", "adapter_bytes")


def migrated(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a ``results.json`` of an older schema in the present one.

    Args:
        content: parsed JSON whose ``schema`` is a key of ``MIGRATIONS``; it may be partial.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: where it is not what its schema says.
    """
    found = dict(content)
    while (step := MIGRATIONS.get(found["schema"])) is not None:
        found = step(found)
    return found


def _from_1(old: dict[str, Any]) -> dict[str, Any]:
    """Schema 1: one task (document to summary), metrics as keys of a method's entry."""
    environment = {**old["environment"]}
    made_with = {
        key: environment.get(key)
        for key in ("bakeoff", "torch", "transformers", "peft", "python", "device", "precision")
    } | {"threads": environment.get("threads")}
    examples = int(old["data"]["test"]["examples"])
    candidates = {
        name: {
            **{key: entry[key] for key in ("method", "learning_rate", "seed", "state")},
            "variant": entry.get("variant", ""),
            "best_epoch": entry.get("best_epoch"),
            "epochs": entry["epochs"],
            "reason": entry.get("reason"),
            "made_with": made_with,
        }
        for name, entry in old["candidates"].items()
    }
    tested = {
        name: sum(candidates[c]["state"] in ("COMPLETE", "STOPPED") for c in entry["candidates"])
        if entry.get("test_nll") is not None
        else 0
        for name, entry in old["methods"].items()
    }
    return {
        "schema": 2,
        "status": old["status"],
        "study": old["study"],
        "environment": environment,
        "data": old["data"],
        "task": {"kind": "summarize", "metrics": _metrics()},
        "baselines": {name: _baseline(entry) for name, entry in old["baselines"].items()},
        "methods": {
            name: _method(entry, candidates, made_with) for name, entry in old["methods"].items()
        },
        "candidates": candidates,
        "comparisons": [_comparison(c, tested, examples) for c in old.get("comparisons") or ()],
        "recommendation": _recommendation(old.get("recommendation") or {}),
        "search": old.get("search"),
        "notes": old.get("notes") or [],
    }


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}
"""By the schema that each step starts from; each step leads one schema further."""


def _metrics() -> list[dict[str, Any]]:
    nll = {
        "name": "nll",
        "title": "NLL",
        "unit": "nats per token",
        "higher_is_better": False,
        "primary": True,
        "signature": "bakeoff, schema 1",
    }
    rouges = [
        {
            "name": name,
            "title": title,
            "unit": "× 100",
            "higher_is_better": True,
            "primary": False,
            "signature": "rouge_score, stemmed, schema 1",
        }
        for name, title in ROUGE.items()
    ]
    return [nll, *rouges]


def _estimate(mean: Any, interval: Mapping[str, Any] | None) -> dict[str, Any]:
    bounds = interval or {}
    return {"mean": mean, "low": bounds.get("low"), "high": bounds.get("high")}


def _baseline(old: Mapping[str, Any]) -> dict[str, Any]:
    intervals = old.get("intervals") or {}
    test = {
        name: _estimate(old[key], intervals.get(key))
        for name, key in {"nll": "test_nll", **{k: k for k in ROUGE}}.items()
        if old.get(key) is not None
    }
    validation = {}
    if old.get("val_nll") is not None:
        validation["nll"] = _estimate(old["val_nll"], None)
    return {"validation": validation, "test": test, "sentences": old.get("k")}


def _method(
    old: Mapping[str, Any], candidates: Mapping[str, Any], made_with: Mapping[str, Any]
) -> dict[str, Any]:
    test: dict[str, Any] = {}
    if old.get("test_nll") is not None:
        test["nll"] = _estimate(old["test_nll"], old.get("test_nll_interval"))
    for key in ROUGE:
        if old.get(key) is not None:
            test[key] = _estimate(old[key]["mean"], old[key])
    cost = {key: old.get(key) for key in _NO_COST}
    latency = old.get("token_latency_seconds")
    is_measured = old.get("epoch_seconds") is not None
    eligible = [c for c in old["candidates"] if candidates[c]["state"] in ("COMPLETE", "STOPPED")]
    validation = {}
    if old.get("val_nll") is not None:
        validation["nll"] = _estimate(old["val_nll"], None)
    return {
        "kind": old["kind"],
        "title": old["title"],
        "options": old["options"],
        "state": old["state"],
        "reason": old.get("reason"),
        "learning_rate": old["learning_rate"],
        "seeds": [candidates[c]["seed"] for c in eligible] if test else [],
        "cost": {
            **cost,
            "trainable_parameters": old.get("trainable_parameters"),
            "epoch_seconds": old.get("epoch_seconds"),
            "token_latency_seconds": None if latency is None else {"mean": latency},
            "made_with": dict(made_with) if is_measured else None,
        },
        "validation": validation,
        "test": test,
        "candidates": old["candidates"],
        "search": old.get("search"),
    }


def _comparison(old: Mapping[str, Any], tested: Mapping[str, int], examples: int) -> dict[str, Any]:
    """A verdict named the better side, or called the pair a tie."""
    verdict = {"a": "better", "b": "worse"}.get(old["verdict"], "undecided")
    return {
        **{key: old[key] for key in ("a", "b", "difference", "low", "high", "p_value")},
        "set": "test",
        "metric": "nll" if old["metric"] == "test_nll" else old["metric"],
        "margin": None,
        "level": _LEVEL,
        "seeds": [tested.get(old["a"], 1), tested.get(old["b"], 1)],
        "examples": examples,
        "verdict": verdict,
    }


def _recommendation(old: Mapping[str, Any]) -> dict[str, Any]:
    """Rules of the first edition: what was not shown to differ counted as a tie."""
    method, ties = old.get("method"), list(old.get("ties") or ())
    runners_up = [
        {**entry, "verdict": "undecided" if entry["verdict"] == "tie" else "worse"}
        for entry in old.get("runners_up") or ()
    ]
    verdict = "undecided"
    if method is not None:
        verdict = "cheapest_equivalent" if ties else "best"
    return {
        "method": method,
        "verdict": verdict,
        "why": old.get("why") or "",
        "undecided": ties,
        "behind": [e["method"] for e in runners_up if e["verdict"] == "worse"],
        "runners_up": runners_up,
        "changes": old.get("changes") or [],
        "limits": old.get("limits") or [],
        "outside": old.get("outside") or [],
    }
