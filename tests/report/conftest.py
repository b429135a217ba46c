"""Synthetic run folders: realistic, cut off, hostile, and large."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bakeoff.report import write_report, write_side_by_side

SEED = 20240611
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "{{7*7}} {% raw %} ${7*7} <!-- ",
    "\"double\" 'single' `back` | pipe | &amp; &lt;",
    "مرحبا بالعالم ‮ right to left",
    "🦜🧪👩‍👩‍👧 emoji \ud83d half a pair",
    "Donaudampfschifffahrt" * 40,
    '<link href="https://example.org/a.css"> @import "https://example.org/b.css"',
)
HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='a'>|`",
    "url(#clip)",
    "{{7*7}} مرحبا 🦜 http://example.org",
)

# name, kind, parameters, epoch seconds, memory bytes, adapter bytes, final NLL, ROUGE-1
METHODS = (
    ("traditional", "head", 38_597_376, 866.0, 7.57, 154_389_504, 2.742, 0.251),
    ("lora", "lora", 294_912, 832.0, 7.46, 1_182_720, 2.431, 0.342),
    ("soft_prompt", "soft_prompt", 9_216, 815.0, 7.13, 37_120, 2.741, 0.242),
    ("full", "full", 125_198_592, 1_204.0, 9.81, 500_794_368, 2.428, 0.338),
    ("prefix", "prefix", 184_320, 828.0, 7.22, 737_536, 2.655, 0.262),
    ("lora_all_linear_layers_rank_32", "lora", 5_308_416, 991.0, 8.02, 21_240_000, 2.425, 0.341),
    ("bitfit", "bitfit", 102_144, 840.0, 7.4, 409_000, 2.688, 0.259),
    ("ia3", "ia3", 64_512, 835.0, 7.41, 258_600, 2.671, 0.262),
    ("bottleneck_64", "bottleneck", 2_379_264, 901.0, 7.9, 9_518_000, 2.452, 0.331),
    ("norms", "norms", 38_400, 838.0, 7.4, 153_900, 2.702, 0.255),
)
_TEXT = (
    "the council agreed on Monday to raise flood defences along river after storms closed two "
    "bridges and left hundreds of homes without power while engineers warned that repairs could "
    "take months officials said residents of Northgate were told to expect delays"
)
WORDS = _TEXT.split()


def write_run(
    folder: Path,
    *,
    num_methods: int = 4,
    seeds: int = 2,
    epochs: int = 3,
    examples: int = 30,
    rates: tuple[float, ...] = (1.0,),
    hostile: bool = False,
    names: Sequence[str] = (),
) -> dict[str, Any]:
    """Writes a complete run and returns its results; ``names`` replace those of ``METHODS``."""
    draw = random.Random(SEED)
    chosen = METHODS[:num_methods]
    if names:
        chosen = tuple((name, *method[1:]) for name, method in zip(names, METHODS, strict=False))
    results: dict[str, Any] = {
        "schema": 1,
        "status": "complete",
        "study": _study(chosen, seeds, epochs, hostile),
        "environment": _environment(),
        "data": _data(examples),
        "baselines": {
            "zero_shot": {"val_nll": 3.060, **_baseline(3.066, 0.188)},
            "lead": {"k": 3, **_baseline(None, 0.371)},
        },
        "methods": {},
        "candidates": {},
        "comparisons": [],
        "recommendation": None,
        "notes": ["micro-batch of `full` was halved to 8 after running out of memory; "
                  "accumulation doubled, the update is the same"],
    }  # fmt: skip
    for method in chosen:
        _add_method(results, method, draw, seeds, epochs, rates)
    for metric, column, scale in (("test_nll", 6, 0.02), ("rouge1", 7, 0.008)):
        for one, two in itertools.combinations(chosen, 2):
            results["comparisons"].append(_comparison(one, two, metric, column, scale))
    if hostile:
        results["notes"].extend(HOSTILE)
        results["environment"]["device"] = HOSTILE[0]
    _write_rows(folder, results, draw, examples, hostile)
    save(folder, results)
    return results


def write_partial(folder: Path) -> dict[str, Any]:
    """A run as Ctrl-C leaves it: one method done, others running, waiting, failed, diverged."""
    results = write_run(folder, num_methods=5, examples=12)
    results["status"] = "partial"
    results["comparisons"] = []
    states = {"traditional": "RUNNING", "soft_prompt": "WAITING", "full": "FAILED",
              "prefix": "DIVERGED"}  # fmt: skip
    for name, state in states.items():
        results["methods"][name] = {
            "kind": results["methods"][name]["kind"],
            "state": state,
            "reason": "no memory left, even at one row" if state == "FAILED" else None,
            "candidates": results["methods"][name]["candidates"],
            "test_nll": None,
            "rouge1": {"mean": None, "low": None, "high": None},
            "epoch_seconds": None,
        }
    for entry in results["candidates"].values():
        if entry["method"] in states:
            entry["state"] = states[entry["method"]]
            kept = 1 if entry["state"] in ("RUNNING", "DIVERGED") else 0
            entry["epochs"] = entry["epochs"][:kept]
            entry["best_epoch"] = None
    results["candidates"]["lora-s1"] = {"method": "lora", "seed": 1}
    results["baselines"]["lead"] = None
    results["environment"]["wall_seconds"] = {"load": 4.2, "training": None}
    path = folder / "candidates" / "lora-s0" / "predictions.jsonl"
    path.write_text(path.read_text("utf-8") + '{"index": 11, "predic', "utf-8")
    save(folder, results)
    return results


def save(folder: Path, results: dict[str, Any]) -> None:
    (folder / "results.json").write_text(json.dumps(results, allow_nan=False), "utf-8")


@pytest.fixture(scope="session")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of four methods with its report; tests only read it."""
    return _reported(tmp_path_factory.mktemp("complete"), write_run)


@pytest.fixture(scope="session")
def partial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was cut off, with its report; tests only read it."""
    return _reported(tmp_path_factory.mktemp("partial"), write_partial)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose names and texts attack the page, with its report; tests only read it."""

    def write(folder: Path) -> None:
        results = write_run(folder, hostile=True, seeds=1, names=HOSTILE_NAMES)
        results["methods"][HOSTILE_NAMES[3]] |= {"state": "FAILED", "reason": HOSTILE[1]}
        save(folder, results)

    return _reported(tmp_path_factory.mktemp("hostile"), write)


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ten methods, searched, with its report; tests only read it."""

    def write(folder: Path) -> None:
        write_run(folder, num_methods=10, examples=150, seeds=1, rates=(0.3, 1.0, 3.0))

    return _reported(tmp_path_factory.mktemp("wide"), write)


@pytest.fixture(scope="session")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three studies on one page, of which two are not measured alike; tests only read it."""
    folder = tmp_path_factory.mktemp("side_by_side")
    for name, hostile in (("one", False), ("two", False), ("three", True)):
        (folder / name).mkdir()
        results = write_run(folder / name, num_methods=3, examples=20, epochs=1, hostile=hostile)
        results["study"]["name"] += f" {name}"
        save(folder / name, results)
    return write_side_by_side(
        [folder / name for name in ("one", "two", "three")], folder / "page", mix=True
    ).parent


@pytest.fixture
def run_writer() -> Callable[..., dict[str, Any]]:
    return write_run


@pytest.fixture
def partial_writer() -> Callable[[Path], dict[str, Any]]:
    return write_partial


@pytest.fixture
def hostile_texts() -> tuple[str, ...]:
    return HOSTILE


@pytest.fixture
def hostile_names() -> tuple[str, ...]:
    return HOSTILE_NAMES


def _reported(folder: Path, write: Callable[[Path], Any]) -> Path:
    write(folder)
    write_report(folder)
    return folder


def _study(chosen: Any, seeds: int, epochs: int, hostile: bool) -> dict[str, Any]:
    return {
        "name": HOSTILE[0] if hostile else "gpt-neo-cnn",
        "base": "EleutherAI/gpt-neo-125m",
        "task": {"source": "abisee/cnn_dailymail", "config": "3.0.0", "document": "article",
                 "summary": "highlights", "template": "{document}\n\nTL;DR: {summary}",
                 "max_length": 256, "max_summary_tokens": 64,
                 "cleaning": ["lowercase", "strip_punctuation"]},
        "protocol": {"epochs": epochs, "micro_batch_size": 16, "grad_accum_steps": 4,
                     "clip_norm": 1.0, "weight_decay": 0.01, "schedule": "constant",
                     "patience": 2, "seeds": list(range(seeds))},
        "methods": {m[0]: {"kind": m[1], "learning_rate": 5e-3, "rank": 8} for m in chosen},
        "search": None,
        "generation": {"strategy": "greedy", "max_new_tokens": 64, "no_repeat_ngram": 3},
    }  # fmt: skip


def _environment() -> dict[str, Any]:
    return {
        "bakeoff": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2",
        "python": "3.11.9", "platform": "Linux x86_64", "device": "NVIDIA T4",
        "precision": "float16", "seed_of_data": 0, "threads": 2,
        "started": "2024-06-11T09:00:00Z", "finished": "2024-06-11T15:12:00Z",
        "wall_seconds": {"load": 4.2, "data": 61.0, "baselines": 180.5, "training": 20_400.0,
                         "test": 910.0, "footprint": 640.0, "total": 22_195.7},
    }  # fmt: skip


def _data(examples: int) -> dict[str, Any]:
    def split(num: int) -> dict[str, int]:
        return {"examples": num, "tokens_raw": num * 790, "tokens_padded": num * 256,
                "tokens_supervised": num * 61, "documents_truncated": num * 9 // 10,
                "rows_skipped": 0}  # fmt: skip

    overlap = {"train_test": 12, "train_validation": 3, "validation_test": 0}
    splits = {"train": split(21_000), "validation": split(6_000), "test": split(examples)}
    return {**splits, "overlap": overlap}


def _around(value: float, spread: float) -> dict[str, float]:
    return {"mean": value, "low": value - spread, "high": value + spread}


def _baseline(nll: float | None, rouge1: float) -> dict[str, Any]:
    scores = {"rouge1": rouge1, "rouge2": rouge1 / 4, "rougeL": rouge1 * 0.65,
              "rougeLsum": rouge1 * 0.9}  # fmt: skip
    intervals = {k: {"low": v - 0.01, "high": v + 0.01} for k, v in scores.items()}
    if nll is not None:
        scores["test_nll"] = nll
        intervals["test_nll"] = {"low": nll - 0.03, "high": nll + 0.03}
    return {**scores, "intervals": intervals}


def _add_method(
    results: dict[str, Any], method: Any, draw: random.Random, seeds: int, epochs: int,
    rates: tuple[float, ...],
) -> None:  # fmt: skip
    name, kind, parameters, seconds, memory, adapter, loss, rouge1 = method
    ids = []
    for factor, seed in itertools.product(rates, range(seeds)):
        suffix = "" if factor == 1.0 else f"-x{factor:g}"
        candidate = f"{re.sub('[^A-Za-z0-9_]', '', name)[:40]}-s{seed}{suffix}"
        if factor == 1.0:
            ids.append(candidate)
        worse = 0.05 * abs(factor - 1) if factor >= 1 else 0.12 * (1 - factor)
        losses = [loss + worse + 0.35 / (e + 1) ** 2 * draw.uniform(0.9, 1.1)
                  for e in range(epochs)]  # fmt: skip
        losses[-1] += 0.02
        best = min(range(epochs), key=losses.__getitem__)
        results["candidates"][candidate] = {
            "method": name, "learning_rate": 5e-3 * factor, "seed": seed, "state": "COMPLETE",
            "best_epoch": best + 1, "reason": None,
            "epochs": [{"epoch": e + 1, "train_nll": v + 0.2 - 0.15 * e, "val_nll": v,
                        "seconds": seconds} for e, v in enumerate(losses)],
        }  # fmt: skip
    results["methods"][name] = {
        "kind": kind, "options": {"rank": 8}, "trainable_parameters": parameters,
        "learning_rate": 5e-3, "peak_memory_bytes": int(memory * 1024**3),
        "epoch_seconds": {"max": seconds, "mean": seconds * 0.98, "train": seconds * 0.8,
                          "validation": seconds * 0.18, "measured_steps": 20, "epoch_steps": 329},
        "generation_rows_per_second": 90.0, "adapter_bytes": adapter, "micro_batch_size": 16,
        "val_nll": loss + 0.01, "test_nll": loss, "test_nll_interval": _around(loss, 0.025),
        "rouge1": _around(rouge1, 0.009), "rouge2": _around(rouge1 * 0.38, 0.006),
        "rougeL": _around(rouge1 * 0.68, 0.007), "rougeLsum": _around(rouge1 * 0.93, 0.008),
        "candidates": ids, "state": "COMPLETE", "reason": None,
    }  # fmt: skip


def _comparison(one: Any, two: Any, metric: str, column: int, scale: float) -> dict[str, Any]:
    difference = one[column] - two[column]
    is_tie = abs(difference) < scale
    better = "a" if (difference < 0) == (metric == "test_nll") else "b"
    return {
        "a": one[0], "b": two[0], "metric": metric, "difference": difference,
        "low": difference - scale, "high": difference + scale,
        "p_value": 0.4 if is_tie else 0.0004, "verdict": "tie" if is_tie else better,
    }  # fmt: skip


def _write_rows(
    folder: Path, results: dict[str, Any], draw: random.Random, examples: int, hostile: bool
) -> None:
    rows = []
    for i in range(examples):
        document = " ".join(draw.choices(WORDS, k=180)).capitalize() + "."
        reference = " ".join(draw.choices(WORDS, k=35)).capitalize() + "."
        if hostile:
            document, reference = HOSTILE[i % len(HOSTILE)], HOSTILE[(i + 1) % len(HOSTILE)]
        rows.append({"index": i, "row": i * 3, "document": document, "reference": reference})
    _jsonl(folder / "examples.jsonl", rows)
    for name in ("zero_shot", "lead"):
        path = folder / "baselines" / name / "predictions.jsonl"
        _jsonl(path, _predicted(rows, draw, 0.2, name == "zero_shot", hostile))
    for entry in results["methods"].values():
        for candidate in entry["candidates"]:
            path = folder / "candidates" / candidate / "predictions.jsonl"
            _jsonl(path, _predicted(rows, draw, entry["rouge1"]["mean"], True, hostile))


def _predicted(
    rows: list[dict[str, Any]], draw: random.Random, rouge1: float, has_nll: bool, hostile: bool
) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        known = row["reference"].split()
        start = draw.randrange(max(1, len(known) - 8))
        text = " ".join([*draw.choices(WORDS, k=9), *known[start : start + 8]])
        score = min(1.0, max(0.0, draw.gauss(rouge1, 0.09)))
        if hostile:
            text = HOSTILE[(row["index"] + 2) % len(HOSTILE)]
        found.append({
            "index": row["index"], "prediction": text, "rouge1": score, "rouge2": score / 3,
            "rougeL": score * 0.7, "rougeLsum": score * 0.9,
            "nll": 150.2 if has_nll else None, "tokens": 61,
        })  # fmt: skip
    return found


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
