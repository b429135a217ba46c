"""Entrants from elsewhere: predictions, adapters and checkpoints in the comparisons of a study."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.config import dump_yaml
from bakeoff.decide.recommendation import recommend
from bakeoff.report.load import load_run
from bakeoff.report.write import build_texts
from bakeoff.runs.reading import read_results
from tests.studies import small_study

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(autouse=True)
def _memory_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full collection after each entrant would take a third of these tests' time."""
    monkeypatch.setattr("bakeoff.execution.entrants.release_memory", lambda: None)


LORA = {"kind": "lora", "rank": 2, "learning_rate": 1e-2}
SEEDS = {"seeds": [0, 1]}
SCORED = {"metrics": ["nll", "rouge1", "chrf"]}
"""What untrained bytes have some of by chance is chrF."""


def predictions(place: Path, seed: int) -> list[dict[str, Any]]:
    file = place / f"out/candidates/lora-lr0.01-s{seed}/predictions.jsonl"
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_predictions_and_adapters_of_a_run_score_as_its_own_to_the_last_digit(
    place: Path, run_small: Run, results: Results, cli: Run, trained: list[str]
) -> None:
    assert run_small(protocol=SEEDS, task=SCORED).code == 0
    files = [
        # In another order, and without scores: the id alone says which row it is.
        write(
            place / f"given-{seed}.jsonl",
            [{"id": r["id"], "prediction": r["prediction"]} for r in predictions(place, seed)][
                ::-1
            ],
        )
        for seed in (0, 1)
    ]
    trained.clear()
    ours = {"kind": "external", "predictions": [f.name for f in files], "price": {"call": 0.002}}
    adapter = {
        "kind": "external",
        "adapter": [f"out/candidates/lora-lr0.01-s{seed}/adapter" for seed in (0, 1)],
    }
    one = {"kind": "external", "predictions": "given-0.jsonl"}
    outcome = run_small(
        protocol=SEEDS,
        task=SCORED,
        methods={"lora": LORA, "ours": ours, "theirs": adapter, "one": one},
    )
    assert outcome.code == 0, outcome.err
    assert trained == []
    found = results()
    assert found["status"] == "complete"
    lora, given, theirs = (found["methods"][name] for name in ("lora", "ours", "theirs"))
    texts = set(lora["test"]) - {"nll"}
    assert len(set(lora["test"]["chrf"]["per_seed"])) == 2
    assert set(given["test"]) == texts
    for metric in texts:
        assert given["test"][metric]["per_seed"] == lora["test"][metric]["per_seed"]
    for metric, reached in lora["test"].items():
        assert theirs["test"][metric]["per_seed"] == pytest.approx(reached["per_seed"], rel=1e-5)
    assert theirs["validation"]["nll"]["mean"] == pytest.approx(lora["validation"]["nll"]["mean"])
    assert (given["learning_rate"], given["kind"]) == (None, "external")
    assert given["external"] == {"form": "predictions", "price": {"call": 0.002}}
    assert not any(value for value in given["cost"].values())
    assert given["candidates"] == ["ours-s0", "ours-s1"]
    record = json.loads((place / "out/candidates/ours-s1/record.json").read_text("utf-8"))
    assert record["source"]["path"] == "given-1.jsonl"
    pairs = {(c["a"], c["b"], c["metric"]) for c in found["comparisons"]}
    assert ("lora", "ours", "rouge1") in pairs and ("lora", "ours", "nll") not in pairs
    assert any("one is external and one run" in note for note in found["notes"])
    assert any("ours is external: 2 runs" in note for note in found["notes"])
    written, _ = build_texts(load_run(place / "out"))
    assert "| ours |" in written["report.md"] and "ours" in written["report.html"]
    foreign = cli("export", "out", "--candidate", "ours-s0", "--to", "peft", "--out", "o")
    assert foreign.code == 2 and "ours-s0 was made elsewhere, of given-0.jsonl" in foreign.message
    report = cli("report", "out", "--format", "csv,latex")
    assert report.code == 0, report.err
    assert "answers from elsewhere" in (place / "out/report.tex").read_text("utf-8")

    again = run_small(
        protocol=SEEDS,
        task=SCORED,
        methods={"lora": LORA, "ours": ours, "theirs": adapter, "one": one},
    )
    assert again.code == 0 and "tested" not in again.out
    # A changed file is noticed.
    rows = [{**r, "prediction": "Nothing."} for r in predictions(place, 0)]
    write(place / "given-0.jsonl", rows)
    changed = run_small(
        protocol=SEEDS,
        task=SCORED,
        methods={"lora": LORA, "ours": ours, "theirs": adapter, "one": one},
    )
    assert changed.code == 0, changed.err
    said = " ".join(f"{changed.out} {changed.err}".split())
    assert "its content changed since ours-s0 was tested" in said
    assert results()["methods"]["ours"]["test"]["rouge1"]["per_seed"][0] == 0.0


def test_missing_double_and_foreign_rows_are_named(
    place: Path, finished: Run, run_small: Run, cli: Run
) -> None:
    finished()
    assert cli("template", "out", "--out", "prompts.jsonl").code == 0
    rows = [json.loads(line) for line in (place / "prompts.jsonl").read_text().splitlines()]
    assert len(rows) == 4 and all(row["prediction"] is None for row in rows)
    assert rows[0]["input"] in rows[0]["prompt"]
    assert [row["id"] for row in rows] == [row["id"] for row in predictions(place, 0)]
    methods = {"lora": LORA, "ours": {"kind": "external", "predictions": "prompts.jsonl"}}
    unfilled = run_small(methods=methods)
    assert unfilled.code == 2
    assert "prompts.jsonl, line 1: the prediction of id" in unfilled.message

    write(place / "prompts.jsonl", [{"id": row["id"], "answer": "x"} for row in rows])
    other = run_small(methods=methods)
    assert other.code == 2
    assert "line 1: has no key prediction" in other.message
    assert "it has id and answer" in other.message

    # As a table writes a cell without an answer.
    write(place / "prompts.jsonl", [{**row, "prediction": float("nan")} for row in rows])
    nothing = run_small(methods=methods)
    assert nothing.code == 2
    assert f"the prediction of id {rows[0]['id']} is NaN, not a text" in nothing.message

    filled = [{**row, "prediction": "x"} for row in rows]
    bad = [filled[0], filled[1], filled[1], {"id": "f00d", "prediction": "x"}]
    write(place / "prompts.jsonl", bad)
    refused = run_small(methods=methods)
    assert refused.code == 2
    for words in (
        "methods.ours.predictions: prompts.jsonl: 1 line names a row that is not in the test set",
        "line 4: id f00d",
        f"id {rows[1]['id']} in lines 2 and 3",
        "2 test rows have no answer",
        f"id {rows[2]['id']} (index 2, row ",
    ):
        assert words in refused.message, refused.message


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "names no place of an external entrant"),
        ({"predictions": "a", "adapter": "b"}, "names adapter and predictions"),
        ({"predictions": ["a", "a"]}, "names a twice"),
        ({"predictions": "a", "rank": 3}, "methods.ours.rank"),
        ({"predictions": "a", "learning_rate": 1e-3}, "is not trained here"),
        ({"predictions": "nowhere.jsonl"}, "nothing is at"),
        ({"adapter": "rows"}, "holds no adapter_config.json"),
        ({"checkpoint": "rows"}, "holds no config.json"),
        ({"predictions": "a", "price": -1.0}, "is not a price"),
        ({"predictions": "a", "price": {"input_token": 3.0}}, "methods.ours.price: names input_"),
        ({"predictions": "a", "price": {"input_tokens": 3.0}}, "price: names input_tokens; give"),
    ],
)
def test_what_names_no_entrant_is_refused_by_its_path(
    run_small: Run, given: dict[str, Any], words: str
) -> None:
    outcome = run_small(methods={"lora": LORA, "ours": {"kind": "external", **given}})
    assert outcome.code == 2
    assert words in outcome.message


def test_a_merged_checkpoint_scores_as_the_adapter_that_is_in_it(
    place: Path, finished: Run, run_small: Run, results: Results, cli: Run
) -> None:
    finished()
    merged = cli("export", "out", "--to", "merged", "--candidate", "lora-lr0.01-s0", "--out", "m")
    assert merged.code == 0, merged.err
    methods = {"lora": LORA, "whole": {"kind": "external", "checkpoint": "m"}}
    outcome = run_small(methods=methods)
    assert outcome.code == 0, outcome.err
    found = results()["methods"]
    for metric, value in found["lora"]["test"].items():
        whole = found["whole"]["test"][metric]["mean"]
        assert whole == pytest.approx(value["mean"], rel=1e-4), metric


def test_an_entrant_is_recommended_only_where_it_is_shown_better(
    place: Path, run_small: Run, results: Results
) -> None:
    """By ROUGE, right answers beat all; equal ones leave the study's own method recommended."""
    sizes = {"decision": {"metric": "chrf"}, "protocol": {"seeds": 3}, "task": SCORED}
    assert run_small(**sizes).code == 0
    rows = [json.loads(line) for line in (place / "out/examples.jsonl").read_text().splitlines()]
    ids = [row["id"] for row in predictions(place, 0)]
    write(
        place / "right.jsonl",
        [{"id": i, "prediction": r["reference"]} for i, r in zip(ids, rows, strict=True)],
    )
    methods = {"lora": LORA, "right": {"kind": "external", "predictions": "right.jsonl"}}
    assert run_small(**sizes, methods=methods).code == 0
    found = read_results(place / "out")
    assert found.methods["right"].test["rouge1"].mean == 1.0
    assert recommend(found).method in (None, "right")
    [pair] = [
        c for c in found.comparisons if {c.a, c.b} == {"lora", "right"} and c.metric == "chrf"
    ]
    assert pair.fixed == (False, True) or pair.fixed == (True, False)


def test_labels_are_read_as_choices_and_others_are_wrong(
    place: Path, run_small: Run, results: Results, cli: Run
) -> None:
    folder = place / "moods"
    folder.mkdir()
    for split, number in (("train", 16), ("validation", 4), ("test", 6)):
        moods = [("poor", "good"), ("fine", "bad")]  # unlike what the words say
        rows = [
            {"said": f"{split} {i} was {moods[i % 2][0]}.", "mood": moods[i % 2][1]}
            for i in range(number)
        ]
        write(folder / f"{split}.jsonl", rows)
    task = {"kind": "classify", "source": "moods", "text": "said", "label": "mood"}
    file = place / "labels.yaml"
    mapping = {**small_study(), "task": {**task, "max_length": 48, "max_target_tokens": 8}}
    file.write_text(dump_yaml(mapping), "utf-8")
    assert cli("run", file, "--out", "out").code == 0
    assert cli("template", "out").code == 0
    prompts = [json.loads(line) for line in (place / "out/template.jsonl").read_text().splitlines()]
    assert all(row["choices"] == ["bad", "good"] for row in prompts)
    answers = ["good", " Bad ", "good", "bad", "neither", "bad"]
    filled = [
        {"id": row["id"], "prediction": text} for row, text in zip(prompts, answers, strict=True)
    ]
    write(place / "filled.jsonl", filled)
    own = write(place / "own.jsonl", predictions(place, 0))
    own.write_text(own.read_text("utf-8"), "utf-8-sig")  # some programs begin a file so
    mapping["methods"] |= {
        "ours": {"kind": "external", "predictions": "filled.jsonl"},
        "own": {"kind": "external", "predictions": "own.jsonl"},
    }
    file.write_text(dump_yaml(mapping), "utf-8")
    outcome = cli("run", file, "--out", "out")
    assert outcome.code == 0, outcome.err
    found = results()["methods"]
    assert found["ours"]["test"]["accuracy"]["mean"] == pytest.approx(5 / 6)
    assert found["ours"]["outputs"]["invalid"] == 1
    for metric in ("accuracy", "macro_f1", "mcc"):
        assert found["own"]["test"][metric]["mean"] == found["lora"]["test"][metric]["mean"]
    assert not {"nll", "label_nll"} & set(found["own"]["test"])
