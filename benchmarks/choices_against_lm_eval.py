"""Zero-shot accuracy of a multiple-choice data set, by bakeoff and by lm-evaluation-harness.

    python -m pip install lm_eval
    python benchmarks/choices_against_lm_eval.py DATA --base smollm2-135m --rows 500

DATA is a folder with train, validation and test files, whose rows have ``question``, ``choices``
(a list) and ``answer`` (an index from 0). Both ask the untuned base in float32 for the first test
rows, with the layout of lm-evaluation-harness's ``arc_easy``. Prints one JSON object per line: each
row on which an answer differs, or a likelihood by more than 0.001 nats, with both; then
``accuracy`` and ``accuracy_norm`` beside ``acc`` and ``acc_norm``, and the greatest difference of a
likelihood. Ends with 1 where an accuracy differs by more than a point.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Before any library of theirs is imported: nothing is fetched.
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import numpy as np
import torch
from numpy.typing import NDArray

from bakeoff.base.model import Base
from bakeoff.base.weights.sources import load_source
from bakeoff.data.sources import open_source
from bakeoff.data.taskdata import SplitData
from bakeoff.engine.choose import choose
from bakeoff.engine.cohort import Cohort
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.metrics.registry import metric_of
from bakeoff.study.opening import cache_folder
from bakeoff.tasks.contract import Task, columns_of
from bakeoff.tasks.preparation.prepare import prepare
from bakeoff.tasks.registry import read_task

Floats = NDArray[np.float64]
_NATS = 1e-3
_POINT = 0.01


def main(argv: Sequence[str] | None = None) -> int:
    """Compares; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train, validation and test files")
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--rows", type=int, default=500, help="test rows, the first ones")
    arguments = parser.parse_args(argv)
    root = Path.cwd()
    source = load_source(arguments.base, root=root, cache_dir=cache_folder())
    task = read_task(
        {
            "kind": "choose",
            "source": str(arguments.data),
            "answer_is": "index",
            "chat_template": "none",
            "max_length": 1024,
            "examples": {"train": 1, "validation": 1, "test": arguments.rows},
        }
    )
    part = prepare(
        task, source.tokenizer, root=root, cache_dir=None, tokenizer_id=arguments.base
    ).splits["test"]
    if part.rows_cut:
        parser.error(f"{part.rows_cut} rows do not fit 1,024 tokens; lm-eval cuts them elsewhere")
    start = time.perf_counter()
    base = Base(source, device=torch.device("cpu"), dtype=torch.float32)
    ours = _ours(base, part)
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        source.model.save_pretrained(folder)
        source.tokenizer.save_pretrained(folder)
        start = time.perf_counter()
        theirs = _theirs(Path(folder), _rows(task, part, root))
    _print(
        rows=len(part),
        seconds=round(seconds, 1),
        seconds_lm_eval=round(time.perf_counter() - start, 1),
    )
    return _compare(part, ours, theirs)


def _ours(base: Base, part: SplitData) -> list[Floats]:
    """[M] nats of each row's choices."""
    with Cohort(base, [], 1) as cohort:
        prompts = [part.prompts[i] for i in range(len(part))]
        choices = [part.choice_sets[place].tokens for place in part.choice_set]
        [nlls] = choose(cohort, [0], prompts, choices)
    return nlls


def _rows(task: Task, part: SplitData, root: Path) -> list[Mapping[str, object]]:
    """The same rows as found, untouched by the task."""
    source = open_source(task.options, columns_of(task), root=root)
    found = {record.row: record.values for record in source.records("test")}
    return [found[int(row)] for row in part.rows]


def _theirs(folder: Path, rows: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
    """lm-evaluation-harness's samples, in the rows' order."""
    from lm_eval import simple_evaluate
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.huggingface import HFLM

    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(dict(row)) + "\n" for row in rows), encoding="utf-8")
    metrics = [
        {"metric": name, "aggregation": "mean", "higher_is_better": True}
        for name in ("acc", "acc_norm")
    ]
    task = ConfigurableTask(
        config={
            "task": "choices",
            "dataset_path": "json",
            "dataset_kwargs": {
                "data_files": {"test": str(file)},
                "cache_dir": str(folder / "datasets"),
            },
            "output_type": "multiple_choice",
            "test_split": "test",
            "doc_to_text": "Question: {{question}}\nAnswer:",
            "doc_to_target": "answer",
            "doc_to_choice": "choices",
            "metric_list": metrics,
        }
    )
    model = HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=16)
    found = simple_evaluate(model=model, tasks=[task], bootstrap_iters=0, log_samples=True)
    assert found is not None
    samples: list[dict[str, Any]] = found["samples"]["choices"]
    return sorted(samples, key=lambda sample: int(sample["doc_id"]))


def _compare(part: SplitData, ours: Sequence[Floats], theirs: Sequence[Mapping[str, Any]]) -> int:
    """Prints what differs and what each reached; returns the exit code."""
    outputs = ModelOutputs(
        choice_nlls=ours, chosen_N=np.array([int(nlls_M.argmin()) for nlls_M in ours])
    )
    found: dict[str, Floats] = {
        name: metric_of(name).statistics(outputs, part.expected)[:, 0].astype(np.float64)
        for name in ("accuracy", "accuracy_norm")
    }
    right = {
        name: np.array([float(sample[theirs_name]) for sample in theirs])
        for name, theirs_name in (("accuracy", "acc"), ("accuracy_norm", "acc_norm"))
    }
    greatest = 0.0
    for row, (nlls_M, sample) in enumerate(zip(ours, theirs, strict=True)):
        their_M = -np.array([float(one[0]) for one in sample["filtered_resps"]])
        off = float(np.abs(nlls_M - their_M).max())
        greatest = max(greatest, off)
        answers_differ = any(found[name][row] != right[name][row] for name in found)
        if off > _NATS or answers_differ:
            _print(
                row=int(part.rows[row]),
                answers_differ=answers_differ,
                nats=nlls_M.round(4).tolist(),
                nats_lm_eval=their_M.round(4).tolist(),
                choices=list(part.expected[row].choices),
            )
    summary = {
        name: {"bakeoff": float(found[name].mean()), "lm_eval": float(right[name].mean())}
        for name in found
    }
    differ = {name: int((found[name] != right[name]).sum()) for name in found}
    _print(summary=True, **summary, rows_that_differ=differ, most_nats=greatest)
    off_points = max(abs(one["bakeoff"] - one["lm_eval"]) for one in summary.values())
    return int(off_points > _POINT)


def _print(**record: Any) -> None:
    print(json.dumps(record, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    sys.exit(main())
