"""Ctrl-C at any moment: a readable partial result, and the same command goes on."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bakeoff import files
from bakeoff.config import dump_yaml
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.generation.generate import generate
from bakeoff.errors import StoreError
from bakeoff.execution.checkpoints import Checkpoints
from bakeoff.execution.progress import ProgressView
from bakeoff.files import disk_errors
from bakeoff.report import write_report
from bakeoff.runs.reserve import RESERVE_FILE, RESERVED_BYTES
from bakeoff.study import runner
from tests.studies import without_times

Run = Callable[..., Any]
METHODS = {"head": {"learning_rate": 1e-2}, "lora": {"rank": 2, "learning_rate": 1e-2}}
PROTOCOL = {"epochs": 2, "seeds": [0, 1]}


@contextmanager
def interrupted_head() -> Iterator[None]:
    """Ctrl-C in the last seed's first epoch of ``head``, which trains after ``lora``."""
    on_epoch = ProgressView.on_epoch

    def interrupted(self: ProgressView, candidate: Candidate) -> None:
        on_epoch(self, candidate)
        if candidate.id == "head-lr0.01-s1":
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressView, "on_epoch", interrupted)
        yield


@pytest.mark.usefixtures("quick")
def test_interrupted_training_leaves_a_partial_result_and_its_report(
    run_small: Run,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    results: Callable[[], dict[str, Any]],
) -> None:
    monkeypatch.setattr("bakeoff.report.write_report", write_report)

    with interrupted_head():
        outcome = run_small(methods=METHODS, protocol=PROTOCOL)

    assert outcome.code == 130
    assert outcome.err == ""
    assert "Interrupted. What is there: out/report.html" in outcome.out
    assert "The same command goes on with the rest." in outcome.out
    partial = results()
    assert partial["status"] == "partial"
    states = {name: c["state"] for name, c in partial["candidates"].items()}
    assert states == {
        "head-lr0.01-s0": "RUNNING",
        "head-lr0.01-s1": "RUNNING",
        "lora-lr0.01-s0": "COMPLETE",
        "lora-lr0.01-s1": "COMPLETE",
    }
    assert partial["methods"]["head"]["test"] == {}
    assert partial["recommendation"]["method"] is None
    assert "lora" in (place / "out/report.md").read_text(encoding="utf-8")
    assert (place / "out/report.html").stat().st_size > 1000


@pytest.mark.usefixtures("quick")
def test_what_was_finished_is_not_trained_again(
    run_small: Run,
    place: Path,
    trained: list[str],
    results: Callable[[], dict[str, Any]],
) -> None:
    run_small(methods=METHODS, protocol=PROTOCOL)
    undisturbed = without_times(results())
    (place / "out").rename(place / "undisturbed")

    with interrupted_head():
        assert run_small(methods=METHODS, protocol=PROTOCOL).code == 130
    trained.clear()
    assert run_small(methods=METHODS, protocol=PROTOCOL).code == 0

    assert trained == ["head-lr0.01-s0", "head-lr0.01-s1"]
    assert without_times(results()) == undisturbed


@pytest.mark.usefixtures("quick")
def test_interrupted_while_testing_nothing_is_trained_again(
    run_small: Run,
    monkeypatch: pytest.MonkeyPatch,
    trained: list[str],
    results: Callable[[], dict[str, Any]],
) -> None:
    calls: list[Any] = []

    def interrupted(cohort: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(cohort)
        if len(calls) == 3:  # the untuned base, lora, then head
            raise KeyboardInterrupt
        return generate(cohort, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr("bakeoff.execution.outputs.generate", interrupted)
        assert run_small(methods=METHODS, protocol=PROTOCOL).code == 130
    assert results()["methods"]["lora"]["test"]["nll"]["mean"] > 0
    trained.clear()
    tested: list[list[Any]] = []

    def spy(cohort: Any, *arguments: Any, **options: Any) -> Any:
        tested.append([method.kind for method in cohort.seated])
        return generate(cohort, *arguments, **options)

    monkeypatch.setattr("bakeoff.execution.outputs.generate", spy)

    assert run_small(methods=METHODS, protocol=PROTOCOL).code == 0

    assert trained == []
    assert tested == [["head", "head"]]
    assert results()["status"] == "complete"


@pytest.mark.usefixtures("quick")
def test_interrupted_before_anything_was_trained(
    run_small: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "open_workbench", interrupted)
    outcome = run_small()
    assert outcome.code == 130
    assert "Interrupted. Nothing is trained yet." in outcome.out
    assert outcome.err == ""
    assert list((place / "out").iterdir()) == []


@pytest.mark.slow
def test_a_real_interrupt_ends_with_130(place: Path, small: Run) -> None:
    study = small(protocol={"epochs": 100_000, "patience": None})
    (place / "study.yaml").write_text(dump_yaml(study), encoding="utf-8")
    source = str(Path(__file__).parents[2] / "src")
    process = subprocess.Popen(
        [sys.executable, "-m", "bakeoff.cli", "run", "study.yaml", "--out", "out"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": source},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "epoch" in line:
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()

    assert process.returncode == 130, err
    assert "Traceback" not in out + err
    assert "Interrupted. What is there: out/report.html" in out
    results = json.loads((place / "out/results.json").read_text(encoding="utf-8"))
    assert results["status"] == "partial"
    assert (place / "out/report.html").exists()


@pytest.mark.usefixtures("quick")
def test_a_disk_that_is_full_to_the_last_byte_takes_results_and_a_report(
    run_small: Run,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    results: Callable[[], dict[str, Any]],
) -> None:
    """What the run keeps back is all the room that there is."""
    monkeypatch.setattr("bakeoff.report.write_report", write_report)
    reserve = place / "out" / RESERVE_FILE
    write, save = files.write_bytes, Checkpoints.save
    saved = 0

    def bounded(path: Path, content: bytes) -> None:
        if saved >= 3 and reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, content)

    def full(self: Checkpoints, *arguments: Any) -> None:
        nonlocal saved
        saved += 1
        if saved == 3:
            assert reserve.stat().st_size == RESERVED_BYTES
            with disk_errors(place / "out"):
                bounded(place / "out/cohorts/x", b"")
        save(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr("bakeoff.runs.storage.write_bytes", bounded)
        patch.setattr(Checkpoints, "save", full)
        outcome = run_small(methods=METHODS, protocol={"epochs": 2})
    assert outcome.code == 2 and "the disk is full" in outcome.err
    assert results()["status"] == "partial"
    assert (place / "out/report.html").exists() and not reserve.exists()
    assert run_small(methods=METHODS, protocol={"epochs": 2}).code == 0
    assert results()["status"] == "complete" and not reserve.exists()


@pytest.mark.usefixtures("quick")
def test_a_disk_without_room_for_a_checkpoint_leaves_a_partial_report_too(
    run_small: Run,
    cli: Run,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    results: Callable[[], dict[str, Any]],
) -> None:
    save, saved = Checkpoints.save, 0

    def full(self: Checkpoints, *arguments: Any) -> None:
        nonlocal saved
        saved += 1
        if saved == 3:
            raise StoreError("out/cohorts: the disk is full")
        save(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", full)
        outcome = run_small(methods=METHODS, protocol={"epochs": 2})
    assert outcome.code == 2 and "the disk is full" in outcome.err
    assert results()["status"] == "partial"
    assert cli("report", "out", "--format", "md").code == 0
    assert run_small(methods=METHODS, protocol={"epochs": 2}).code == 0
    assert results()["status"] == "complete"
