"""What a person sees: plain lines where there is no terminal, else bars that fit it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from bakeoff.engine.candidate import Candidate
from bakeoff.execution.progress import ProgressView
from bakeoff.runs.events import CohortJob, Seat
from bakeoff.runs.records import CandidateSpec, EpochRecord
from bakeoff.types import RunState
from tests.execution.drawing import drawn

LONG = "lora_on_all_linear_layers_with_rank_32_and_a_long_name_of_64_cha"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def candidate(id: str, **fields: Any) -> Candidate:
    method: Any = None  # the view never asks
    return Candidate(id=id, method_name="lora", method=method, learning_rate=1e-3, seed=0, **fields)


def shown_bars(width: int, candidates: list[Candidate | None]) -> list[str]:
    """The bars' lines of one refresh."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, color_system="truecolor")
    with ProgressView(console, epochs=10) as view:
        count = len(candidates)
        view.on_step(candidates, 50, 100, [2.345] * count, [1.25e-3] * count)
        text = CONTROL.sub("", drawn(view, file))
    return text.replace("\r", "").split("\n")


def test_a_bar_for_each_slot_with_epoch_loss_and_rate() -> None:
    lines = shown_bars(100, [candidate("lora-s0"), None, candidate("head-s1")])
    assert len(lines) == 2
    for line, name in zip(lines, ("lora-s0", "head-s1"), strict=True):
        assert line.startswith(name)
        assert "epoch 1/10  loss 2.345  rate 0.0013" in line
        assert "━" in line


@pytest.mark.parametrize("width", [80, 100, 132])
def test_long_names_keep_their_ends_and_break_no_line(width: int) -> None:
    ids = [f"{LONG}-lr0.00125-s{seed}" for seed in (0, 1)]
    lines = shown_bars(width, [candidate(id) for id in ids])
    assert len(lines) == 2
    for line, seed in zip(lines, (0, 1), strict=True):
        assert len(line) <= width
        assert f"-lr0.00125-s{seed} " in line
        assert "loss 2.345  rate 0.0013" in line
        assert re.search(r"\d:\d\d:\d\d|-:--:--", line)


def test_bars_of_those_that_ended_go_away() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100)
    with ProgressView(console) as view:
        one = candidate("one")
        view.on_step([one, candidate("two")], 1, 2, [1.0, 1.0], [0.1, 0.1])
        one.state = RunState.COMPLETE
        view.on_end(one)
        assert [task.description for task in view._progress.tasks] == ["two"]
        view.clear()
        assert view._progress.tasks == []


def test_jobs_of_other_processes_have_a_bar_each() -> None:
    seats = tuple(
        Seat(spec=CandidateSpec(method="lora", learning_rate=0.1, seed=seed), stop=2)
        for seed in range(3)
    )
    job = CohortJob(
        cohort="train-base-0",
        kind="train",
        group="base",
        seats=seats,
        width=2,
        micro_batch_size=4,
        threads=1,
    )
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with ProgressView(console, epochs=2) as view:
        view.on_step_beside(job, 1, 5, 20)
        view.on_step_beside(replace(job, cohort="train-base-1"), 2, 10, 20)
        first, second = view._progress.tasks
        assert (first.description, first.completed, first.total) == ("train-base-0", 5, 20)
        assert first.fields["note"] == "epoch 1/2  candidates 2"
        assert (second.completed, second.fields["note"]) == (10, "epoch 2/2  candidates 2")
        view.on_job_over("train-base-0")
        view.on_job_over("test-0")  # which has none
        assert [task.description for task in view._progress.tasks] == ["train-base-1"]


def told(tell: Callable[[ProgressView], None], *, width: int = 40) -> str:
    file = io.StringIO()
    with ProgressView(Console(file=file, width=width)) as view:
        tell(view)
    return file.getvalue()


def test_without_a_terminal_there_are_plain_lines() -> None:
    record = EpochRecord(epoch=1, train_nll=2.5, val_nll=2.25, seconds=1.25)
    one = candidate(f"{LONG}-s0", epochs=[record], best_epoch=1, state=RunState.STOPPED)
    one.reason = "no better validation NLL in 2 epochs after epoch 1"

    def tell(view: ProgressView) -> None:
        view.on_step([one], 1, 2, [2.5], [0.1])
        view.count("summaries", 1, 2)
        view.on_epoch(one)
        view.on_end(one)
        view.on_note("memory ran out")

    text = told(tell)
    assert "\x1b" not in text and "\r" not in text
    assert [" ".join(line.split()) for line in text.splitlines()] == [
        f"{LONG}-s0 epoch 1 train 2.5000 validation 2.2500 1.2 s best so far",
        f"{LONG}-s0 stopped early: no better validation NLL in 2 epochs after epoch 1",
        "note memory ran out",
    ]


def test_brackets_in_reasons_and_notes_are_text() -> None:
    failed = candidate("x", state=RunState.FAILED, reason="[Errno 5] [bold]no[/nope]")

    def tell(view: ProgressView) -> None:
        view.on_end(failed)
        view.on_note("of [red]this[/x]")

    lines = told(tell).splitlines()
    assert lines[0].endswith("failed: [Errno 5] [bold]no[/nope]")
    assert lines[1].endswith("note of [red]this[/x]")


@pytest.mark.usefixtures("quick")
def test_a_run_that_is_piped_has_no_control_codes(run_small: Callable[..., Any]) -> None:
    out = run_small(protocol={"seeds": [0, 1]}).out
    assert "\x1b" not in out
    for part in ("zero-shot", "lora-lr0.01-s0", "epoch  1", "done", "test ", "The report: "):
        assert part in out


@pytest.mark.usefixtures("quick")
def test_a_run_on_a_terminal_shows_bars(
    run_small: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bakeoff.cli.run.Console", lambda **_: Console(force_terminal=True, width=100)
    )
    out = run_small(protocol={"seeds": [0, 1]}).out
    plain = CONTROL.sub("", out)
    assert "━" in plain
    assert "epoch 1/1  loss" in plain
    assert "The report: " in plain


def test_brackets_in_what_was_reached_are_no_markup() -> None:
    file = io.StringIO()
    with ProgressView(Console(file=file, width=80)) as view:
        view.on_tested("lora-lr0.01-s0", "test acc [/5] 0.250")
    assert file.getvalue() == f"  {'lora-lr0.01-s0':<28} test acc [/5] 0.250\n"
