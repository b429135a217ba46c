"""Studies on Ray's actors: the same results to the bit, whatever is lost on the way."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bakeoff.api.running import RunSettings, _shared
from bakeoff.errors import ConfigError, StoreError
from bakeoff.execution.apart.checks import Checks
from bakeoff.execution.apart.losses import Losses
from bakeoff.execution.apart.news import News
from bakeoff.execution.apart.remote import RemoteFiles
from bakeoff.execution.apart.remote_worker import RemoteWorker
from bakeoff.execution.ray.cluster import connected
from bakeoff.execution.ray.options import RayOptions
from bakeoff.ranks import Ranks
from bakeoff.runs.events import CohortJob, EventLog
from bakeoff.study.elsewhere import plan_of
from bakeoff.study.execution_options import ExecutionOptions
from bakeoff.study.on_ray import OnRay
from bakeoff.study.sharding import OneShard, share_from
from tests.execution.apart.killing import kill_one_worker
from tests.execution.apart.test_shards import METHODS, results_of, write
from tests.studies import Outcome, without_times

Cli = Callable[..., Outcome]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray in this process, started once: it takes seconds."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    before = signal.getsignal(signal.SIGTERM)
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _node_ip_address="127.0.0.1",
    )
    signal.signal(signal.SIGTERM, before)  # which Ray has taken
    yield
    ray.shutdown()


@pytest.mark.usefixtures("quick", "cluster")
def test_a_search_on_workers_of_which_one_is_killed_finds_what_one_process_finds(
    place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = {name: {"kind": name} for name in ("lora", "head")}
    study = write(
        place,
        methods=methods,
        slots=2,
        protocol={"epochs": 2, "seeds": [0, 1]},
        search={"learning_rates": 2, "growth": 0},
    )
    assert cli("run", study, "--out", "whole").code == 0
    killed = kill_one_worker(monkeypatch)
    found = cli("run", study, "--executor", "ray", "--workers", "2", "--out", "ray")
    assert found.code == 0, found.err
    assert killed
    whole, apart = results_of(place / "whole"), results_of(place / "ray")
    assert apart["status"] == "complete"
    assert without_times(apart) == without_times(whole)
    assert not (place / "ray/cohorts").exists() and not (place / "ray/workers.json").exists()

    # The log says the same of every candidate, in whatever order.
    def said(folder: str) -> set[str]:
        lines = (place / folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
        events = [without_times(json.loads(line)) for line in lines]
        return {json.dumps(event, sort_keys=True) for event in events if event["event"] != "kept"}

    assert said("ray") == said("whole")


def job(name: str = "train-base-0") -> CohortJob:
    return CohortJob(
        cohort=name, kind="train", group="base", width=1, micro_batch_size=4, threads=1
    )


def test_three_losses_without_any_progress_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = 0
    monkeypatch.setattr("bakeoff.execution.apart.losses.epochs_saved", lambda run, cohort: saved)
    losses = Losses(tmp_path)
    assert [losses.add(job()), losses.add(job())] == [False, False]
    saved = 1  # it has come on, so that the count begins again
    assert [losses.add(job()), losses.add(job())] == [False, False]
    assert not losses.add(job("train-base-1"))
    assert losses.add(job())
    assert losses.total == 6


def test_a_worker_that_is_not_as_it_must_be_is_refused() -> None:
    good = {"host": "a", "pid": 1, "device": "cpu", "versions": {}, "sees": True}
    checks = Checks()
    checks.accepted(good)
    with pytest.raises(ConfigError, match=r"worker on b: has other versions \(torch 1.0 for"):
        checks.accepted({**good, "host": "b", "versions": {"torch": "1.0"}})
    with pytest.raises(StoreError, match="worker on b: does not see the run's folder"):
        checks.accepted({**good, "host": "b", "sees": False})
    other = {**good, "host": "b", "device": "NVIDIA T4"}
    with pytest.raises(ConfigError, match=r"different devices .cpu and NVIDIA T4.*--mixed-devices"):
        checks.accepted(other)
    far: Any = RemoteFiles("memory://a", "run")
    away = Checks(shared=False, files=far)
    away.accepted(good)
    with pytest.raises(
        StoreError, match=r"worker on b: .*execution.files, memory://a.*no such key"
    ):
        away.accepted({**good, "host": "b", "sees": False, "why": "no such key"})
    mixed = Checks(mixed_devices=True)
    assert [mixed.accepted(good), mixed.accepted(other)] == [good, other]


def test_an_address_that_does_not_answer_is_refused_at_once() -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    with (
        pytest.raises(ConfigError, match=r"--address 127.0.0.1:9: nothing answers"),
        connected(RayOptions(address="127.0.0.1:9")),
    ):
        pass


def test_a_run_keeps_its_own_handler_of_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's would end the process at once, with nothing saved."""
    ray = pytest.importorskip("ray")

    def init(**settings: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: None)

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with connected(RayOptions()):
            assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGTERM, before)


def test_one_of_several_processes_has_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchrun has given each its GPU, and each shares the base."""
    monkeypatch.setattr("bakeoff.study.elsewhere.ranks", lambda: Ranks(count=2, rank=1))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert plan_of(ExecutionOptions(), "auto") == (None, "")
    with pytest.raises(ConfigError, match="torchrun has started 2 processes"):
        plan_of(ExecutionOptions(executor="ray"), "auto")
    elsewhere = RunSettings(elsewhere=OneShard(share_from("1/2")))
    with pytest.raises(ConfigError, match="--shard and bakeoff join: are of one process"):
        _shared(elsewhere, Console(), Ranks(count=2))


def test_keys_that_are_for_workers_ask_for_ray() -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    keys: dict[str, Any]
    for keys in ({"workers": 2}, {"address": "auto"}, {"files": "s3://a"}, {"mixed_devices": True}):
        elsewhere, said = plan_of(ExecutionOptions(**keys), "cpu")
        assert isinstance(elsewhere, OnRay)
        assert said.startswith(f"execution.{next(iter(keys))}: is for workers")
        assert plan_of(ExecutionOptions(executor="local", **keys), "cpu") == (None, "")


def test_options_that_have_no_effect_are_refused(place: Path, cli: Cli) -> None:
    study = write(place)
    for arguments, message in (
        (("--executor", "local", "--workers", 2), "--workers: has no effect with --executor local"),
        (("--executor", "slurm"), "execution.executor"),
        (("--set", "execution.workers=0"), "execution.workers: 0 is below 1"),
        (("--executor", "ray", "--shard", "1/2"), "--shard 1/2: runs in this process"),
    ):
        found = cli("run", study, *arguments)
        assert found.code == 2 and message in found.message, found.err


@pytest.mark.soak
@pytest.mark.usefixtures("quick", "cluster")
def test_a_job_that_always_fails_costs_its_candidates_alone(
    place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker is killed as soon as it has begun, whichever it is."""
    study = write(place, methods=METHODS, slots=3, protocol={"epochs": 2, "seeds": [0, 1, 2]})
    hear = RemoteWorker.hear

    def killing(self: RemoteWorker, answer: tuple[int, list[dict[str, Any]]]) -> list[News]:
        if self.job is not None and self.job.cohort == "train-base-0":
            os.kill(self.about["pid"], signal.SIGKILL)
        return hear(self, answer)

    monkeypatch.setattr(RemoteWorker, "hear", killing)
    assert cli("run", study, "--executor", "ray", "--workers", "2", "--out", "ray").code == 0
    found = results_of(place / "ray")["candidates"]
    states = {name: one["state"] for name, one in found.items()}
    assert {states[name] for name in states if name.startswith("lora")} == {"FAILED"}
    assert {states[name] for name in states if not name.startswith("lora")} == {"COMPLETE"}
    assert "was lost 3 times" in found["lora-lr0.01-s0"]["reason"]
    assert (place / "ray/candidates/lora-lr0.01-s0/error.txt").read_text(encoding="utf-8").strip()
    # The next call tries it again.
    monkeypatch.setattr(RemoteWorker, "hear", hear)
    assert cli("run", study, "--out", "ray").code == 0
    assert cli("run", study, "--out", "whole").code == 0
    ended = results_of(place / "ray")
    assert ended["status"] == "complete"
    log = EventLog(place / "ray")
    assert len(log.jobs("train")) == 5
