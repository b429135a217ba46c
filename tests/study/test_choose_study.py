"""Studies of multiple choice and of labels that are written, from rows to results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.config import dump_yaml
from tests.studies import Outcome

Cli = Callable[..., Outcome]
Results = Callable[[], dict[str, Any]]
SIZES = {"train": 24, "validation": 6, "test": 9}
WORDS = ("aaa", "bbb", "ccc", "ddd")
pytestmark = pytest.mark.usefixtures("quick")


def write_rows(folder: Path) -> None:
    """Rows whose right choice is the word of their question."""
    folder.mkdir()
    number = 0
    for split, size in SIZES.items():
        rows = []
        for _ in range(size):
            count = 2 + number % 3
            right = number * 5 % 7 % count
            rows.append(
                {
                    "body": f"{WORDS[right]} storm {number}",
                    "options": list(WORDS[:count]),
                    "key": "ABCD"[right],
                    "word": WORDS[right],
                }
            )
            number += 1
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")


def study_of(**task: Any) -> str:
    return dump_yaml(
        {
            "name": "choices",
            "base": "scratch:tiny-gpt-neo",
            "task": {"source": "quiz", "max_length": 64, "max_target_tokens": 8, **task},
            "protocol": {"epochs": 2, "micro_batch_size": 4, "grad_accum_steps": 1, "seeds": [0]},
            "methods": {"full": {"kind": "full", "learning_rate": 3e-3}},
            "precision": "float32",
            "generation": {"max_new_tokens": 4},
        }
    )


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_study_of_multiple_choice_from_end_to_end(
    cli: Cli, place: Path, results: Results
) -> None:
    write_rows(place / "quiz")
    task = {"kind": "choose", "question": "body", "choices": "options", "answer": "key"}
    (place / "study.yaml").write_text(study_of(**task), encoding="utf-8")
    outcome = cli("run", "study.yaml", "--out", "out")
    assert outcome.code == 0, outcome.err
    found = results()
    names = ["accuracy", "accuracy_norm", "nll"]
    assert [m["name"] for m in found["task"]["metrics"]] == names
    assert found["task"]["found"] == {"answer_is": "letter"}
    assert set(found["baselines"]) == {"random", "zero_shot"}
    assert "task.answer_is was found to be letter" in outcome.out + outcome.err
    test = rows_of(place / "quiz/test.jsonl")
    [candidate] = found["methods"]["full"]["candidates"]
    kept = rows_of(place / "out/candidates" / candidate / "predictions.jsonl")
    for row, answer in zip(test, kept, strict=True):
        assert answer["prediction"] in row["options"]
        assert answer["accuracy"] == (answer["prediction"] == row["word"])
    accuracy = np.mean([row["accuracy"] for row in kept])
    assert found["methods"]["full"]["test"]["accuracy"]["mean"] == pytest.approx(accuracy)
    random = rows_of(place / "out/baselines/random/predictions.jsonl")
    assert all(r["prediction"] in row["options"] for r, row in zip(random, test, strict=True))
    assert set(found["baselines"]["random"]["test"]) == {"accuracy"}
    # Rows without an answer are asked by the same rule.
    lines = [json.dumps({"body": row["body"], "options": row["options"]}) for row in test]
    (place / "new.jsonl").write_text("\n".join(lines), encoding="utf-8")
    predicted = cli("predict", "out", "new.jsonl", "--candidate", candidate, "--json")
    assert predicted.code == 0, predicted.err
    answers = [json.loads(line)["choice"] for line in predicted.out.splitlines()]
    assert answers == [row["prediction"] for row in kept]


def test_a_study_of_written_labels_counts_invalid_ones(
    cli: Cli, place: Path, results: Results
) -> None:
    write_rows(place / "quiz")
    task = {"kind": "classify", "text": "body", "label": "word", "answer": "generate"}
    (place / "study.yaml").write_text(study_of(**task), encoding="utf-8")
    outcome = cli("run", "study.yaml", "--out", "out")
    assert outcome.code == 0, outcome.err
    found = results()
    assert set(found["baselines"]) == {"majority", "zero_shot"}
    test = rows_of(place / "quiz/test.jsonl")
    for name, record, folder in (
        (
            "full",
            found["methods"]["full"],
            "candidates/" + found["methods"]["full"]["candidates"][0],
        ),
        ("zero_shot", found["baselines"]["zero_shot"], "baselines/zero_shot"),
    ):
        kept = rows_of(place / "out" / folder / "predictions.jsonl")
        texts = [row["prediction"].strip().lower() for row in kept]
        right = [text == row["word"] for text, row in zip(texts, test, strict=True)]
        assert record["test"]["accuracy"]["mean"] == pytest.approx(np.mean(right)), name
        invalid = sum(text not in WORDS for text in texts)
        assert record["outputs"]["invalid"] == invalid, name
        table = np.array(record["confusion"])
        assert table.sum() == len(test), name
        assert (table[:, len(WORDS) :].sum() if invalid else 0) == invalid, name
    assert found["baselines"]["zero_shot"]["outputs"]["invalid"] > 0, "a random model writes noise"
