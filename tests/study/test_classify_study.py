"""A study whose task is to choose a label, from its rows to its results and predictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bakeoff.base.weights.sources import load_source
from bakeoff.config import dump_yaml
from bakeoff.metrics.registry import metric_of
from bakeoff.runs.arrays import read_arrays
from bakeoff.study.loading import load_study
from bakeoff.study.opening import load_base, workbench_of
from tests.studies import Outcome

Cli = Callable[..., Outcome]
Results = Callable[[], dict[str, Any]]
LABELS = ["no", "perhaps", "yes"]
SIZES = {"train": 24, "validation": 6, "test": 7}
pytestmark = pytest.mark.usefixtures("quick")


def write_labelled(folder: Path) -> None:
    """Rows whose label can be told from their first word."""
    number = 0
    for split, size in SIZES.items():
        rows = []
        for _ in range(size):
            label = number % 3
            rows.append({"id": number, "body": f"{'abc'[label] * 3} storm {number}", "kind": label})
            number += 1
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")


def study_of(**task: Any) -> dict[str, Any]:
    return {
        "name": "labels",
        "base": "scratch:tiny-gpt-neo",
        "task": {
            "kind": "classify",
            "source": "labelled",
            "text": "body",
            "label": "kind",
            "labels": LABELS,
            "max_length": 64,
            **task,
        },
        "protocol": {"epochs": 3, "micro_batch_size": 4, "grad_accum_steps": 1, "seeds": [0, 1]},
        "methods": {
            "full": {"kind": "full", "learning_rate": 3e-3},
            "lora": {"kind": "lora", "rank": 2, "learning_rate": 1e-3},
        },
        "precision": "float32",
    }


@pytest.fixture
def run(place: Path, cli: Cli) -> Iterator[Callable[..., Outcome]]:
    """Writes the study with some changes and runs it in the folder ``out``."""
    (place / "labelled").mkdir()
    write_labelled(place / "labelled")

    def call(*arguments: object, **task: Any) -> Outcome:
        (place / "study.yaml").write_text(dump_yaml(study_of(**task)), encoding="utf-8")
        return cli("run", "study.yaml", "--out", "out", *arguments)

    yield call


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_study_of_labels_from_end_to_end(
    run: Callable[..., Outcome], place: Path, results: Results
) -> None:
    outcome = run()
    assert outcome.code == 0, outcome.err
    found = results()
    assert found["status"] == "complete"
    assert found["task"]["kind"] == "classify"
    assert [m["name"] for m in found["task"]["metrics"]] == [
        "accuracy",
        "macro_f1",
        "mcc",
        "nll",
        "label_nll",
    ]
    assert [m["name"] for m in found["task"]["metrics"] if m["primary"]] == ["accuracy"]
    assert set(found["baselines"]) == {"majority", "zero_shot"}
    test = rows_of(place / "labelled/test.jsonl")
    gold = [LABELS[row["kind"]] for row in test]
    train = [LABELS[row["kind"]] for row in rows_of(place / "labelled/train.jsonl")]
    most = max(LABELS, key=train.count)
    majority = found["baselines"]["majority"]
    assert majority["test"]["accuracy"]["mean"] == pytest.approx(gold.count(most) / len(gold))
    assert "nll" not in majority["test"]
    shown = rows_of(place / "out/examples.jsonl")
    assert [row["input"] for row in shown] == [row["body"] for row in test]
    assert [row["reference"] for row in shown] == gold
    for name, method in found["methods"].items():
        accuracies = []
        for candidate in method["candidates"]:
            rows = rows_of(place / "out/candidates" / candidate / "predictions.jsonl")
            answers = [row["prediction"] for row in rows]
            assert set(answers) <= set(LABELS)
            right = [answer == label for answer, label in zip(answers, gold, strict=True)]
            assert [row["accuracy"] for row in rows] == right
            accuracies.append(np.mean(right))
        assert method["test"]["accuracy"]["per_seed"] == pytest.approx(accuracies), name
        # What is chosen is followed on the validation rows as well.
        assert set(method["validation"]) == {"accuracy", "macro_f1", "mcc", "nll", "label_nll"}
        assert method["outputs"] is None, "nothing was written, and no choice is invalid"
    pairs = {(c["a"], c["b"]) for c in found["comparisons"] if c["metric"] == "accuracy"}
    assert ("full", "lora") in pairs
    untuned = found["baselines"]["zero_shot"]["test"]["nll"]["mean"]
    assert found["methods"]["full"]["test"]["nll"]["mean"] < untuned / 2


def test_what_is_chosen_is_the_likeliest_label_by_plain_transformers(
    run: Callable[..., Outcome], place: Path, results: Results
) -> None:
    assert run().code == 0
    source = load_source("scratch:tiny-gpt-neo", root=place, cache_dir=place / "cache")
    model: Any = source.model.eval()
    encode: Any = source.tokenizer
    answers, nlls = [], []
    for row in rows_of(place / "labelled/test.jsonl"):
        prompt = encode(f"{row['body']}\n\nLabel:")["input_ids"]
        sums = []
        for label in LABELS:
            choice = encode(f" {label}")["input_ids"]
            ids = torch.tensor([prompt + choice])
            with torch.no_grad():
                logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
            sums.append(F.cross_entropy(logits, torch.tensor(choice), reduction="sum").item())
        answers.append(LABELS[int(np.argmin(sums))])
        nlls.append(sums[row["kind"]])
    kept = rows_of(place / "out/baselines/zero_shot/predictions.jsonl")
    assert [row["prediction"] for row in kept] == answers
    assert [row["nll"] for row in kept] == pytest.approx(nlls, abs=1e-4)


def test_kept_scores_are_the_results(
    run: Callable[..., Outcome], place: Path, results: Results
) -> None:
    assert run().code == 0
    metrics = {
        name: metric_of(name, labels=LABELS) for name in ("accuracy", "macro_f1", "mcc", "nll")
    }
    for split in ("validation", "test"):
        for name, method in results()["methods"].items():
            for index, candidate in enumerate(method["candidates"]):
                arrays = read_arrays(place / f"out/candidates/{candidate}/scores/{split}.npz")
                assert arrays is not None
                for metric_name, metric in metrics.items():
                    value = float(metric.value(arrays[metric_name].sum(axis=0)))
                    per_seed = method[split][metric_name]["per_seed"]
                    assert value == pytest.approx(per_seed[index], rel=1e-12), (name, metric_name)


def test_the_same_command_again_trains_nothing(
    run: Callable[..., Outcome], place: Path, results: Results, trained: list[str]
) -> None:
    assert run().code == 0
    before = results()
    assert len(trained) == 4
    for part in ("full-lr0.003-s0", "lora-lr0.001-s1"):
        (place / f"out/candidates/{part}/scores/validation.npz").unlink()
    file = place / "out/results.json"
    file.write_text(json.dumps({**before, "status": "partial"}), encoding="utf-8")
    trained.clear()
    assert run().code == 0
    assert trained == []
    after = results()
    assert after["status"] == "complete"
    for name, method in before["methods"].items():
        for split in ("validation", "test"):
            assert after["methods"][name][split] == method[split]


def test_labels_that_training_decides_are_kept_with_the_results(
    run: Callable[..., Outcome], cli: Cli, place: Path, results: Results
) -> None:
    outcome = run("--set", "protocol.seeds=[0]", "--set", "protocol.epochs=1", labels=None)
    assert outcome.code == 0, outcome.err
    assert results()["task"]["found"] == {"labels": ["0", "1", "2"]}
    assert results()["study"]["task"]["labels"] is None
    rows = rows_of(place / "labelled/test.jsonl")
    unlabelled = [{"body": row["body"]} for row in rows]
    text = "".join(json.dumps(row) + "\n" for row in unlabelled)
    (place / "new.jsonl").write_text(text, encoding="utf-8")
    candidate = "full-lr0.003-s0"
    predicted = cli("predict", "out", "new.jsonl", "--candidate", candidate, "--json")
    assert predicted.code == 0, predicted.err
    answers = [json.loads(line)["label"] for line in predicted.out.splitlines()]
    kept = rows_of(place / "out/candidates" / candidate / "predictions.jsonl")
    assert answers == [row["prediction"] for row in kept]
    again = cli("predict", "out", "new.jsonl", "--candidate", candidate, "--json", "--merged")
    assert again.out == predicted.out


def test_other_labels_are_another_study(
    run: Callable[..., Outcome], place: Path, contents: Callable[[Path], Mapping[str, bytes]]
) -> None:
    assert run("--set", "protocol.epochs=1").code == 0
    before = contents(place / "out")
    outcome = run("--set", "protocol.epochs=1", labels=["no", "yes", "perhaps"])
    assert outcome.code == 2
    assert "task.labels" in outcome.message
    assert contents(place / "out") == before


@pytest.mark.parametrize(
    ("task", "parts"),
    [
        ({"label": "sort"}, ["task.label is 'sort'", "'body', 'id', 'kind'"]),
        ({"text": "id"}, ["task.text is 'id'", "plain number", "'body'"]),
        ({"labels": ["no", "yes"]}, ["train.jsonl has bad rows", "'2'", "task.labels"]),
        ({"document": "body"}, ["task.document", "unknown key"]),
        ({"template": "{text} {summary}"}, ["task.template", "{label}"]),
        ({"kind": "clasify"}, ["task.kind", "did you mean 'classify'?"]),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained(
    run: Callable[..., Outcome], place: Path, task: dict[str, Any], parts: list[str]
) -> None:
    outcome = run(**task)
    assert outcome.code == 2
    assert [part for part in parts if part not in outcome.message] == [], outcome.message
    assert not (place / "out/results.json").exists()


def test_the_workbench_s_fingerprint_follows_the_labels(place: Path) -> None:
    (place / "labelled").mkdir()
    write_labelled(place / "labelled")
    found = []
    for labels in (LABELS, ["no", "perhaps", "aye"], None):
        (place / "study.yaml").write_text(dump_yaml(study_of(labels=labels)), encoding="utf-8")
        study = load_study(place / "study.yaml")
        bench = workbench_of(study, load_base(study, "cpu"))
        assert bench.task.options.labels == tuple(labels or "012")
        found.append(bench.fingerprints()["data"])
    assert len(set(found)) == 3
