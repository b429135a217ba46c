"""The study of ``studies/seed.yaml``, on made-up words, run by the command line.

Its sizes and protocol are those of ``studies/seed.yaml``; it differs where a benchmark must: no
candidate stops early, so that the work is known; all rates are one rate that no random base
diverges at; and generation may repeat itself, as Transformers' own option against that means
something else and costs more than the tokens.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from bakeoff.config import dump_yaml
from engines.ours import METHODS
from engines.workload import LEARNING_RATE, SEED

_WORDS = 2000
_LETTERS = (3, 9)


@dataclass(frozen=True, kw_only=True)
class OurRun:
    """What the command line came to.

    Attributes:
        folder: the run's. results: its ``results.json``.
        seconds: from the start of the process to its end, report and all.
        peak_memory_bytes: see ``measured_run``.
    """

    folder: Path
    results: Mapping[str, Any]
    seconds: float
    peak_memory_bytes: int


def study_of(arguments: argparse.Namespace, source: Path) -> dict[str, Any]:
    """The study as its file says it."""
    return {
        "name": "seed",
        "base": arguments.base,
        "task": {
            "source": str(source),
            "document": "document",
            "summary": "summary",
            "cleaning": ["lowercase", "strip_punctuation"],
            "template": "{document}\n\nTL;DR: {summary}",
            "max_length": arguments.max_length,
            "max_target_tokens": arguments.supervised,
        },
        "protocol": {
            "epochs": arguments.epochs,
            "micro_batch_size": arguments.micro_batch_size,
            "grad_accum_steps": arguments.accumulate,
            "max_grad_norm": 1.0,
            "weight_decay": 0.01,
            "schedule": "constant",
            "patience": None,
            "seeds": [SEED],
        },
        "methods": {
            name: {**METHODS[name], "learning_rate": LEARNING_RATE} for name in arguments.method
        },
        "search": None,
        "generation": {
            "strategy": "greedy",
            "max_new_tokens": arguments.supervised,
            "no_repeat_ngram": 0,
        },
        "slots": arguments.slots,
        "precision": arguments.precision,
    }


def write_data(
    folder: Path, tokenizer: PreTrainedTokenizerBase, arguments: argparse.Namespace
) -> None:
    """Writes a file per split: documents that fill a row, summaries about as long as asked for."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(SEED)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(
        ["".join(draw.choice(letters, draw.integers(*_LETTERS))) for _ in range(_WORDS)]
    )
    encoded: Any = tokenizer([f" {word}" for word in words], add_special_tokens=False)
    costs = np.array([len(ids) for ids in encoded["input_ids"]])

    def texts(num_tokens: int) -> Iterator[str]:
        while True:
            chosen = draw.integers(0, _WORDS, num_tokens)
            total = np.cumsum(costs[chosen])
            yield " ".join(words[chosen[: int(np.searchsorted(total, num_tokens, "right"))]])

    # A word more than fits, so that every document is cut to fill its row.
    documents, summaries = texts(2 * arguments.max_length), texts(arguments.supervised - 1)
    for split in ("train", "validation", "test"):
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as lines:
            for _ in range(getattr(arguments, split)):
                row = {"document": next(documents), "summary": next(summaries)}
                lines.write(json.dumps(row) + "\n")


def run_ours(study: Mapping[str, Any], place: Path, device: str) -> OurRun:
    """Runs the command line in a process of its own.

    Raises:
        SystemExit: if the study does not come to its end; with what the process said.
    """
    study_file, folder, peak = place / "study.yaml", place / "run", place / "peak.json"
    study_file.write_text(dump_yaml(dict(study)), encoding="utf-8")
    script = Path(__file__).with_name("measured_run.py")
    command = [sys.executable, script, peak, "run", study_file, "--out", folder]
    command += ["--device", device, "--executor", "local"]  # whose memory is watched
    started = time.perf_counter()
    ended = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    seconds = time.perf_counter() - started
    if ended.returncode:
        raise SystemExit(f"bakeoff's study ended with {ended.returncode}:\n{ended.stdout}")
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    unfinished = {n: c["state"] for n, c in results["candidates"].items() if not c["epochs"]}
    if results["status"] != "complete" or unfinished:
        raise SystemExit(f"bakeoff's study is {results['status']}; without epochs: {unfinished}")
    return OurRun(
        folder=folder,
        results=results,
        seconds=seconds,
        peak_memory_bytes=json.loads(peak.read_text(encoding="utf-8"))["peak_memory_bytes"],
    )
