"""Whole studies of conversations, and of documents by a chat template, up to predictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from bakeoff.inference.finished import FinishedRun

Run = Callable[..., Any]
CANDIDATE = "lora-lr0.01-s0"
pytestmark = pytest.mark.usefixtures("quick")


def write_talks(folder: Path) -> None:
    """One JSON-lines file for each split."""
    folder.mkdir()
    for split, size in (("train", 8), ("validation", 4), ("test", 4)):
        lines = []
        for i in range(size):
            turns = [
                {"role": role, "content": f"{word} {i} of {split}"}
                for role, word in (
                    ("user", "Town"),
                    ("assistant", "Yes"),
                    ("user", "Coast"),
                    ("assistant", "No"),
                )
            ]
            lines.append(json.dumps({"messages": turns}) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")


def predictions(run: Path) -> list[Mapping[str, Any]]:
    lines = (run / "candidates" / CANDIDATE / "predictions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in lines.splitlines()]


def test_conversations_are_learnt_and_answered(run_small: Run, cli: Run, place: Path) -> None:
    write_talks(place / "talks")
    task = {"kind": "chat", "source": "talks", "max_length": 256, "max_target_tokens": 32}
    file = place / "study.yaml"
    outcome = run_small(task={"document": "text", "summary": "short"})
    assert outcome.code == 0, outcome.err
    study = file.read_text(encoding="utf-8")
    start, stop = study.index("task:"), study.index("protocol:")
    listed = "".join(f"  {key}: {value}\n" for key, value in task.items())
    file.write_text(f"{study[:start]}task:\n{listed}{study[stop:]}", encoding="utf-8")
    outcome = cli("run", file, "--out", "talked")
    assert outcome.code == 0, outcome.err
    assert "The base has no chat template, so ChatML is used" in outcome.err + outcome.out
    results = json.loads((place / "talked" / "results.json").read_text(encoding="utf-8"))
    assert results["task"]["kind"] == "chat"
    assert results["task"]["found"]["chat"]["name"] == "ChatML"
    assert any("ChatML is used" in note for note in results["notes"])
    assert [m["name"] for m in results["task"]["metrics"]] == ["nll", "exact_match", "rougeL"]
    # The test rows again, answered by the record of the run alone.
    outcome = cli("predict", "talked", "talks/test.jsonl", "--candidate", CANDIDATE, "--json")
    assert outcome.code == 0, outcome.err
    answers = [json.loads(line)["answer"] for line in outcome.out.splitlines()]
    assert answers == [row["prediction"] for row in predictions(place / "talked")]
    outcome = cli("export", "talked", "--candidate", CANDIDATE, "--to", "merged", "--out", "whole")
    assert outcome.code == 0, outcome.err
    run = FinishedRun(place / "talked", "cpu")
    [talk, *_] = [
        json.loads(line)
        for line in (place / "talks" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    tokenizer: Any = AutoTokenizer.from_pretrained(place / "whole")
    rendered = tokenizer.apply_chat_template(talk["messages"], tokenize=False)
    assert rendered == run.task.example(talk).text


def test_documents_by_a_chat_template(run_small: Run, cli: Run, place: Path) -> None:
    outcome = run_small(task={"chat_template": "chatml", "max_length": 160})
    assert outcome.code == 0, outcome.err
    run = FinishedRun(place / "out", "cpu")
    row = {"text": "A fair.", "short": "Fair."}
    end = run.base.tokenizer.eos_token
    assert run.task.example(row).text == (
        f"<|im_start|>user\nA fair.\n\nTL;DR:{end}\n<|im_start|>assistant\nFair.{end}"
    )
    kept = predictions(place / "out")
    lines = "".join(
        json.dumps({"text": json.loads(line)["text"]}) + "\n"
        for line in (place / "rows" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    )
    (place / "again.jsonl").write_text(lines, encoding="utf-8")
    outcome = cli("predict", "out", "again.jsonl", "--candidate", CANDIDATE, "--json")
    assert outcome.code == 0, outcome.err
    answers = [json.loads(line)["summary"] for line in outcome.out.splitlines()]
    assert answers == [row["prediction"] for row in kept]
