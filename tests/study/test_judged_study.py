"""A study whose answers are judged: scores, record, resuming, growing, and a judge that fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bakeoff.api.study import Study
from bakeoff.errors import ConfigError
from bakeoff.serve.http.bodies import VoteBody
from bakeoff.serve.votes import Votes
from bakeoff.study.loading import study_from_mapping
from tests.judges import Asked, Double, length_voter, position_voter, serving
from tests.studies import small_study

Run = Callable[..., Any]
Judge = Callable[..., Double]
METRICS = {"metrics": ["rouge1", "judge"]}
SEEDS = {"seeds": [0, 1]}


@pytest.fixture
def judge() -> Iterator[Judge]:
    """Starts doubles that end with the test."""
    with ExitStack() as open_ones:
        yield lambda *args, **keys: open_ones.enter_context(serving(Double(*args, **keys)))


@pytest.fixture
def results(place: Path) -> Callable[[], dict[str, Any]]:
    """What the folder ``out`` holds."""
    return lambda: json.loads((place / "out/results.json").read_text(encoding="utf-8"))


def by_content(asked: Asked) -> str:
    """Prefers an answer by its text alone, so that orders agree."""
    a, b = asked.a.strip(), asked.b.strip()
    return "[[TIE]]" if a == b else "[[A]]" if a > b else "[[B]]"


@pytest.mark.usefixtures("quick")
def test_a_judged_study_grows_and_never_pays_a_call_twice(
    run_small: Run, results: Callable[[], dict[str, Any]], place: Path, judge: Judge, cli: Run
) -> None:
    double = judge(by_content)
    baselines = ["zero_shot", "lead"]
    section = double.section(rows=3)
    outcome = run_small(task=METRICS, protocol=SEEDS, judge=section, baselines=baselines)
    assert outcome.code == 0, outcome.err
    first, calls = results(), len(double.asked)
    # Two runs and two baselines, three rows, both orders.
    assert "gets up to 24 calls, with up to 3 test rows" in " ".join(outcome.out.split())
    record = first["judge"]
    assert record["against"] == "zero_shot" and record["rows"] == 3
    assert record["calls"] == calls > 0 and record["failed"] == 0
    assert record["consistent"]["value"] == 1.0 and record["by_position"]["value"] == 0.0
    assert record["input_tokens"] == 100 * calls and record["output_tokens"] == 10 * calls
    assert first["task"]["metrics"][2]["name"] == "judge"
    assert "double, pairwise with zero_shot" in first["task"]["metrics"][2]["signature"]
    lora = first["methods"]["lora"]["test"]["judge"]
    assert 0.0 <= lora["mean"] <= 1.0 and len(lora["per_seed"]) == 2
    assert first["baselines"]["zero_shot"]["test"]["judge"]["mean"] == 0.5
    # The score is what the verdicts say, over the rows that were judged.
    tally = record["tallies"]["lora"]
    said = tally["wins"] + tally["ties"] + tally["losses"] + 2 * tally["identical"]
    won = tally["wins"] + tally["ties"] / 2 + tally["identical"]
    assert said == 2 * 2 * 3 and lora["mean"] == pytest.approx(won / said)
    compared = [c for c in first["comparisons"] if c["metric"] == "judge"]
    assert {c["examples"] for c in compared} == {3} and len(compared) == 3
    assert any("judge: double compared every answer" in note for note in first["notes"])
    [final, _] = first["methods"]["lora"]["candidates"]
    lines = (place / f"out/candidates/{final}/predictions.jsonl").read_text(encoding="utf-8")
    assert sum("judge" in json.loads(line) for line in lines.splitlines()) == 3

    # A complete study asks no one.
    assert cli("run", "out").code == 0 and len(double.asked) == calls
    # All rows: the rest is asked, what is known is not; nothing is trained again.
    assert cli("run", "out", "--set", "judge.rows=null").code == 0
    grown = results()
    assert grown["judge"]["rows"] == 4 and len(double.asked) > calls
    pairs = [(one.a, one.b, one.task) for one in double.asked]
    assert len(pairs) == len(set(pairs)) == grown["judge"]["calls"]
    assert grown["candidates"][final]["epochs"] == first["candidates"][final]["epochs"]

    # People's votes come later; they are compared without a call.
    votes = [
        {"index": i, "a": "lora", "b": "zero_shot", "vote": vote}
        for i, vote in enumerate(("better", "worse", "tie", "better"))
    ]
    (place / "out/votes.jsonl").write_text("\n".join(map(json.dumps, votes)), encoding="utf-8")
    paid = len(double.asked)
    assert cli("run", "out").code == 0 and len(double.asked) == paid
    human = results()["judge"]["human"]
    assert human["votes"] == 4 and human["agreement"]["cases"] == 4
    assert any("votes of people" in note for note in results()["notes"])
    assert cli("run", "out").code == 0

    # The playground's votes stand in the same file, by what was asked and answered.
    shown = [json.loads(line)["input"] for line in (place / "out/examples.jsonl").open()]
    said = {
        name: [json.loads(line)["prediction"] for line in (place / f"out/{at}").open()]
        for name, at in (
            ("lora", f"candidates/{final}/predictions.jsonl"),
            ("zero_shot", "baselines/zero_shot/predictions.jsonl"),
        )
    }
    server = Votes({"small": place / "out"})
    for answer in (said["lora"][1], "another answer"):
        server.add(
            VoteBody(
                study="small",
                a="small/zero_shot",
                b="small/lora",
                verdict="b",
                prompt=shown[1],
                answer_a=said["zero_shot"][1],
                answer_b=answer,
            )
        )
    assert cli("run", "out").code == 0 and len(double.asked) == paid
    human = results()["judge"]["human"]
    assert (human["votes"], human["left_out"]) == (5, 1)
    assert "line 6: the answers that were shown for zero_shot and lora" in human["first_left_out"]
    assert any("(1 left out, first line 6: the answers" in note for note in results()["notes"])
    assert cli("run", "out").code == 0


@pytest.mark.usefixtures("quick")
def test_entrants_from_elsewhere_are_judged_as_all_others(
    run_small: Run, results: Callable[[], dict[str, Any]], place: Path, judge: Judge
) -> None:
    double = judge(by_content)
    assert run_small(protocol=SEEDS).code == 0
    runs = [f"out/candidates/lora-lr0.01-s{seed}" for seed in (0, 1)]
    for seed, run in enumerate(runs):
        text = (place / run / "predictions.jsonl").read_text(encoding="utf-8")
        (place / f"given-{seed}.jsonl").write_text(text, encoding="utf-8")
    methods = {
        "lora": {"kind": "lora", "rank": 2, "learning_rate": 1e-2},
        "ours": {"kind": "external", "predictions": ["given-0.jsonl", "given-1.jsonl"]},
        "theirs": {"kind": "external", "adapter": [f"{run}/adapter" for run in runs]},
    }
    section = double.section(against="reference", rows=3)
    asked = {"task": METRICS, "protocol": SEEDS, "judge": section}
    outcome = run_small(**asked, methods=methods)
    assert outcome.code == 0, outcome.err
    # Six runs and two baselines, three rows, both orders.
    assert "gets up to 48 calls, with up to 3 test rows" in " ".join(outcome.out.split())
    found = results()
    scores = {name: found["methods"][name]["test"]["judge"] for name in methods}
    assert scores["ours"]["per_seed"] == scores["lora"]["per_seed"]
    assert scores["theirs"]["per_seed"] == scores["lora"]["per_seed"]
    tallies = found["judge"]["tallies"]
    assert tallies["ours"] == tallies["theirs"] == tallies["lora"]
    pairs = {(c["a"], c["b"]) for c in found["comparisons"] if c["metric"] == "judge"}
    assert ("lora", "ours") in pairs
    # Their files are whole with the scores, and nothing is tested or asked again.
    paid = len(double.asked)
    grown = {**asked, "judge": {**section, "rows": 4}}
    again = run_small(**grown, methods=methods)
    assert again.code == 0, again.err
    assert "is tested again" not in again.out + again.err and "ours-s0" not in again.out
    assert results()["judge"]["rows"] == 4 and len(double.asked) > paid
    kept = (place / "out/candidates/ours-s1/predictions.jsonl").read_text(encoding="utf-8")
    assert sum("judge" in json.loads(line) for line in kept.splitlines()) == 4


@pytest.mark.usefixtures("quick")
def test_who_votes_by_position_is_flagged_and_calls_nothing_equal(
    run_small: Run, results: Callable[[], dict[str, Any]], judge: Judge
) -> None:
    double = judge(position_voter)
    decision = {"metric": "judge", "margin": {"judge": 0.4}}
    section = double.section(against="reference")
    outcome = run_small(task=METRICS, protocol=SEEDS, judge=section, decision=decision)
    assert outcome.code == 0, outcome.err
    found = results()
    assert found["judge"]["by_place_too_often"] and found["judge"]["against"] == "reference"
    assert not any(asked.reference for asked in double.asked)  # it is one of the two
    assert found["decision"]["margins"]["judge"] == {"value": 0.0, "source": "judge"}
    assert "prefers by position" in found["decision"]["warnings"][0]["text"]
    verdicts = {c["verdict"] for c in found["comparisons"] if c["metric"] == "judge"}
    assert "equivalent" not in verdicts
    why = found["recommendation"]["why"]
    assert "no margin changes that, as the judge prefers by position" in why
    assert "give a margin" not in why
    assert any("is flagged: it prefers by position" in note for note in found["notes"])


@pytest.mark.usefixtures("quick")
def test_a_judge_that_fails_leaves_a_study_that_goes_on(
    run_small: Run, results: Callable[[], dict[str, Any]], judge: Judge, cli: Run
) -> None:
    double = judge(length_voter, fails=[401] * 50)
    section = double.section(parallel=1)
    decision = {"metric": "judge"}
    outcome = run_small(task=METRICS, judge=section, decision=decision)
    assert outcome.code != 2 and "the judge was given up" in " ".join(outcome.out.split())
    found = results()
    assert found["status"] == "partial" and found["judge"]["rows"] == 0
    assert "judge" not in found["methods"]["lora"]["test"]
    assert "rouge1" in found["methods"]["lora"]["test"]
    why = found["recommendation"]["why"]
    assert "ended well, but without" in why and "the judge gave no verdicts: " in why
    assert "401" in why and found["recommendation"]["verdict"] == "undecided"
    double.fails.clear()
    assert cli("run", "out").code == 0
    assert results()["status"] == "complete" and results()["judge"]["rows"] == 4
    assert not any("gave no scores" in note for note in results()["notes"])


def test_two_halves_of_one_setting(place: Path) -> None:
    who = {"endpoint": "http://127.0.0.1:9/v1", "model": "m"}

    def read(**changes: Any) -> Any:
        return study_from_mapping(small_study(**changes), folder=place)

    study = read(task=METRICS, judge=who)
    assert study.resolved["task"]["metrics"] == ["rouge1", "judge"]
    assert study.resolved["judge"]["max_calls"] == 5000
    beside = read(task={"metrics": [{"judge": {**who, "model": "other"}}]}, judge={"model": "m"})
    assert beside.options.judge == study.options.judge
    assert study_from_mapping(study.resolved, folder=place).resolved == study.resolved
    also = read(task=METRICS, judge=who, also_test={"more": {"source": "rows"}})
    assert "judge" not in [m.name for m in also.also["more"].task.metrics_before_rows]
    for changes, message in (
        ({"task": METRICS}, "judge: is missing"),
        ({"judge": who}, "judge: has no effect"),
        ({"task": {**METRICS, "select_by": "judge"}, "judge": who}, "task.select_by: 'judge'"),
        ({"task": METRICS, "judge": {**who, "max_cost": 1.0}}, "bounds nothing without prices"),
        ({"task": METRICS, "judge": {"model": "m"}}, "judge.endpoint"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            read(**changes)
    against = small_study(task=METRICS, judge={**who, "against": "nope"})
    with pytest.raises(ConfigError, match=r"judge\.against: 'nope' is no baseline"):
        Study.from_mapping(against, folder=place)
    assert study_from_mapping(against, folder=place)  # as a cell names another one's baseline
    priced = {"input_tokens": 1.0, "output_tokens": 4.0}
    read(task=METRICS, judge={**who, "max_cost": 1.0}, prices=priced)
