"""Studies in processes of this machine: the same results, whatever ends on the way."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bakeoff import api
from bakeoff.errors import ConfigError, StoreError
from bakeoff.execution.apart.exchange import Outcome as RunOutcome
from bakeoff.execution.apart.exchange import Request, as_text
from bakeoff.execution.apart.job_worker import JobWorker
from bakeoff.execution.processes.host import ProcessActor, ProcessError, ProcessHost
from bakeoff.runs.events import CohortJob
from bakeoff.study import on_processes, runner, settling
from bakeoff.study.elsewhere import plan_of
from bakeoff.study.execution_options import ExecutionOptions
from bakeoff.study.on_processes import OnProcesses
from tests.execution.apart.killing import kill_one_worker
from tests.execution.apart.test_shards import results_of, write
from tests.studies import Outcome, without_times

Cli = Callable[..., Outcome]

SERVES = """
import os, sys, time
for name, *content in (
    ("execution.apart.workshop", "Workshop"),
    ("execution.apart.found", "write_outcome"),
    ("execution.apart.places", "attempts"),
    ("execution.apart.exchange", "Request", "as_text", "request_from"),
    ("execution.apart.news", "News"),
    ("execution.apart.remote", "RemoteFiles"),
    ("execution.apart.actors", "Opener"),
    ("execution.states", "COHORTS"),
    ("engine.backends.memory", "is_out_of_memory"),
):
    module = sys.modules[f"bakeoff.{name}"] = type(sys)(name)
    module.__dict__.update(dict.fromkeys(content, object))
module.is_out_of_memory = lambda error: isinstance(error, MemoryError)
from bakeoff.errors import StoreError
from bakeoff.execution.processes.child import serve

def opened(given):
    print("a library prints this")
    if given == "refused":
        raise StoreError("data: is another here; give all machines the same files")
    if given == "short":
        raise MemoryError("no room")
    if given == "dies":
        os._exit(7)
    if given == "sleeps":
        time.sleep(600)

serve(opened)
"""
"""A process that opens nothing, or fails to; without the modules that take seconds to import."""


@pytest.fixture
def actor() -> Iterator[Callable[[str], ProcessActor]]:
    made: list[ProcessActor] = []

    def start(opening: str) -> ProcessActor:
        made.append(ProcessActor(SERVES, {"opening": opening, "threads": 1}))
        return made[-1]

    yield start
    for one in made:
        one.end()


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


# Of Ray's workers one is killed in every run of the tests.
@pytest.mark.soak
@pytest.mark.usefixtures("quick")
def test_a_study_in_processes_of_which_one_is_killed_finds_what_one_process_finds(
    place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write(
        place,
        methods={name: {"kind": name} for name in ("lora", "head")},
        slots=2,
        protocol={"epochs": 2, "seeds": [0, 1]},
        search={"learning_rates": 2, "growth": 0},
    )
    assert cli("run", study, "--out", "whole").code == 0
    killed = kill_one_worker(monkeypatch)
    found = cli("run", study, "--executor", "processes", "--workers", "2", "--out", "apart")
    assert found.code == 0, found.err
    assert "processes 2 of 1 thread each run the jobs" in found.out
    lines = found.out.splitlines()
    for name in ("lora-lr0.0005623-s1000", "head-lr0.0008891-s0"):
        said = [line.split()[1] for line in lines if line.strip().startswith(name)]
        assert said[0] == "epoch" and said[-1] != "epoch"  # its end comes after its epochs
    assert killed and killed[0] != os.getpid() and "its process ended by signal 9" in found.out
    whole, apart = results_of(place / "whole"), results_of(place / "apart")
    assert apart["status"] == "complete"
    assert without_times(apart) == without_times(whole)
    assert not (place / "apart/cohorts").exists() and not (place / "apart/workers.json").exists()


def test_errors_of_a_process_arrive_as_what_they_are(
    actor: Callable[[str], ProcessActor],
) -> None:
    host = ProcessHost(workers=2, command=SERVES, opening={})
    assert host.get(actor("works").open.remote()) is None
    with pytest.raises(ProcessError, match="data: is another here") as refused:
        host.get(actor("refused").open.remote())
    assert isinstance(refused.value.cause, StoreError)
    assert "Traceback" in str(refused.value) and "in opened" in str(refused.value)
    with pytest.raises(ProcessError, match="no room") as short:
        host.get(actor("short").open.remote())
    assert isinstance(short.value.cause, MemoryError)
    dying = actor("dies")
    with pytest.raises(ProcessError, match="ended with code 7"):
        host.get(dying.open.remote())
    with pytest.raises(ProcessError, match="ended with code 7"):  # and whatever is asked later
        host.get(dying.news.remote())


def test_calls_are_answered_while_another_is_under_way(
    actor: Callable[[str], ProcessActor],
) -> None:
    host = ProcessHost(workers=1, command=SERVES, opening={})
    busy = actor("works")
    first = busy.open.remote()
    news = [busy.news.remote() for _ in range(3)]
    assert host.wait([first, *news], count=4, timeout=60) == [first, *news]
    assert [host.get(one) for one in news] == [[0, []]] * 3
    assert host.wait([busy.stop.remote("x")], count=1, timeout=60)


def test_a_batch_system_s_signal_to_all_processes_leaves_them_to_the_driver(
    actor: Callable[[str], ProcessActor],
) -> None:
    one = actor("works")
    one.open.remote().result()  # it is there by now
    one._process.send_signal(signal.SIGTERM)
    one._process.send_signal(signal.SIGINT)
    assert one.news.remote().result() == [0, []]


def test_a_process_that_is_left_out_keeps_its_place() -> None:
    """No other is made for it: each has a base of its own in memory."""
    host = ProcessHost(workers=2, command=SERVES, opening={})
    assert host.capacity(gpu=False, left_out=1) == 2


def test_a_process_ends_when_its_driver_is_gone(actor: Callable[[str], ProcessActor]) -> None:
    one = actor("works")
    one.open.remote().result()
    assert one._process.stdin is not None
    one._process.stdin.close()  # as the system does for a driver that was killed
    assert one._process.wait(60) == 0


def test_a_failing_start_is_one_clear_error(
    place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_processes, "_COMMAND", "raise SystemExit(3)")
    study = write(place, methods={"lora": {"kind": "lora"}})
    found = cli("run", study, "--executor", "processes", "--out", "apart")
    assert found.code == 2
    assert "10 workers in a row could not be started" in found.message
    assert "ended with code 3" in found.message and "--executor local" in found.message


@pytest.mark.usefixtures("quick", "two_threads")
def test_a_run_takes_processes_where_they_pay_and_goes_on_as_the_call_before(
    place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = {name: {"kind": name} for name in ("lora", "head")}
    protocol = {"epochs": 1, "seeds": [0]}
    monkeypatch.setattr(on_processes, "_LEAST_SECONDS", 0)
    monkeypatch.setattr(on_processes, "available_bytes", lambda: 2**50)
    study = write(place, methods=methods, protocol=protocol)
    found = cli("run", study, "--out", "apart", "--log-level", "debug")
    assert found.code == 0, found.err
    assert "each has a process of its own" in " ".join(found.out.split())
    assert "processes 2 of 1 thread each run the jobs" in found.out
    log = (place / "apart/run.log").read_text(encoding="utf-8")
    assert re.search(r"DEBUG observer: process \d+: .* epoch 1", log) and ": tested, " in log
    assert log.count("lora-lr0.001-s0: COMPLETE") == 1

    monkeypatch.setattr(on_processes, "_LEAST_SECONDS", float("inf"))
    monkeypatch.setattr(on_processes, "available_bytes", lambda: 1)  # one: each imports for seconds
    study = write(place, methods=methods, protocol={**protocol, "seeds": [0, 1]})
    api.run(study, out="apart", progress=False)
    events = (place / "apart/events.jsonl").read_text(encoding="utf-8").splitlines()
    jobs = [event["job"] for event in map(json.loads, events) if event["event"] == "packed"]
    assert {job["threads"] for job in jobs if job["kind"] == "train"} == {1}
    assert {job["threads"] for job in jobs if job["kind"] in ("baseline", "measure")} == {2}

    monkeypatch.setattr(on_processes, "_LEAST_SECONDS", 0)
    study = write(place, methods=methods, protocol={**protocol, "seeds": [0, 1, 2]})
    local = cli("run", study, "--executor", "local", "--out", "apart")
    assert local.code == 0 and "process" not in local.out
    study = write(place, methods=methods, protocol={**protocol, "seeds": [0, 1, 2, 3]})
    stays = cli("run", study, "--out", "apart")
    assert stays.code == 0 and "process" not in stays.out


def test_when_a_run_takes_processes_by_itself(
    monkeypatch: pytest.MonkeyPatch, two_threads: None
) -> None:
    schedule: Any = SimpleNamespace(candidates=[])
    said: list[str] = []

    def takes(
        pays: bool, before: bool | None, *, room: int = 2, registered: Sequence[str] = ()
    ) -> bool:
        monkeypatch.setattr(settling, "pays_in_processes", lambda bench, candidates: pays)
        monkeypatch.setattr(settling, "room_for", lambda bench, forecast: room)
        monkeypatch.setattr(settling, "registered_names", lambda: registered)
        bench: Any = None
        said.clear()
        found = settling.as_processes(
            bench, schedule, said.append, ExecutionOptions(), before=before, forecast=None
        )
        return found is not None

    assert takes(True, None) and said == [settling.TAKES_PROCESSES]
    assert takes(False, True, room=1) and said == [settling.GOES_ON]
    assert not takes(False, None) and not takes(True, False) and not said
    assert not takes(True, None, room=1) and "no room" in said[0]
    assert not takes(True, None, registered=["metric 'x'"]) and "metric 'x'" in said[0]


@pytest.mark.soak
def test_all_cells_of_a_study_go_as_the_first_whose_base_is_narrow(
    place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, two_threads: None
) -> None:
    asked: list[bool | None] = []

    def never(*given: Any, before: bool | None, **further: Any) -> None:
        asked.append(before)

    monkeypatch.setattr(runner, "as_processes", never)
    methods = {"lora": {"kind": "lora"}}
    bases = ["scratch:tiny-gpt-neo", "scratch:tiny-llama"]
    found = cli("run", write(place, methods=methods, base=None, bases=bases), "--out", "cells")
    assert found.code == 0, found.err
    assert asked == [None, False]
    inputs = next((place / "cells/cells").glob("*/inputs.json")).read_text(encoding="utf-8")
    assert json.loads(inputs)["processes"] is False


def test_memory_has_room_for_what_a_study_is_forecast_to_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = SimpleNamespace(width=128, config=SimpleNamespace(num_hidden_layers=4))
    bench: Any = SimpleNamespace(base=base)
    monkeypatch.setattr(on_processes, "available_bytes", lambda: 8e9)
    monkeypatch.setattr(on_processes, "settled_bytes", lambda: 5e8)
    assert on_processes.room_for(bench, None) == 7
    assert on_processes.room_for(bench, 3_000_000_000) == 2


def test_what_a_script_itself_has_registered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"method 'mine'": "__main__", "metric 'shared'": "my_metrics"}
    monkeypatch.setattr(on_processes, "registered_by", lambda study: own)
    stages: Any = SimpleNamespace(
        study=None, bench=SimpleNamespace(base=SimpleNamespace(device=torch.device("cpu")))
    )
    with pytest.raises(ConfigError, match="method 'mine' was registered by a script"):
        OnProcesses(ExecutionOptions()).executor(stages, stages)


def test_where_processes_pay(monkeypatch: pytest.MonkeyPatch, two_threads: None) -> None:
    monkeypatch.setattr(on_processes, "training_flops", lambda bench: bench.flops)
    monkeypatch.setattr(on_processes, "cohorts_of", lambda bench, candidates: bench.cohorts)
    monkeypatch.setattr(on_processes, "decoder_layers", lambda base: range(4))
    path = SimpleNamespace(shares_base=True, reads_hidden_states=False)
    states = SimpleNamespace(shares_base=True, reads_hidden_states=True)

    def pays(
        width: int = 128,
        flops: float = 1.6e12,
        cohorts: int = 2,
        device: str = "cpu",
        steps: int = 1,
        through: Any = path,
    ) -> bool:
        bench: Any = SimpleNamespace(
            base=SimpleNamespace(width=width, device=torch.device(device)),
            flops=flops,
            cohorts=cohorts,
            plans={"train": SimpleNamespace(num_steps=steps)},
            protocol=SimpleNamespace(grad_accum_steps=2, epochs=3),
        )
        candidates: Any = [SimpleNamespace(method=SimpleNamespace(execution_path=through))] * 2
        return on_processes.pays_in_processes(bench, candidates)

    assert pays()
    assert not pays(width=768)
    assert not pays(flops=1.4e12)
    assert pays(flops=1.4e12, steps=6)  # many passes of few tokens
    assert not pays(through=states)  # which are computed once
    assert not pays(cohorts=1)
    assert not pays(device="cuda")
    torch.set_num_threads(1)
    assert not pays()


def test_which_way_jobs_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert plan_of(ExecutionOptions(), "auto") == (None, "")
    elsewhere, said = plan_of(ExecutionOptions(executor="processes", workers=3), "cpu")
    assert isinstance(elsewhere, OnProcesses) and not said
    keys: dict[str, Any]
    for keys in (
        {"address": "auto"},
        {"files": "s3://a"},
        {"mixed_devices": True},
        {"resources": {"num_cpus": 2}},
    ):
        with pytest.raises(ConfigError, match=rf"execution.{next(iter(keys))}: has no effect"):
            plan_of(ExecutionOptions(executor="processes", **keys), "cpu")


@pytest.mark.soak
def test_jobs_are_packed_with_the_threads_that_they_run_on(
    place: Path, cli: Cli, two_threads: None
) -> None:
    """What stays in the driver has all its threads: baselines, costs, further test sets."""
    study = write(
        place, methods={"lora": {"kind": "lora"}}, also_test={"again": {"source": "rows"}}
    )
    found = cli("run", study, "--executor", "processes", "--out", "apart")
    assert found.code == 0, found.err
    lines = (place / "apart/events.jsonl").read_text(encoding="utf-8").splitlines()
    jobs = [event["job"] for event in map(json.loads, lines) if event["event"] == "packed"]
    threads = {(job["kind"], job["split"]): job["threads"] for job in jobs}
    assert threads.pop(("train", "test")) == threads.pop(("test", "test")) == 1
    assert {*threads} == {
        *(("baseline", "test"), ("baseline", "again"), ("test", "again"), ("measure", "test"))
    }
    assert {*threads.values()} == {2}


def test_a_process_that_is_at_something_can_be_ended(
    actor: Callable[[str], ProcessActor],
) -> None:
    busy = actor("sleeps")
    under_way = busy.open.remote()
    host = ProcessHost(workers=1, command=SERVES, opening={})
    host.kill(busy)
    assert busy._process.poll() is not None
    with pytest.raises(ProcessError, match="its process ended"):
        host.get(under_way)


def test_half_a_line_of_a_process_that_was_killed_fails_what_waits() -> None:
    writes = "import os, sys; sys.stdin.readline(); os.write(1, b'{half'); os._exit(9)"
    one = ProcessActor(writes, {"opening": "", "threads": 1})
    with pytest.raises(ProcessError, match="its process ended with code 9"):
        one.about.remote().result(60)


@pytest.mark.parametrize("shortens", [True, False])
def test_a_worker_learns_whether_a_budget_may_end_candidates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shortens: bool
) -> None:
    """The end of a claim's budget stops its training; it ends no candidate of the design."""
    seen: list[bool] = []
    job = CohortJob(
        cohort="train-base-0", kind="train", group="base", width=1, micro_batch_size=4, threads=1
    )

    def run(*given: Any) -> RunOutcome:
        seen.append(given[-1].shortens)
        return RunOutcome(job=job)

    workshop: Any = SimpleNamespace(run=run)
    worker = JobWorker(lambda: workshop, threads=torch.get_num_threads(), orphans=False)
    worker.open()
    request = as_text(Request(job=job, seconds=1.0, shortens=shortens))
    worker.run(request, str(tmp_path), str(tmp_path), [])
    assert seen == [shortens]
