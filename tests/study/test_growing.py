"""A study that grows: only what is new is made, and what is left out stays in the folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bakeoff.engine.candidate import Candidate
from bakeoff.runs.lock import locked
from bakeoff.tasks.summarize import Summarize

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
Contents = Callable[[Path], Mapping[str, bytes]]
pytestmark = pytest.mark.usefixtures("quick")

LORA = {"kind": "lora", "rank": 2, "learning_rate": 1e-2}
HEAD = {"kind": "head", "learning_rate": 1e-3}
SEARCHED: dict[str, Any] = {
    "methods": {"lora": {"rank": [1, 2], "learning_rate": [1e-3, 1e-2]}},
    "search": {"growth": 0},
    "protocol": {"epochs": 3, "seeds": [0]},
}
KEPT_AS_IT_WAS = ("candidates/", "baselines/")


def parts(found: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of candidates and baselines."""
    return {name: content for name, content in found.items() if name.startswith(KEPT_AS_IT_WAS)}


def candidates(results: Mapping[str, Any]) -> dict[str, list[str]]:
    """The final candidates of each method."""
    return {name: method["candidates"] for name, method in results["methods"].items()}


def test_a_method_more_trains_and_tests_its_own_candidates_alone(
    finished: Run, run_small: Run, place: Path, trained: list[str], tested: list[str],
    results: Results,
    contents: Contents,
) -> None:  # fmt: skip
    protocol = {"seeds": [0, 1]}
    finished(protocol=protocol)
    before, study = contents(place / "out"), (place / "out/study.yaml").read_bytes()
    trained.clear()
    tested.clear()
    outcome = run_small(protocol=protocol, methods={"lora": LORA, "head": HEAD})
    assert outcome.code == 0, outcome.err
    assert trained == tested == ["head-lr0.001-s0", "head-lr0.001-s1"]
    assert results()["status"] == "complete"
    assert list(results()["methods"]) == ["lora", "head"]
    after = contents(place / "out")
    assert {name: after[name] for name in parts(before)} == parts(before)
    assert (place / "out/study.previous.yaml").read_bytes() == study
    assert "head" in (place / "out/study.yaml").read_text(encoding="utf-8")
    [note] = [n for n in results()["notes"] if "the study in this folder changed" in n]
    assert "when results of the test set were there already: methods.head" in note
    trained.clear()
    again = run_small(protocol=protocol, methods={"lora": LORA, "head": HEAD})
    assert "This study is complete" in again.out and trained == []


def test_a_method_less_stays_in_the_folder_and_comes_back_untrained(
    finished: Run,
    run_small: Run,
    place: Path,
    trained: list[str],
    results: Results,
    contents: Contents,
) -> None:
    both = {"lora": LORA, "head": HEAD}
    finished(methods=both)
    before, first = contents(place / "out"), results()
    trained.clear()
    assert run_small(methods={"head": HEAD}).code == 0
    assert results()["status"] == "complete" and list(results()["methods"]) == ["head"]
    assert list(results()["candidates"]) == ["head-lr0.001-s0"]
    assert parts(contents(place / "out")) == parts(before)
    assert run_small(methods=both).code == 0
    assert trained == []
    assert results()["methods"] == first["methods"]
    assert parts(contents(place / "out")) == parts(before)


def test_a_name_keeps_its_meaning_after_its_method_was_left_out(
    finished: Run, run_small: Run, place: Path, contents: Contents
) -> None:
    finished(methods={"lora": LORA, "head": HEAD})
    assert run_small(methods={"head": HEAD}).code == 0
    before = contents(place / "out")
    outcome = run_small(methods={"head": HEAD, "lora": {**LORA, "rank": 4}})
    assert outcome.code == 2
    assert "methods.lora.rank: 2 and 4" in outcome.message
    assert "give the new ones a method of another name, such as lora_2" in outcome.message
    assert contents(place / "out")["inputs.json"] == before["inputs.json"]


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"base": "tiny"}, ["base: 'scratch:tiny-gpt-neo' and 'tiny'", "another base"]),
        ({"task": {"max_length": 90}}, ["task.max_length: 96 and 90"]),
        ({"protocol": {"max_grad_norm": 2.0}}, ["protocol.max_grad_norm: 1.0 and 2.0"]),
        (
            {"protocol": {"epochs": 2, "schedule": "cosine"}},
            ["protocol.epochs: 1 and 2", "protocol.schedule: 'constant' and 'cosine'"],
        ),
        ({"decision": {"level": 0.9}}, ["decision.level: 0.95 and 0.9", "before the test set"]),
        ({"generation": {"max_new_tokens": 9}}, ["generation.max_new_tokens: 8 and 9"]),
    ],
)
def test_another_base_data_or_protocol_is_refused_by_key_there_and_here(
    run_small: Run, place: Path, contents: Contents, changes: dict[str, Any], lines: list[str]
) -> None:
    from bakeoff.config import dump_yaml
    from bakeoff.runs.folder import RunFolder
    from bakeoff.study.growing import outline_of
    from bakeoff.study.loading import study_from_mapping
    from tests.studies import small_study

    resolved = study_from_mapping(small_study(), folder=place).resolved
    RunFolder(place / "out", resolved, outline_of=outline_of).claim({}, {})
    before = contents(place / "out")
    assert before["study.yaml"] == dump_yaml(resolved).encode()
    outcome = run_small(**changes, **({} if "task" in changes else {"methods": {"head": HEAD}}))
    assert outcome.code == 2
    for line in lines:
        assert line in outcome.message
    after = dict(contents(place / "out"))
    del after[".lock"]
    assert after == before


def test_a_searched_study_grows_by_a_rate_a_seed_and_an_option(
    run_small: Run, trained: list[str], tested: list[str], results: Results
) -> None:
    assert run_small(**SEARCHED).code == 0
    first = results()["candidates"]
    assert set(first) > {f"lora-rank{r}-lr{x}-s1000" for r in (1, 2) for x in ("0.001", "0.01")}

    def grown(**changes: Any) -> list[str]:
        trained.clear()
        tested.clear()
        study = {key: {**SEARCHED[key], **changes.get(key, {})} for key in SEARCHED}
        assert run_small(**study).code == 0
        assert results()["status"] == "complete"
        known = {id: c for id, c in results()["candidates"].items() if id in first}
        assert known == {id: first[id] for id in known}
        return sorted(set(trained))

    seeds = {"protocol": {"seeds": [0, 1]}}
    chosen = results()["methods"]["lora"]["search"]["chosen"].removesuffix("-s1000")
    assert grown(**seeds) == [f"{chosen}-s1"]
    assert tested == [f"{chosen}-s1"]
    assert results()["methods"]["lora"]["seeds"] == [0, 1]

    rates = {"methods": {"lora": {"rank": [1, 2], "learning_rate": [1e-3, 1e-2, 1e-9]}}}
    new = grown(**seeds, **rates)
    assert new == ["lora-rank1-lr1e-09-s1000", "lora-rank2-lr1e-09-s1000"]
    assert tested == []  # too low to be chosen, so what is tested stays
    assert results()["methods"]["lora"]["search"]["grown"] == 0

    ranks = {"methods": {"lora": {"rank": [1, 2, 3], "learning_rate": [1e-2]}}}
    assert set(grown(**seeds, **ranks)) <= {f"lora-rank3-lr0.01-s{s}" for s in (1000, 0, 1)}
    assert trained
    assert {c["learning_rate"] for c in results()["candidates"].values()} == {1e-2}


def test_an_unfinished_folder_grows_and_shrinks_and_keeps_what_was_trained(
    run_small: Run, place: Path, trained: list[str], results: Results,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from bakeoff.engine import train

    methods = {"lora": LORA, "soft": {"kind": "soft_prompt", "prompt_length": 3}}
    steps = 0
    train_step = train.train_step

    def broken(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 4:  # in the second epoch, of two steps each
            raise KeyboardInterrupt
        return train_step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(train, "train_step", broken)
        outcome = run_small(methods=methods, protocol={"epochs": 2}, slots=2)
    assert outcome.code == 130
    epochs: list[tuple[str, int]] = []
    judge = train.Trainer._judge

    def spy(self: Any, slot: int, candidate: Candidate, *rest: Any) -> None:
        epochs.append((candidate.id, len(candidate.epochs) + 1))
        judge(self, slot, candidate, *rest)

    monkeypatch.setattr(train.Trainer, "_judge", spy)
    outcome = run_small(methods={"lora": LORA, "head": HEAD}, protocol={"epochs": 2}, slots=2)
    assert outcome.code == 0, outcome.err
    assert sorted(epochs) == [
        ("head-lr0.001-s0", 1),
        ("head-lr0.001-s0", 2),
        ("lora-lr0.01-s0", 2),  # its first is kept
    ]
    assert results()["status"] == "complete" and list(results()["methods"]) == ["lora", "head"]


def test_metrics_come_from_the_answers_that_were_kept(
    finished: Run, run_small: Run, place: Path, trained: list[str], tested: list[str],
    results: Results,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    finished()
    before = results()["methods"]["lora"]["test"]
    trained.clear()
    tested.clear()
    more = ("nll", "perplexity", "rouge1", "rougeL", "chrf")
    monkeypatch.setattr(Summarize, "metric_names", more)
    file = place / "out/results.json"
    partial = json.loads(file.read_text(encoding="utf-8")) | {"status": "partial"}
    file.write_text(json.dumps(partial), encoding="utf-8")
    assert run_small().code == 0
    assert trained == tested == []
    after = results()["methods"]["lora"]["test"]
    assert set(after) == set(more)
    assert after["nll"] == before["nll"] and after["rougeL"] == before["rougeL"]
    assert after["chrf"]["mean"] > 0
    assert any(
        "perplexity, chrf is new: it was computed from the answers that were kept of "
        "lora-lr0.01-s0, zero_shot" in note
        for note in results()["notes"]
    )
    assert set(results()["baselines"]["lead"]["test"]) == {"rouge1", "rougeL", "chrf"}


def test_a_baseline_that_means_something_else_is_made_again_alone(
    finished: Run, run_small: Run, trained: list[str], tested: list[str], results: Results
) -> None:
    finished()
    before = results()
    trained.clear()
    tested.clear()
    assert run_small(task={"lead_sentences": 1}).code == 0
    assert trained == tested == []
    assert results()["baselines"]["lead"]["title"] == "lead-1"
    assert results()["baselines"]["zero_shot"] == before["baselines"]["zero_shot"]


def test_a_moved_folder_goes_on_by_its_own_study(
    finished: Run, cli: Run, place: Path, trained: list[str]
) -> None:
    finished()
    (place / "far").mkdir()
    shutil.move(place / "out", place / "far/run")
    shutil.move(place / "rows", place / "far/rows")
    (place / "study.yaml").unlink()
    trained.clear()
    elsewhere = ("run", "far/run", "--set", "task.source=far/rows")
    outcome = cli(*elsewhere, "--set", "methods.head={learning_rate: 0.001}")
    assert outcome.code == 0, outcome.err
    assert trained == ["head-lr0.001-s0"]
    assert "This study is complete" in cli("run", "far/run").out
    for file in (place / "far/run").rglob("*.json*"):
        assert str(place) not in file.read_text(encoding="utf-8"), file
    (place / "far/rows/test.jsonl").write_text(
        (place / "far/rows/test.jsonl").read_text(encoding="utf-8").replace("drew", "lost"),
        encoding="utf-8",
    )
    refused = cli("run", "far/run", "--seeds", "2")
    assert refused.code == 2 and "the data changed since this run began" in refused.message


def test_a_folder_without_a_study_is_no_run(cli: Run, place: Path) -> None:
    outcome = cli("run", "rows")
    assert outcome.code == 2
    assert "rows: is a folder without study.yaml" in outcome.message


def test_a_locked_folder_does_not_grow(finished: Run, run_small: Run, place: Path) -> None:
    finished()
    before = (place / "out/study.yaml").read_bytes()
    with locked(place / "out", keeps="study.yaml"):
        outcome = run_small(methods={"lora": LORA, "head": HEAD})
    assert outcome.code == 2 and "is running a study there" in outcome.message
    assert (place / "out/study.yaml").read_bytes() == before


def test_a_half_deleted_folder_is_made_whole_and_what_was_missing_is_named(
    run_small: Run, place: Path, trained: list[str], results: Results
) -> None:
    methods = {"lora": LORA, "head": HEAD}
    assert run_small(methods=methods, protocol={"seeds": [0, 1]}).code == 0
    before = results()
    shutil.rmtree(place / "out/candidates/lora-lr0.01-s1")
    shutil.rmtree(place / "out/baselines/lead")
    (place / "out/costs.json").unlink()
    trained.clear()
    outcome = run_small(
        methods={**methods, "bitfit": {"learning_rate": 1e-3}}, protocol={"seeds": [0, 1]}
    )
    assert outcome.code == 0, outcome.err
    assert sorted(trained) == ["bitfit-lr0.001-s0", "bitfit-lr0.001-s1", "lora-lr0.01-s1"]
    out = " ".join(outcome.out.split())
    assert "candidates/lora-lr0.01-s1/record.json: is missing; lora-lr0.01-s1 is trained" in out
    assert "baselines/lead/record.json: is missing; lead-3 is made again" in out
    assert "costs.json: is missing; costs are measured again" in out
    assert results()["status"] == "complete"
    assert results()["baselines"] == before["baselines"]
    assert candidates(results())["lora"] == candidates(before)["lora"]


def test_a_growing_study_that_is_killed_goes_on_and_is_not_taken_for_complete(
    finished: Run,
    run_small: Run,
    monkeypatch: pytest.MonkeyPatch,
    trained: list[str],
    results: Results,
) -> None:
    finished()

    class KilledError(BaseException):
        pass

    def killed(*arguments: Any) -> None:
        raise KilledError

    methods = {"lora": LORA, "head": HEAD}
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr("bakeoff.study.stages.TrainingStage.run", killed)
        run_small(methods=methods)
    assert results()["status"] == "complete"  # of the study that it grew from
    trained.clear()
    assert run_small(methods=methods).code == 0
    assert trained == ["head-lr0.001-s0"]
    assert list(results()["methods"]) == ["lora", "head"]
