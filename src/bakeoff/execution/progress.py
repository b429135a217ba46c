"""What a person sees while a study runs: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from bakeoff.engine.candidate import Candidate
from bakeoff.execution.clock import StudyClock
from bakeoff.runs.events import CohortJob
from bakeoff.types import RunState

_MARKS = {
    RunState.COMPLETE: "[green]done[/]",
    RunState.STOPPED: "[green]stopped early[/]",
    RunState.DIVERGED: "[red]diverged[/]",
    RunState.FAILED: "[red]failed[/]",
    RunState.PRUNED: "[yellow]pruned[/]",
}
_BAR_WIDTH = 10
_BESIDE_NAME = 58
"""Columns of a bar's line that are not its name's: bar, epoch, loss, rate, time left."""
_LINE_EVERY = 60.0
"""Seconds between two lines on the whole study, where there is no terminal."""


class _Bars(Progress):
    """Bars below a line on the whole study, which is asked for as often as it is drawn."""

    def __init__(self, head: Callable[[], str], *columns: str | ProgressColumn, **options: Any):
        self._head = head
        super().__init__(*columns, **options)

    def get_renderables(self) -> Iterator[RenderableType]:
        """What is drawn, from top to bottom."""
        if text := self._head():
            yield Text(text, style="bold", no_wrap=True, overflow="ellipsis")
        yield self.make_tasks_table(self.tasks)


class ProgressView:
    """Tells how a run goes; on a terminal with one bar a slot, else with a line an event.

    Args:
        console: where to. Its ``is_terminal`` decides the form.
        epochs: the most that a candidate may train, for the time that is left.
        study: follows the whole study; its line stands above the bars.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        console: Console,
        *,
        epochs: int = 1,
        study: StudyClock | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console
        self.epochs = epochs
        self.study = study
        self._clock = clock
        self._next_line = clock() + _LINE_EVERY
        self._progress = _Bars(
            lambda: study.state.text if study is not None else "",
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=_BAR_WIDTH),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def _say_now_and_then(self) -> None:
        """The line on the whole study, where no bar shows it."""
        if self.study is not None and self._clock() >= self._next_line:
            self._next_line = self._clock() + _LINE_EVERY
            self.say(f"  {self.study.state.text}")

    def count(self, what: str, done: int, total: int) -> None:
        """Progress of something that is counted: prompts, methods."""
        if not self.console.is_terminal:
            self._say_now_and_then()
        self._update(what, done, total, f"{done}/{total}")

    def clear(self) -> None:
        """Removes all bars."""
        for bar in self._bars.values():
            self._progress.remove_task(bar)
        self._bars = {}

    def on_step(
        self,
        seated: Sequence[Candidate | None],
        step: int,
        num_steps: int,
        train_nll: Sequence[float],
        rates: Sequence[float],
    ) -> None:
        """See ``engine.candidate.Observer``."""
        if self.study is not None:
            self.study.step(seated, step, num_steps)
        if not self.console.is_terminal:
            self._say_now_and_then()
            return
        for candidate, nll, rate in zip(seated, train_nll, rates, strict=True):
            if candidate is None:
                continue
            past = len(candidate.epochs)
            note = f"epoch {past + 1}/{self.epochs}  loss {nll:.3f}  rate {rate:.2g}"
            self._update(candidate.id, past * num_steps + step, self.epochs * num_steps, note)

    def on_step_beside(self, job: CohortJob, epoch: int, step: int, num_steps: int) -> None:
        """Some updates of an epoch are done in another process.

        Args:
            job: whose. epoch: from 1. step: updates of the epoch that are done, of ``num_steps``.
        """
        passed = job.candidates[: job.width]
        if self.study is not None:
            self.study.step_beside(passed, epoch, step / max(1, num_steps))
        if not self.console.is_terminal:
            self._say_now_and_then()
            return
        note = f"epoch {epoch}/{self.epochs}  candidates {len(passed)}"
        self._update(job.cohort, step, num_steps, note)

    def on_job_over(self, cohort: str) -> None:
        """A job that another process ran is over."""
        bar = self._bars.pop(cohort, None)
        if bar is not None:
            self._progress.remove_task(bar)

    def on_epoch(self, candidate: Candidate) -> None:
        """See ``engine.candidate.Observer``."""
        record = candidate.epochs[-1]
        if self.study is not None:
            self.study.epoch(candidate)
        best = "  [green]best so far[/]" if candidate.best_epoch == record.epoch else ""
        self.say(
            f"  {candidate.id:<28} epoch {record.epoch:>2}  train {record.train_nll:.4f}  "
            f"validation {record.val_nll:.4f}  {record.seconds:.1f} s{best}"
        )

    def on_end(self, candidate: Candidate) -> None:
        """See ``engine.candidate.Observer``."""
        if self.study is not None:
            self.study.end(candidate)
        bar = self._bars.pop(candidate.id, None)
        if bar is not None:
            self._progress.remove_task(bar)
        mark = _MARKS.get(candidate.state, candidate.state.value)
        reason = f": {escape(candidate.reason)}" if candidate.reason else ""
        self.say(f"  {candidate.id:<28} {mark}{reason}")

    def on_note(self, note: str) -> None:
        """See ``engine.candidate.Observer``."""
        self.say(f"  [yellow]note[/] {escape(note)}")

    def on_tested(self, name: str, reached: str) -> None:
        """What a candidate or a baseline has reached on a set; titles of metrics are a user's."""
        self.say(escape(f"  {name:<28} {reached}"))

    def on_search(self, text: str) -> None:
        """A decision of the search, in words."""
        self.say(f"  [cyan]search[/] {escape(text)}")

    def _update(self, name: str, done: int, total: int, note: str) -> None:
        if name not in self._bars:
            room = max(16, self.console.width - _BESIDE_NAME)
            # What distinguishes ids, rate and seed, is at their end.
            shown = name if len(name) <= room else f"…{name[1 - room :]}"
            self._bars[name] = self._progress.add_task(shown, total=total, note=note)
        self._progress.update(self._bars[name], completed=done, total=total, note=note)
