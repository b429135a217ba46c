"""``benchmarks/gpu/campaign.py``: records, limits, going on, and a dry run through the stages."""

from __future__ import annotations

import inspect
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bakeoff.methods.registry import METHODS
from tests.waiting import until

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu" / "campaign.py"
LEFT_OUT = ("large/nf4", "seed_study")
"""Stages that a dry run cannot do; they say why."""
Module = Callable[[str], ModuleType]
Work = Callable[..., None]


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A campaign ends its stages at a SIGTERM; this process is not one."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def stage(module: Module, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes a stage of a function; its process is a fork, which finds it."""

    def make(name: str, work: Work, limit: float = 60.0) -> Any:
        made = ModuleType(f"stage_of_a_test_{name}")
        vars(made)["run"] = work
        monkeypatch.setitem(sys.modules, made.__name__, made)
        return module("gpu.processes").Stage(
            name=name, question="", module=made.__name__, limit=limit
        )

    return make


@pytest.fixture
def run(module: Module, tmp_path: Path) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
    """Runs stages into a folder: the exit code and all records."""
    records = module("gpu.records").Records(tmp_path / "records.jsonl", dry_run=False)
    place = module("gpu.processes").Place(out=tmp_path)
    module("gpu.processes").starting_context()  # the imports are not of the campaign's time

    def go(*stages: Any, seconds: float = 300.0) -> tuple[int, list[dict[str, Any]]]:
        code = module("gpu.campaign").run(stages, place, records, time.monotonic() + seconds)
        return code, records.read()

    return go


def states(records: list[dict[str, Any]]) -> dict[str, str]:
    return {r["stage"]: r["state"] for r in records if r["kind"] == "stage"}


def well(report: Any, place: Any) -> None:
    with report.part("one") as found:
        found["figure"], found["says"] = 3, "it is three"


def broken(report: Any, place: Any) -> None:
    print("about to break")
    raise RuntimeError("the card is gone")


def half_broken(report: Any, place: Any) -> None:
    with report.part("first"):
        int("no such kernel")
    with report.part("second") as found:
        found["figure"] = 1


def gone(report: Any, place: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def endless(report: Any, place: Any) -> None:
    with report.part("before"):
        pass
    threading.Event().wait()


def test_a_stage_that_fails_does_not_stop_the_others(
    stage: Callable[..., Any], run: Callable[..., Any], tmp_path: Path
) -> None:
    stages = [stage(w.__name__, w) for w in (broken, gone, half_broken, well)]
    code, records = run(*stages)
    assert code == 1
    assert states(records) == {
        "broken": "failed",
        "gone": "failed",
        "half_broken": "failed",
        "well": "passed",
    }
    ends = {r["stage"]: r for r in records if r["kind"] == "stage"}
    assert ends["broken"]["reason"] == "RuntimeError: the card is gone"
    assert "in broken" in ends["broken"]["traceback"]
    assert "signal SIGKILL" in ends["gone"]["reason"]
    assert ends["half_broken"]["reason"] == "failed: first"
    assert "about to break" in (tmp_path / "logs" / "broken.log").read_text()
    parts = {(r["stage"], r["part"]): r for r in records if r["kind"] == "part"}
    assert "no such kernel" in parts["half_broken", "first"]["traceback"]
    assert parts["half_broken", "second"]["state"] == "passed"
    assert parts["well", "one"]["figures"] == {"figure": 3}
    assert parts["well", "one"]["says"] == "it is three"


def test_a_stage_ends_at_its_limit_with_all_that_it_started(
    stage: Callable[..., Any], run: Callable[..., Any], tmp_path: Path
) -> None:
    child = tmp_path / "child"

    def spawning(report: Any, place: Any) -> None:
        command = [sys.executable, "-c", "import threading; threading.Event().wait()"]
        child.write_text(str(subprocess.Popen(command).pid))
        endless(report, place)

    code, records = run(stage("slow", spawning, limit=15.0), stage("well", well))
    assert code == 1
    assert states(records) == {"slow": "timed_out", "well": "passed"}
    assert [r["part"] for r in records if r["kind"] == "part"] == ["before", "one"]
    until(lambda: has_ended(int(child.read_text())))


def has_ended(pid: int) -> bool:
    """Where no one collects orphans, it stays a zombie."""
    try:
        return "zombie" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_the_campaign_stops_by_itself(
    stage: Callable[..., Any],
    run: Callable[..., Any],
    module: Module,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module("gpu.campaign"), "_LEAST_SECONDS", 1.0)
    code, records = run(stage("slow", endless), stage("later", well), seconds=15)
    assert code == 3
    assert states(records) == {"slow": "interrupted", "later": "not_started"}
    summary = (tmp_path / "summary.txt").read_text()
    assert "not run to the end (run again with --have records.jsonl): slow, later" in summary


def test_held_stages_are_not_run_again(
    stage: Callable[..., Any], run: Callable[..., Any], module: Module, tmp_path: Path
) -> None:
    module_of_records = module("gpu.records")
    run(stage("well", well), stage("broken", broken))
    path = tmp_path / "records.jsonl"
    module_of_records.Records(path, dry_run=False).append(
        "stage", stage="slow", state="interrupted", seconds=1.0
    )
    held = module_of_records.held_records(path, dry_run=False, retry=False)
    assert states(held) == {"well": "passed", "broken": "failed"}
    assert [r["part"] for r in held if r["kind"] == "part"] == ["one"]
    retried = module_of_records.held_records(path, dry_run=False, retry=True)
    assert states(retried) == {"well": "passed"}
    path.write_text("".join(json.dumps(record) + "\n" for record in held))

    def never(report: Any, place: Any) -> None:
        raise AssertionError("it was run again")

    code, records = run(stage("well", never), stage("broken", never), stage("slow", well))
    assert code == 1
    assert states(records) == {"well": "passed", "broken": "failed", "slow": "passed"}
    assert "the card is gone" in (tmp_path / "summary.txt").read_text()


def test_of_a_stage_that_ran_twice_the_last_time_counts(module: Module, tmp_path: Path) -> None:
    records = module("gpu.records").Records(tmp_path / "r.jsonl", dry_run=False)
    for state in ("failed", "passed"):
        records.append("part", stage="a", part=state, state=state)
        records.append("stage", stage="a", state=state, seconds=1.0)
    held = module("gpu.records").held_records(records.path, dry_run=False, retry=True)
    assert [(r["kind"], r["state"]) for r in held] == [("part", "passed"), ("stage", "passed")]


def test_a_line_that_was_cut_off_is_left_out(module: Module, tmp_path: Path) -> None:
    records = module("gpu.records").Records(tmp_path / "r.jsonl", dry_run=True)
    records.append("stage", stage="a", state="passed", seconds=1.0)
    whole = records.path.read_text()
    records.path.write_text(whole + '{"kind": "sta')
    assert [r["stage"] for r in records.read()] == ["a"]
    records.path.write_text('{"kind": "sta\n' + whole)
    with pytest.raises(
        module("gpu.records").RecordsError, match=r"r\.jsonl, line 1: .* no.* record"
    ):
        records.read()


def test_records_of_the_other_kind_of_run_are_refused(
    module: Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = module("gpu.records").Records(tmp_path / "r.jsonl", dry_run=True)
    records.append("stage", stage="a", state="passed", seconds=1.0)
    flags = ["--have", str(records.path), "--out", str(tmp_path / "out")]
    assert module("gpu.campaign").main(flags) == 2
    assert "the records are of a dry run, and this is no dry run" in capsys.readouterr().err


def test_wrong_arguments_are_refused(
    module: Module,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main = module("gpu.campaign").main
    monkeypatch.delenv("OUT", raising=False)
    for flags, words in (
        (["--only", "nothing"], "no stage has such a name"),
        ([], "no folder to write into: give --out FOLDER, or set OUT"),
        (["--out", str(tmp_path), "--have", str(tmp_path / "no")], "No such file or directory"),
    ):
        assert main(flags) == 2
        assert words in capsys.readouterr().err
    (tmp_path / "records.jsonl").write_text("")
    assert main(["--out", str(tmp_path)]) == 2
    assert "exists already; give another --out" in capsys.readouterr().err


def test_without_a_card_stages_say_so(module: Module, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a card")
    main = module("gpu.campaign").main
    assert main(["--out", str(tmp_path), "--only", "resume", "profile"]) == 0
    ends = [json.loads(line) for line in (tmp_path / "records.jsonl").open()][1:]
    assert [(r["state"], r["reason"]) for r in ends] == [
        ("skipped", "PyTorch sees no CUDA device here")
    ] * 2


@pytest.mark.soak
def test_a_process_that_is_started_afresh_does_the_same(module: Module, tmp_path: Path) -> None:
    """As where an import has touched the card, which no fork survives."""
    processes = module("gpu.processes")
    [stage] = [s for s in module("gpu.table").all_stages() if s.name == "environment"]
    records = module("gpu.records").Records(tmp_path / "r.jsonl", dry_run=False)
    context = multiprocessing.get_context("spawn")
    processes.run_in_process(context, stage, processes.Place(out=tmp_path), records, 300.0)
    first, *_, last = records.read()
    assert first["part"] == "libraries" and "torch" in first["figures"]
    assert last["kind"] == "stage" and last["state"] in ("passed", "skipped"), last


def test_the_table_names_every_method_and_test(
    module: Module, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = module("gpu.table").all_stages()
    names = [stage.name for stage in stages]
    assert len(set(names)) == len(names)
    assert {name for name in names if name.startswith("updates/")} == {
        f"updates/{kind}" for kind in METHODS
    }
    tests = (ROOT / "tests" / "engine" / "backends" / "test_gpu.py").read_text()
    assert sum(name.startswith("tests/") for name in names) == tests.count("\ndef test_")
    for stage in stages:
        work = module(stage.module).run
        inspect.signature(work).bind(None, None, **stage.arguments)
    assert module("gpu.campaign").main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(stages)


def test_a_script_s_lines_become_parts(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = ModuleType("script_of_a_test")

    def main(argv: list[str]) -> None:
        print("a library's own words")
        print(json.dumps({"engine": argv[0], "speed": 2}))
        print(json.dumps({"engine": "liger", "skipped": "liger_kernel is not installed"}))

    vars(script)["main"] = main
    monkeypatch.setitem(sys.modules, script.__name__, script)
    records = module("gpu.records").Records(tmp_path / "r.jsonl", dry_run=False)
    report = module("gpu.records").Report(records, "s")
    module("gpu.scripts").run_script(
        report, script.__name__, ["ours"], lambda line: (line["engine"], "fast")
    )
    found = records.read()
    assert [(r["part"], r["state"], r["says"]) for r in found] == [
        ("ours", "passed", "fast"),
        ("liger", "skipped", ""),
    ]
    assert found[0]["figures"] == {"engine": "ours", "speed": 2}
    assert found[1]["reason"] == "liger_kernel is not installed"


def test_losses_that_lie_apart_fail(module: Module) -> None:
    updates = module("gpu.stages.updates")
    found = {"captures": 1, "ms_per_update": 1.0}
    updates._compare([2.0, 1.0], [2.0, 1.001], "float32", found)
    assert found["largest_gap"] == pytest.approx(1e-3, rel=1e-2)
    for wrong in (1.01, float("nan")):
        with pytest.raises(AssertionError, match="losses are"):
            updates._compare([2.0, wrong], [2.0, 1.0], "float32", dict(found))


def test_the_top_kernels_are_those_that_take_most(module: Module) -> None:
    import torch
    from torch.profiler import ProfilerActivity, profile

    square = torch.ones(1024, 1024)  # so that it takes most whatever interrupts the others
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(3):
            torch.mm(square, square)
    first, *others = module("gpu.stages.profile").top_kernels(seen.key_averages())
    assert (first["name"], first["calls"]) == ("aten::mm", 3)
    assert first["share"] > max((kernel["share"] for kernel in others), default=0)


@pytest.fixture(scope="session")
def guarded() -> Iterator[None]:
    """Skips where the library that the dry run preloads cannot be built."""
    sys.path.insert(0, str(ROOT))
    from tests.fake_cuda.guard import compiler

    if compiler() is None:
        pytest.skip("no C++ compiler")
    yield


def dry_run(out: Path, *flags: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    command = [sys.executable, str(SCRIPT), "--dry-run", "--out", str(out), *flags]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    lines = [json.loads(line) for line in (out / "records.jsonl").open()]
    return done, states(lines)


@pytest.mark.fake_cuda
@pytest.mark.usefixtures("guarded")
def test_a_dry_run_goes_through_some_stages(tmp_path: Path) -> None:
    """Those that reach into most of the house: whatever moves there is to be found here.

    ``large/none`` would take as long as these; its script is what ``test_large.py`` calls.
    """
    stages = ("environment", "updates/lora", "plan/head", "small_bases")
    done, found = dry_run(tmp_path / "a", "--only", *stages)
    assert found == dict.fromkeys(stages, "passed"), done
    assert done.returncode == 0
    assert "DRY RUN" in (tmp_path / "a" / "summary.txt").read_text()


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("BAKEOFF_FAKE_CUDA") != "full",
    reason="takes a minute and a half of two cores: `make soak` runs it, some stages run here",
)
@pytest.mark.usefixtures("guarded")
def test_the_dry_run_goes_through_every_stage(module: Module, tmp_path: Path) -> None:
    done, found = dry_run(tmp_path / "all")
    expected = [stage.name for stage in module("gpu.table").all_stages()]
    wanted = dict.fromkeys(expected, "passed") | dict.fromkeys(LEFT_OUT, "skipped")
    assert found == wanted, done.stdout + done.stderr
    assert done.returncode == 0
