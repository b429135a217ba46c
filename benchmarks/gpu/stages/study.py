"""A whole small study by the command line's own code, its costs measured."""

from __future__ import annotations

import json
from typing import Any

from bakeoff.cli.main import app
from bakeoff.config import dump_yaml
from gpu.card import require_card
from gpu.processes import Place
from gpu.records import Report

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"kind": "lora", "rank": 4},
    "soft_prompt": {"kind": "soft_prompt", "prompt_length": 8},
    "head": {"kind": "head"},
    "full": {"kind": "full"},
}
COSTS = (
    "epoch_seconds",
    "peak_memory_bytes",
    "token_latency_seconds",
    "generation_rows_per_second",
)


def run(report: Report, place: Place) -> None:
    """See the module."""
    require_card()
    folder = place.out / "study"
    folder.mkdir(exist_ok=True)
    file = folder / "study.yaml"
    file.write_text(dump_yaml(_study(place.dry_run)), encoding="utf-8")
    with report.part("run") as found:
        flags = ["run", str(file), "--out", str(folder / "run"), "--device", "cuda"]
        code = app(flags, standalone_mode=False)
        assert not code, f"bakeoff run ended with exit code {code}"
        results = json.loads((folder / "run" / "results.json").read_text(encoding="utf-8"))
        found["wall_seconds"] = results.get("wall_seconds")
        found["notes"] = results.get("notes")
        found["status"] = results["status"]
        found["says"] = f"{results['status']}; {_seconds(results)}"
        assert results["status"] == "complete", f"the study is {results['status']}"
    if report.failed:  # it has no costs, then
        return
    for name in _tried(place.dry_run):
        with report.part(name) as found:
            costs = {key: results["methods"][name]["cost"][key] for key in COSTS}
            found |= costs
            found["says"] = ", ".join(f"{k} {_short(v)}" for k, v in costs.items())
            missing = [key for key in COSTS if costs.get(key) is None]
            assert not missing, f"not measured: {', '.join(missing)}; see the study's notes"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("mean")
    return f"{value:.4g}" if isinstance(value, (int, float)) else str(value)


def _seconds(results: dict[str, Any]) -> str:
    wall = results.get("wall_seconds") or {}
    return ", ".join(f"{part} {seconds:.1f} s" for part, seconds in wall.items())


def _tried(dry_run: bool) -> list[str]:
    return ["lora", "head"] if dry_run else list(METHODS)


def _study(dry_run: bool) -> dict[str, Any]:
    rows = 8 if dry_run else 256
    return {
        "name": "campaign",
        "base": "tiny",
        "task": {
            "source": "wire",
            "document": "article",
            "summary": "highlights",
            "examples": {"train": rows, "validation": rows // 2, "test": rows // 2},
            "cleaning": ["collapse_whitespace"],
            "template": "{document} {summary}",
            "max_length": 64 if dry_run else 256,
            "max_target_tokens": 16 if dry_run else 64,
        },
        "protocol": {
            "epochs": 1 if dry_run else 3,
            "micro_batch_size": 8,
            "grad_accum_steps": 1,
            "seeds": [0] if dry_run else [0, 1],
        },
        "methods": {name: METHODS[name] for name in _tried(dry_run)},
        "generation": {"max_new_tokens": 4 if dry_run else 32},
    }
