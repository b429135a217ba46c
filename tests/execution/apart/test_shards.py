"""A study in shards, joined, is the study of one run, to the bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bakeoff.base.choice import THE_BASE
from bakeoff.config import dump_yaml
from bakeoff.errors import ConfigError
from bakeoff.execution.apart.parts import PartExecutor, Share
from bakeoff.execution.findings import Findings
from bakeoff.execution.stopping import PartDone
from bakeoff.methods.contract import ExecutionPath
from bakeoff.runs.checksums import with_checksum
from bakeoff.runs.events import CohortJob, EventLog, Packed, Seat
from bakeoff.runs.records import CandidateSpec
from bakeoff.search.groups import group_of
from bakeoff.search.method_search import MethodSearch, record_of, spec_of
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.sharding import OneShard, _jobs_of, share_from
from bakeoff.types import RunState
from tests.studies import Outcome, small_study, without_times

Cli = Callable[..., Outcome]
METHODS = {
    "lora": {"kind": "lora", "rank": 2, "learning_rate": 1e-2},
    "head": {"kind": "head", "learning_rate": 1e-3},
    "full": {"kind": "full", "learning_rate": 1e-3},
}
SHARES = ("1/3", "2/3", "3/3")


def texts(**changes: Any) -> dict[str, Any]:
    """A study without anything to write: its runs are fast."""
    study = small_study(**changes)
    study["task"] = {"kind": "text", "source": "rows", "text": "text", "max_length": 64}
    return study


def write(place: Path, **changes: Any) -> Path:
    file = place / "study.yaml"
    file.write_text(dump_yaml(texts(**changes)), encoding="utf-8")
    return file


def results_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.usefixtures("quick")
def test_shards_that_are_joined_are_the_whole_study(place: Path, cli: Cli) -> None:
    study = write(
        place, methods=METHODS, slots=2, protocol={"epochs": 2, "seeds": [0, 1, 2], "patience": 1}
    )
    assert cli("run", study, "--out", "whole").code == 0
    for number, share in enumerate(SHARES):
        found = cli("run", study, "--shard", share, "--out", f"part{number}")
        assert found.code == 0 and "bakeoff join" in found.out
    parts = [f"part{number}" for number in range(len(SHARES))]
    trained = [
        {c for c, one in results_of(place / part)["candidates"].items() if one["epochs"]}
        for part in parts
    ]
    assert sum(map(len, trained)) == len(set.union(*trained)) == 9, "each candidate once"
    most = max(range(len(parts)), key=lambda number: len(trained[number]))
    few = cli("join", *(part for part in parts if part != parts[most]), "--out", "few")
    assert few.code == 0 and "no shard has run train-" in few.out
    assert cli("join", *parts, "--out", "joined").code == 0
    whole, joined = results_of(place / "whole"), results_of(place / "joined")
    assert joined["status"] == "complete"
    assert without_times(joined) == without_times(whole)
    # What lacked a shard is brought to its end by a run.
    assert cli("run", study, "--out", "few").code == 0
    assert without_times(results_of(place / "few")) == without_times(whole)


@pytest.mark.usefixtures("quick")
def test_a_budget_ends_a_shard_and_cuts_nothing_of_its_study(
    place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write(place, methods=METHODS, protocol={"epochs": 2, "seeds": [0, 1]})
    assert cli("run", study, "--out", "whole").code == 0
    monkeypatch.setattr("bakeoff.study.budget.make_plan", None)  # no shard is timed by itself
    spent = cli("run", study, "--shard", "1/2", "--out", "part1", "--budget", "1ms")
    assert spent.code == 0, spent.err
    assert "The time budget is spent." in spent.out and "The same command goes on" in spent.out
    for number in (1, 2):
        found = cli("run", study, "--shard", f"{number}/2", "--out", f"part{number}", "--budget=9h")
        assert found.code == 0 and f"Shard {number}/2 is done." in found.out, found.err
        assert not (place / f"part{number}/budget.json").exists()
    found = cli("join", "part1", "part2", "--out", "joined")
    assert found.code == 0, found.err
    whole, joined = results_of(place / "whole"), results_of(place / "joined")
    assert without_times(joined) == without_times(whole)


@pytest.mark.usefixtures("quick")
def test_a_search_goes_on_from_shards_that_are_joined(place: Path, cli: Cli) -> None:
    """Shards run the round that is due; ``join`` decides what follows."""
    study = write(
        place,
        # At this rate the jobs of LoRA's round fall to both shards, and those of the head's to one.
        methods={"lora": {"learning_rate": 4e-3}, "head": {}},
        slots=2,
        protocol={"epochs": 3, "seeds": [0, 1]},
        search={"learning_rates": 3, "growth": 0},
    )
    assert cli("run", study, "--out", "whole").code == 0
    for number in (1, 2):
        assert cli("run", study, "--shard", f"{number}/2", "--out", f"part{number}").code == 0
    # A shard that holds a whole round of a method goes on, and removes what it went on from ...
    paused = sorted(path.name for path in place.glob("part*/cohorts/*/paused/*"))
    assert any(name.startswith("head-") and "-2-" in name for name in paused), paused
    # ... but what the next round of another method goes on from must be there.
    part = min(place.glob("part*/cohorts/*/paused/lora-*")).relative_to(place).parts[0]
    shutil.copytree(part, "torn")
    needed = min(place.glob("torn/cohorts/*/paused/lora-*"))
    needed.unlink()
    other = {"part1": "part2", "part2": "part1"}[part]
    found = cli("join", "torn", other, "--out", "never")
    assert found.code == 2 and needed.name in found.message, found.err
    found = cli("join", "part1", "part2", "--out", "joined")
    assert found.code == 0 and "no shard has run train-" in found.out, found.err
    # The second round in shards as well, each from a copy of what was joined.
    for number in (1, 2):
        shutil.copytree("joined", f"second{number}")
        shared = cli("run", study, "--shard", f"{number}/2", "--out", f"second{number}")
        assert shared.code == 0, shared.err
    assert cli("join", "second1", "second2", "--out", "joined").code == 0
    assert cli("run", study, "--out", "joined").code == 0
    whole, joined = results_of(place / "whole"), results_of(place / "joined")
    assert without_times(joined) == without_times(whole)


@pytest.mark.usefixtures("quick")
def test_shards_that_do_not_belong_together_are_refused(place: Path, cli: Cli) -> None:
    study = write(place, protocol={"epochs": 1})
    for share, out in (("1/2", "one"), ("2/2", "two"), ("2/3", "third")):
        assert cli("run", study, "--shard", share, "--out", out).code == 0
    other = write(place, protocol={"epochs": 2})
    assert cli("run", other, "--shard", "2/2", "--out", "other").code == 0
    shutil.copytree("one", "copy")
    log = EventLog(place / "copy")
    text = log.path.read_text(encoding="utf-8").replace('"threads": 1', '"threads": 7')
    events = [json.loads(line) for line in text.splitlines()]
    for event in events:
        del event["checksum"]
    lines = [json.dumps(with_checksum(event), ensure_ascii=False) + "\n" for event in events]
    log.path.write_text("".join(lines), encoding="utf-8")
    (place / "copy/shard.json").write_text('{"number": 2, "count": 2}')
    cases = {
        ("one", "one"): "is shard 1/2, as is one",
        ("one", "third"): "are shards of 2 and of 3",
        ("one", "other"): "protocol.epochs: 1 and 2",
        ("one", "rows"): "rows: holds no shard.json",
        ("one", "nowhere"): "nowhere: is not there",
        ("one", "copy"): "and 7 threads",
    }
    shutil.copytree("two", "card")
    (place / "card/shard.json").write_text('{"number": 2, "count": 2, "devices": ["NVIDIA T4"]}')
    cases["one", "card"] = "one and card: were trained on different devices (NVIDIA T4 and cpu)"
    for folders, message in cases.items():
        found = cli("join", *folders, "--out", "never")
        assert found.code == 2 and message in found.message, (folders, found.err)
    found = cli("join", "one", "two", "--out", "two")
    assert found.code == 2 and "--out two: is the folder of a shard" in found.message
    # Where the first shard had its rows is nowhere here.
    (place / "rows").rename(place / "moved")
    found = cli("join", "one", "two", "--out", "never")
    assert found.code == 2 and "rows" in found.message
    assert not (place / "never").exists()
    moved = ("--set", "task.source=moved")
    found = cli("join", "one", "two", "--out", "never", *moved, "--set", "protocol.patience=1")
    assert found.code == 2 and "--set: makes another study than one is of" in found.message
    (place / "rows").mkdir()
    for split in ("train", "validation", "test"):
        lines = (place / "moved" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        (place / "rows" / f"{split}.jsonl").write_text("\n".join(lines[1:]), encoding="utf-8")
    found = cli("join", "one", "two", "--out", "never")
    assert found.code == 2 and "was made from another data than is found here" in found.message
    assert not (place / "never").exists()
    shutil.rmtree(place / "card")
    shutil.copytree("two", "card")
    (place / "card/shard.json").write_text('{"number": 2, "count": 2, "devices": ["NVIDIA T4"]}')
    found = cli("join", "one", "card", "--out", "both", *moved, "--mixed-devices")
    assert found.code == 0, found.err
    notes = json.dumps(results_of(place / "both")["notes"])
    assert "trained on different devices (NVIDIA T4 and cpu)" in notes
    shutil.rmtree(place / "rows")
    (place / "moved").rename(place / "rows")
    found = cli("run", write(place, protocol={"epochs": 1}), "--shard", "2/2", "--out", "one")
    assert found.code == 2 and "is the folder of shard 1/2" in found.message


def test_a_shard_whose_budget_is_spent_says_that_it_goes_on() -> None:
    tested: list[str] = []
    executor: Any = SimpleNamespace(test_own=lambda: tested.append("own"))
    shard = OneShard(share_from("2/8"))
    nothing: Any = None
    with pytest.raises(PartDone, match="budget ended the training of shard 2/8") as found:
        shard.trained(nothing, executor, cut_short=True)
    assert found.value.advice.startswith("The same command goes on")
    with pytest.raises(PartDone, match="Shard 2/8 is done") as found:
        shard.trained(nothing, executor)
    assert "bakeoff join" in found.value.advice and tested == ["own", "own"]


def test_the_log_of_a_shard_that_runs_is_read_and_not_cut(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    seat = Seat(spec=CandidateSpec(method="lora", learning_rate=0.1, seed=0), stop=1)
    job = CohortJob(
        cohort="train-base-0",
        kind="train",
        group="base",
        seats=(seat,),
        width=1,
        micro_batch_size=4,
        threads=1,
    )
    log.add(Packed(job=job))
    with log.path.open("a", encoding="utf-8") as file:
        file.write('{"event": "pac')
    before = log.path.read_bytes()
    assert _jobs_of([tmp_path]) == [job]
    assert log.path.read_bytes() == before


@pytest.mark.parametrize("text", ["2", "0/3", "4/3", "a/b", "1/0", "-1/2", ""])
def test_a_share_is_a_number_of_how_many(text: str) -> None:
    with pytest.raises(ConfigError, match="--shard"):
        share_from(text)
    assert str(share_from("2/8")) == "2/8"


def test_each_job_falls_to_one_share_whatever_it_is_called() -> None:
    def job(seed: int, name: str, threads: int) -> CohortJob:
        seat = Seat(spec=CandidateSpec(method="lora", learning_rate=0.1, seed=seed), stop=1)
        return CohortJob(
            cohort=name,
            kind="train",
            group="base",
            seats=(seat,),
            width=1,
            micro_batch_size=4,
            threads=threads,
        )

    shares = [Share(number=number, count=4) for number in (1, 2, 3, 4)]
    taken = [0] * 4
    for seed in range(100):
        [mine] = [n for n, share in enumerate(shares) if share.holds(job(seed, "train-0", 1))]
        assert shares[mine].holds(job(seed, "train-base-7", 2))
        taken[mine] += 1
    assert min(taken) > 10


def test_a_shard_tests_what_an_earlier_call_had_trained_and_not_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method: Any = SimpleNamespace(
        execution_path=ExecutionPath.HIDDEN_STATES, base=SimpleNamespace(choice=THE_BASE)
    )
    search = MethodSearch(name="head", variants={"": method}, rates=(0.1,))
    schedule = StudySchedule([search], range(8), 1, None)
    events, candidates = EventLog(tmp_path), schedule.finals
    for number, candidate in enumerate(candidates):
        candidate.state, candidate.cohort = RunState.COMPLETE, f"train-{number % 4}"
    group = group_of(candidates[0]).key
    jobs = [
        CohortJob(
            cohort=f"train-{number}",
            kind="train",
            group=group,
            # The last of them is of a study that has grown: one of its candidates went on.
            seats=tuple(
                Seat(spec=spec_of(record_of(c)), stop=1) for c in candidates[number % 4 :: 4]
            ),
            width=2,
            micro_batch_size=4,
            threads=1,
        )
        for number in range(5)
    ]
    candidates[4].cohort = "train-4"
    events.add(*(Packed(job=job) for job in jobs))
    scores: Any = None
    findings = Findings(schedule=schedule, test_scores={c.id: scores for c in candidates[1::4]})
    taking: Any = SimpleNamespace(events=events, archive=SimpleNamespace(findings=findings))
    ran: list[CohortJob] = []
    monkeypatch.setattr(PartExecutor, "_run", lambda self, job: ran.append(job))
    nothing: Any = None
    for number in (1, 2):
        PartExecutor(taking, nothing, Share(number=number, count=2)).test_own()
    tested = {job.cohort: job.candidates for job in ran}
    assert tested == {
        "test-of-train-0": (candidates[0].id,),
        "test-of-train-2": (candidates[2].id, candidates[6].id),
        "test-of-train-3": (candidates[3].id, candidates[7].id),
        "test-of-train-4": (candidates[4].id,),
    }
