"""Runs a study with bases or templates: one cell after the other, each as a study of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from rich.console import Console
from rich.markup import escape

from bakeoff.errors import ConfigError, StoreError
from bakeoff.execution.stopping import StopSignals, TrainingTimeSpent
from bakeoff.formatting import counted
from bakeoff.runs.folder import STUDY_FILE, RunFolder, open_run
from bakeoff.runs.reading import RESULTS_FILE, read_results
from bakeoff.runs.records import Results
from bakeoff.study.cells import TEST, OpenedCell, check_cells, deciding_metric, open_cells
from bakeoff.study.crossing import PER_TOKEN
from bakeoff.study.environment import versions
from bakeoff.study.growing import outline_of
from bakeoff.study.introducing import print_note, say_aside
from bakeoff.study.joined_answers import judge_cells
from bakeoff.study.joined_judging import JudgedCells
from bakeoff.study.joined_scores import folder_of, shared_rows
from bakeoff.study.joining import join_results
from bakeoff.study.judged_notes import JUDGED_ABOVE, has_new_votes, judge_plan
from bakeoff.study.longer import why_not_longer
from bakeoff.study.runner import Runner
from bakeoff.study.stages import ElsewherePlan
from bakeoff.study.study import Cell, Study

_log = logging.getLogger(__name__)


class CrossedRunner:
    """Runs all cells of one study in one folder; see ``Runner``, whose arguments it takes.

    Only one cell's base is held at a time. Each cell is taken up where an earlier call left it;
    whenever one ends, the study's own results are put together from all that are there.
    """

    def __init__(
        self,
        study: Study,
        folder: RunFolder,
        device: str,
        console: Console,
        stop: StopSignals,
        *,
        force: bool = False,
        mix_versions: bool = False,
        on_news: Callable[[], None] | None = None,
        notes: Sequence[str] = (),
        elsewhere: ElsewherePlan | None = None,
        may_use_processes: bool = False,
        measures_costs: bool = True,
        after_training: Sequence[float] = (),
    ) -> None:
        assert study.crossing is not None
        if elsewhere is not None and elsewhere.is_part:
            raise ConfigError(
                "--shard: a study with bases or templates is not split into shards, as each of "
                "its parts would need all of them; run it whole, with --executor ray on several "
                "machines, or a study of one base and one prompt"
            )
        self.elsewhere, self.may_use_processes = elsewhere, may_use_processes
        self.study, self.folder, self.device, self.console = study, folder, device, console
        self.stop, self.force, self.mix_versions = stop, force, mix_versions
        self.on_news, self.notes, self.measures_costs = on_news, notes, measures_costs
        self.cells: tuple[Cell, ...] = study.crossing.cells
        self.after_training = after_training
        self._opened: dict[str, OpenedCell] = {}
        self._present: tuple[int, Runner] | None = None
        self._grown: list[str] = []
        self._judged: JudgedCells | None = None
        self._is_judging = False

    def is_complete(self) -> bool:
        """Whether the folder holds the whole study already, and every file as it was written."""
        path = self.folder.path
        if not ((path / STUDY_FILE).exists() and (path / RESULTS_FILE).exists()):
            return False
        try:
            results = read_results(path)
        except StoreError as error:
            _log.warning("%s", error)
            return False
        if results.status != "complete" or not self.folder.holds(results):
            return False
        if has_new_votes(self.study, path, results):
            return False
        places = [folder_of(path, cell.place.label) for cell in self.cells]
        if not all((place / STUDY_FILE).exists() for place in places):
            return False
        with ExitStack() as stack:
            if not all(runner.is_complete() for _, runner in self._runners(stack)):
                return False
        for note in self.folder.restore_study():
            _log.warning("%s", note)
        return True

    def state(self) -> dict[str, Any]:
        """How far the study has come, as plain values and as ``text``."""
        if self._is_judging:
            return {"text": "judging the answers"}
        if self._present is None:
            return {"text": "looking at the bases and the data"}
        number, runner = self._present
        found = runner.state()
        label = self.cells[number].place.label
        return {**found, "text": f"{label}, {number + 1} of {len(self.cells)}: {found['text']}"}

    def keep_prices(self) -> None:
        """Writes a complete study's results at the prices that it has by now."""
        self.folder.keep_prices(read_results(self.folder.path))

    def clear_away(self) -> None:
        """Removes what a complete study needs no more, where a crash left it."""
        self.folder.sweep()
        with ExitStack() as stack:
            for _, runner in self._runners(stack):
                runner.clear_away()

    def run(self) -> Results:
        """Makes whatever is missing; see ``Runner.run``.

        A cell whose training came to the end of its share ends itself alone: the time of all later
        ones was kept, so that they are run before ``TrainingTimeSpent`` is raised.
        """
        crossing = self.study.crossing
        assert crossing is not None
        with self.console.status("looking at the bases and the data") as status:
            self._opened = open_cells(crossing, lambda text: status.update(text))
        check_cells(self.study, self._opened)
        self._introduce()
        with ExitStack() as stack:
            # All folders are looked at before the first cell is trained.
            runners = list(self._runners(stack))
            self._grown = self.folder.claim({}, versions(), mix_versions=self.mix_versions)
            say_aside(self.folder, self.console)
            for note in self._grown:
                self._note(note)
            self.folder.sweep()
            late: TrainingTimeSpent | None = None
            try:
                for number, (cell, runner) in enumerate(runners):
                    self._present = number, runner
                    runner.after_training = kept_for(
                        self.after_training, [one.is_complete() for _, one in runners[number + 1 :]]
                    )
                    # All cells as the first of which it is kept.
                    kept = [other.folder.in_processes_before() for _, other in runners]
                    runner.others_processes = next((k for k in kept if k is not None), None)
                    late = self._run(number, cell, runner) or late
                if self.study.options.judge is not None:
                    self._judge()
                if late is not None:
                    raise late
            except StoreError:
                raise
            except (KeyboardInterrupt, Exception):
                self._write()
                raise
        results = self._write(at_end=True)
        assert results is not None
        return results

    def _judge(self) -> None:
        """Judges the answers of all cells, with one journal and the same rows for all."""
        self._is_judging = True
        text = "judging the answers"
        with self.console.status(text) as status:
            self._judged = judge_cells(
                self.study,
                self.folder.path,
                self._opened,
                self.stop,
                progress=lambda done, total: status.update(f"{text}: {done} of {total} rows"),
                warn=self._note,
            )

    def _run(self, number: int, cell: Cell, runner: Runner) -> TrainingTimeSpent | None:
        """Runs a cell; why its training ended early, if it did."""
        place = f"{number + 1} of {len(self.cells)}"
        self.console.print(f"\n[bold cyan]{escape(cell.place.label)}[/] ({place})", highlight=False)
        if runner.is_complete():
            self.console.print("  This part is complete; nothing is trained.")
            runner.clear_away()
            return None
        late = None
        try:
            runner.run()
        except TrainingTimeSpent as spent:
            late = spent
        self._write()
        return late

    def _runners(self, stack: ExitStack) -> list[tuple[Cell, Runner]]:
        """A runner for each cell, whose folders are held until the stack ends."""
        found = []
        judged = () if self.study.options.judge is None else (JUDGED_ABOVE,)
        for cell in self.cells:
            folder = stack.enter_context(
                open_run(
                    folder_of(self.folder.path, cell.place.label),
                    cell.study.resolved,
                    outline_of=outline_of,
                    goes_on=why_not_longer,
                )
            )
            runner = Runner(
                cell.study,
                folder,
                self.device,
                self.console,
                self.stop,
                force=self.force,
                mix_versions=self.mix_versions,
                on_news=None if self.on_news is None else self._news,
                notes=(*self.notes, *judged),
                elsewhere=self.elsewhere,
                may_use_processes=self.may_use_processes,
                measures_costs=self.measures_costs,
                judges=False,
            )
            found.append((cell, runner))
        return found

    def _news(self) -> None:
        self._write()
        if self.on_news is not None:
            self.on_news()

    def _write(self, *, at_end: bool = False) -> Results | None:
        """Puts the results together; they are complete once every cell's are."""
        path = self.folder.path
        complete = at_end and all(
            read_results(folder_of(path, cell.place.label)).status == "complete"
            for cell in self.cells
        )
        results = join_results(
            *(self.study, path, self._opened),
            complete=complete and not (self._judged is not None and self._judged.failed),
            notes=self._grown,
            judged=self._judged,
        )
        if results is not None:
            self.folder.write_results(results)
        return results

    def _introduce(self) -> None:
        crossing = self.study.crossing
        assert crossing is not None
        parts = [
            counted(len(found), one, many)
            for one, many, found in (
                ("base", "bases", crossing.levels.bases),
                ("prompt", "prompts", crossing.levels.templates),
            )
            if found is not None
        ]
        self.console.print(
            f"[bold]{escape(self.study.options.name)}[/]: "
            f"{counted(len(self.study.entries), 'method', 'methods')} with "
            f"{' and '.join(parts)}, in {counted(len(self.cells), 'part', 'parts')}: "
            f"{escape(', '.join(cell.place.label for cell in self.cells))}",
            highlight=False,
            soft_wrap=True,
        )
        asked = sum(one.outputs is None for one in self.study.baselines)
        elsewhere = sum(len(one.places) for one in self.study.externals)
        seeds = len(self.study.options.protocol.seed_list)
        alone = len(self.study.baselines) - asked + elsewhere
        for note in judge_plan(
            self.study.options.judge,
            rows=len(shared_rows(self._opened, TEST)),
            runs=len(self.cells) * (seeds * len(self.study.entries) + asked) + alone,
        ):
            self._note(note)
        named = self.study.options.decision.metric
        deciding = deciding_metric(self.study, self._opened)
        if named in PER_TOKEN and deciding != named:
            self._note(
                f"the bases have different tokenizers, so that {deciding} decides in place of "
                f"{named}, which is per token"
            )

    def _note(self, note: str) -> None:
        _log.warning("%s", note)
        print_note(note, self.console)


def kept_for(after_training: Sequence[float], are_complete: Sequence[bool]) -> list[float]:
    """Seconds of the budget to keep while a cell is trained: one number, or none without a budget.

    For later cells that an earlier call made complete none are kept, else a cell that was late
    could be late in every call.

    Args:
        after_training: for each cell what follows its training, all later cells included.
        are_complete: of each later cell, whether it is.
    """
    if not after_training:
        return []
    least = after_training[-1]  # what follows the training of a cell itself
    later = after_training[-1 - len(are_complete)] - least
    share = are_complete.count(False) / len(are_complete) if are_complete else 0.0
    return [least + share * max(0.0, later)]
