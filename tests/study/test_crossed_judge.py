"""A judge over all cells of a crossed study: one opponent, the same rows, one journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bakeoff.config import dump_yaml
from bakeoff.execution.judging.journal import CALLS_FILE
from bakeoff.runs.reading import read_results
from tests.judges import Asked, Double, position_voter, serving
from tests.studies import Outcome, small_study

pytestmark = pytest.mark.usefixtures("quick")
TEMPLATES = {"short": "{text}\n{short}", "long": "Read this and repeat it.\n{text}\n{short}"}
TASK = {
    "kind": "complete",
    "source": "rows",
    "prompt": "text",
    "completion": "short",
    "max_length": 160,
    "max_target_tokens": 32,
    "metrics": ["judge"],
}
Run = Callable[..., Outcome]
Judge = Callable[..., Double]


@pytest.fixture
def judge() -> Iterator[Judge]:
    """Starts doubles that end with the test."""
    with ExitStack() as open_ones:
        yield lambda *args, **keys: open_ones.enter_context(serving(Double(*args, **keys)))


@pytest.fixture
def run(place: Path, cli: Run) -> Run:
    """Runs a study of one method with two prompts in the folder ``out``."""

    def call(**changes: Any) -> Outcome:
        study = small_study(generation={"max_new_tokens": 4}, baselines=["zero_shot"])
        study |= {"protocol": {"epochs": 1, "seeds": [0, 1]}, "task": TASK, "templates": TEMPLATES}
        (place / "study.yaml").write_text(dump_yaml({**study, **changes}), encoding="utf-8")
        return cli("run", "study.yaml", "--out", "out", "--device", "cpu")

    return call


def by_content(asked: Asked) -> str:
    """Prefers an answer by its text alone, so that orders agree."""
    a, b = asked.a.strip(), asked.b.strip()
    return "[[TIE]]" if a == b else "[[A]]" if a > b else "[[B]]"


def test_answers_of_all_cells_are_judged_against_one(
    run: Run, place: Path, cli: Run, judge: Judge, trained: list[str]
) -> None:
    double = judge(by_content)
    section = double.section(rows=3)
    outcome = run(judge=section, decision={"metric": "judge"})
    assert outcome.code == 0, outcome.err
    # Two runs of two prompts and two baselines, three rows, both orders.
    assert "gets up to 36 calls, with up to 3 test rows" in " ".join(outcome.out.split())
    found = read_results(place / "out")
    names = [f"lora@{label}" for label in TEMPLATES]
    record = found.judge
    assert found.status == "complete" and record is not None and found.primary.name == "judge"
    assert (record.against, record.rows, record.rows_of_test) == ("zero_shot@short", 3, 4)
    assert set(record.tallies) == {*names, "zero_shot@long"}
    assert record.calls == len(double.asked) > 0 and len({a.task for a in double.asked}) <= 3
    assert found.baselines["zero_shot@short"].test["judge"].mean == 0.5
    for name in names:
        tally, score = record.tallies[name], found.methods[name].test["judge"]
        said = tally.wins + tally.ties + tally.losses + 2 * tally.identical
        won = tally.wins + tally.ties / 2 + tally.identical
        assert said == 2 * 2 * 3 and score.mean == pytest.approx(won / said)
        assert len(score.per_seed) == 2
    pairs = {(c.a, c.b) for c in found.comparisons if c.metric == "judge"}
    assert len(pairs) == 4 * 3 // 2 and tuple(names) in pairs
    assert {c.examples for c in found.comparisons if c.metric == "judge"} == {3}
    assert any("compared every answer with that of zero_shot@short" in n for n in found.notes)
    # What was compared are the answers that the cells keep, and no cell asks on its own.
    kept = {
        str(json.loads(line)["prediction"]).strip()
        for path in (place / "out/cells").glob("*/*/*/predictions.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    }
    assert {text.strip() for a in double.asked for text in (a.a, a.b)} <= kept
    assert (place / "out" / CALLS_FILE).exists()
    assert not list((place / "out/cells").glob(f"*/{CALLS_FILE}"))
    assert any(
        "judged in the study's own folder" in note
        for note in read_results(place / "out/cells/long").notes
    )

    # A complete study asks no one; another prompt is paid for alone, and all rows are.
    calls = len(double.asked)
    assert cli("run", "out").code == 0 and len(double.asked) == calls and len(trained) == 4
    assert cli("run", "out", "--set", "judge.rows=null").code == 0
    questions = [(one.a, one.b, one.task) for one in double.asked]
    assert len(questions) == len(set(questions)) > calls and len(trained) == 4
    grown = read_results(place / "out")
    assert grown.judge is not None and grown.judge.rows == 4

    # People's votes come later, by the names of the whole study.
    vote = {"index": 1, "a": names[0], "b": "zero_shot@short", "vote": "tie"}
    (place / "out/votes.jsonl").write_text(json.dumps(vote), encoding="utf-8")
    calls = len(double.asked)
    assert cli("run", "out").code == 0 and len(double.asked) == calls
    voted = read_results(place / "out").judge
    assert voted is not None and voted.human is not None and voted.human.votes == 1


def test_a_vote_names_its_row_as_the_report_does(run: Run, place: Path, judge: Judge) -> None:
    """A prompt that reads another column leaves out the first row."""
    for path in (place / "rows").glob("*.jsonl"):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        rows = [{**row, "more": "No more."} for row in rows]
        if path.stem == "test":
            rows[0]["more"] = {"no": "text"}
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    templates = {**TEMPLATES, "long": "{text}\n{more}\n{short}"}
    (place / "votes.jsonl").write_text(
        "".join(
            json.dumps({"index": n, "a": "lora@short", "b": "zero_shot@short", "vote": "tie"})
            + "\n"
            for n in (0, 3)
        ),
        encoding="utf-8",
    )
    outcome = run(
        task={**TASK, "on_bad_row": "skip"},
        templates=templates,
        protocol={"epochs": 1, "seeds": [0]},
        judge=judge(by_content).section(votes="votes.jsonl"),
    )
    assert outcome.code == 0, outcome.err
    record = read_results(place / "out").judge
    assert record is not None and record.rows == 3 and record.human is not None
    assert (record.human.votes, record.human.left_out) == (1, 1)
    assert record.human.first_left_out == "line 1: row 0 is not one that all were asked"


def test_a_judge_that_fails_or_looks_at_places_alone(run: Run, place: Path, judge: Judge) -> None:
    double = judge(position_voter, fails=[401] * 20)
    section = double.section(parallel=1, against="reference")
    outcome = run(judge=section, decision={"margin": {"judge": 0.4}})
    assert outcome.code != 2 and "the judge was given up" in " ".join(outcome.out.split())
    found = read_results(place / "out")
    assert found.status == "partial" and found.judge is not None and found.judge.rows == 0
    assert "judge" not in found.methods["lora@short"].test
    double.fails.clear()
    assert run(judge=section, decision={"margin": {"judge": 0.4}}).code == 0
    found = read_results(place / "out")
    assert found.status == "complete" and found.judge is not None and found.decision is not None
    assert found.judge.rows == 4 and found.judge.by_place_too_often
    assert found.decision.margins["judge"].source == "judge"
    assert "prefers by position" in found.decision.warnings[0].text
    verdicts = {c.verdict for c in found.comparisons if c.metric == "judge"}
    assert verdicts and "equivalent" not in verdicts
