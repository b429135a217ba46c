"""Small made-up files in the formats that are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MODEL = "meta-llama/Llama-3.2-3B"
DATE = "2026-01-02T03-04-05.678901"


def peft_content(
    name: str = "lora/llama-3.2-3B-rank32",
    hits: int = 100,
    *,
    rows: int = 211,
    seed: int = 0,
    made: str = "2026-01-09T00:00:00+00:00",
    torch: str = "2.9.0",
    loss: float = 0.6,
    **config: Any,
) -> dict[str, Any]:
    """One result as ``method_comparison`` writes it."""
    return {
        "run_info": {
            "created_at": made,
            "experiment_name": name,
            "peft_branch": "main",
            "train_config": {
                "model_id": MODEL,
                "max_steps": 5000,
                "seed": seed,
                "optimizer_kwargs": {"lr": 1e-4},
                **config,
            },
            "peft_config": {"peft_type": "LORA", "r": 32, "target_modules": ["q", "v"]},
            "error_msg": "",
        },
        "train_info": {
            "status": "success",
            "metrics": [
                {"step": 250, "valid accuracy": 0.4},
                {"step": 5000, "test accuracy": hits / rows, "train loss": loss},
            ],
        },
        "meta_info": {
            "model_info": {"sha": "13afe5124825b4f3"},
            "dataset_info": {"gsm8k": {"sha": "cc7b047b6e5bb11b", "created_at": "2022"}},
            "package_info": {"torch-version": torch, "torch-commit-hash": None},
            "system_info": {"accelerator": "NVIDIA L40S"},
        },
    }


def write_json(place: Path, content: Any) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(content), encoding="utf-8")
    return place


def peft_folder(folder: Path, hits: Mapping[str, int], **more: Any) -> Path:
    """A folder with a file for each method."""
    for name, count in hits.items():
        file = folder / f"{name}--llama-3.2-3B-default.json"
        write_json(file, peft_content(f"{name}/llama-3.2-3B-default", count, **more))
    return folder


def lm_eval_content(model: str, values: Sequence[float], **more: Any) -> dict[str, Any]:
    """A results file over one task, ``trivia``, whose rows have these values."""
    mean = sum(values) / len(values)
    return {
        "results": {
            "trivia": {
                "alias": "trivia",
                "acc,none": mean,
                "acc_stderr,none": (mean * (1 - mean) / max(1, len(values) - 1)) ** 0.5,
            }
        },
        "group_subtasks": {"trivia": []},
        "configs": {"trivia": {}},
        "versions": {"trivia": 1.0},
        "n-shot": {"trivia": 0},
        "higher_is_better": {"trivia": {"acc": True}},
        "n-samples": {"trivia": {"original": len(values), "effective": len(values)}},
        "config": {"model": "hf", "model_args": f"pretrained=base,peft={model}", "limit": None},
        "model_name": model,
        **more,
    }


def lm_eval_folder(
    folder: Path, model: str, values: Sequence[float], *, date: str = DATE, samples: bool = True
) -> Path:
    """What one evaluation writes."""
    own = folder / model.replace("/", "__")
    results = write_json(own / f"results_{date}.json", lm_eval_content(model, values))
    if samples:
        lines = [
            json.dumps(
                {"doc_id": i, "doc_hash": f"d{i}", "filter": "none", "metrics": ["acc"], "acc": v}
            )
            for i, v in enumerate(values)
        ]
        (own / f"samples_trivia_{date}.jsonl").write_text("\n".join(lines) + "\n")
    return results


def csv_file(place: Path, scores: Mapping[str, Sequence[Sequence[float]]]) -> Path:
    """Scores [S, N] of each method as a CSV file with one metric, ``nll``."""
    lines = ["method,seed,row,nll"]
    for method, seeds in scores.items():
        for seed, rows in enumerate(seeds):
            lines += [f"{method},{seed},{row},{float(v)!r}" for row, v in enumerate(rows)]
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place
