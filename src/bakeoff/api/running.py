"""Runs and plans a study; the command line and Python users alike come through here."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.api.budget import Budgeted, within_budget
from bakeoff.api.results import Results, load, path_of
from bakeoff.api.study import Study, study_of
from bakeoff.config import from_mapping, to_mapping
from bakeoff.decide.limits import Limits, limits_from
from bakeoff.errors import BakeoffError, ConfigError, StoreError
from bakeoff.execution.stopping import EXIT_INTERRUPTED, BudgetSpent, Stopped, StopSignals
from bakeoff.formatting import seconds_of
from bakeoff.ranks import Ranks, first_says, joined, own_folder, ranks, wait_for_all
from bakeoff.runs.folder import BUDGET_FILE, DATA_FOLDER, STUDY_FILE, RunFolder, open_run
from bakeoff.runs.log import level_of, run_log
from bakeoff.runs.reading import RESULTS_FILE
from bakeoff.study.execution_options import ExecutionOptions
from bakeoff.study.growing import outline_of
from bakeoff.study.longer import why_not_longer

if TYPE_CHECKING:
    from rich.console import Console

    from bakeoff.measure.plan import Report, StudyPlan
    from bakeoff.study.crossed_plan import CrossedPlan
    from bakeoff.study.stages import ElsewherePlan
    from bakeoff.study.study import Study as CheckedStudy


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a run goes; none of it decides what is found, but ``device``.

    Attributes:
        device: ``auto``, ``cpu`` or ``cuda``. fresh: puts an earlier run aside.
        budget: seconds, counted from ``started`` on the monotonic clock; None has no end.
        force: runs also what needs more memory than there is.
        mix_versions: goes on with what other versions of the libraries kept.
        limits: what the recommended method may cost. log_level: of ``run.log``.
        live: whether the report is served while it grows. port: of that; 0 is a free one.
        elsewhere: how jobs run apart from this process; None as the study's ``execution`` says.
        execution: instead of the study's, where it is given.
        costs: whether each method's costs are measured at the end.
        shapes: whether a budget cuts the study, and trainings that are late, so that what there is
            is tested in time; else it stops the run as a signal does, and the next call goes on.
            A part of a study, such as a shard, is never cut.
    """

    device: str = "auto"
    fresh: bool = False
    budget: float | None = None
    started: float = field(default_factory=time.monotonic)
    force: bool = False
    mix_versions: bool = False
    limits: Limits = field(default_factory=Limits)
    log_level: str = "info"
    live: bool = False
    port: int = 0
    elsewhere: ElsewherePlan | None = None
    execution: Mapping[str, Any] = field(default_factory=dict)
    costs: bool = True
    shapes: bool = True


class StoppedEarly(Exception):  # noqa: N818 - it was asked for, and is no error
    """A run that was asked to stop, or came to the end of its budget; all is saved.

    Attributes:
        stopped: what stopped it. exit_code: of a process that ends with it.
        report: the written ``report.html``; None where nothing was found yet.
    """

    def __init__(self, stopped: KeyboardInterrupt, report: Path | None) -> None:
        super().__init__(str(stopped) or "Interrupted.")
        self.stopped = stopped
        self.exit_code = stopped.exit_code if isinstance(stopped, Stopped) else EXIT_INTERRUPTED
        self.report = report
        self.advice = getattr(stopped, "advice", "The same command goes on with the rest.")


def execute(study: Study, place: Path, console: Console, settings: RunSettings) -> Path | None:
    """Runs a study in a folder, or goes on with it, and writes the report.

    Under ``torchrun`` its processes share the base and the rows.

    Args:
        study: what to run. place: the run's folder. console: where progress is shown.

    Returns:
        The written ``report.html``; None in a process beside the first, which writes nothing.

    Raises:
        BakeoffError: for bad input, before anything is trained.
        StoppedEarly: after what is there was saved and reported.
    """
    with joined(settings.device) as present:
        if present.count == 1:
            return _executed(study, place, console, settings)
        settings, console = _shared(settings, console, present)
        try:
            report = _executed(study, place, console, settings)
        except StoppedEarly:
            wait_for_all()
            raise
        wait_for_all()  # torchrun ends all with the first that ends badly
        return report if present.is_first else None


def _shared(settings: RunSettings, console: Console, present: Ranks) -> tuple[RunSettings, Console]:
    """The settings and the console of one of several processes.

    Raises:
        ConfigError: for a budget, whose end each would see at another step, and for shards.
    """
    if settings.elsewhere is not None:
        raise ConfigError(
            f"--shard and bakeoff join: are of one process, and torchrun has started "
            f"{present.count}; start them without torchrun, one shard a GPU"
        )
    if settings.budget is not None:
        raise ConfigError(
            f"--budget: is kept by one process, and torchrun has started {present.count}; leave it "
            "out, and end the run with SIGTERM, which saves it"
        )
    # What a method costs alone is not what it costs over a base that is shared out.
    settings = replace(settings, costs=False)
    if present.is_first:
        return settings, console
    from rich.console import Console as Quiet

    return replace(settings, live=False, port=0, fresh=False), Quiet(quiet=True)


def _executed(study: Study, place: Path, console: Console, settings: RunSettings) -> Path:
    """As ``execute``, in each process by itself."""
    level = level_of(settings.log_level)
    if settings.elsewhere is not None and settings.elsewhere.is_part:
        # Each part would be cut by its own timing, and parts of different studies are not joined.
        settings = replace(settings, shapes=False)
    settings.limits.check_currency(study.at(place).options.prices.currency)
    budgeted = within_budget(
        study,
        place,
        console,
        budget=settings.budget if settings.shapes else None,
        started=settings.started,
        device=settings.device,
        fresh=settings.fresh,
    )
    study = budgeted.study
    with (
        own_folder(place, fresh=settings.fresh) as place,
        open_run(
            place,
            study.at(place).resolved,
            fresh=settings.fresh,
            outline_of=outline_of,
            goes_on=why_not_longer,
        ) as folder,
        run_log(folder.path, level, study=study.name, device=settings.device),
        _rows_of(study, folder),
        _shape_of(budgeted, folder),
        ExitStack() as page,
    ):
        # Heavy, so loaded only once the study is known to be a good one.
        loaded = study.at(place)
        from bakeoff.report import write_report
        from bakeoff.report.live.rewriting import Rewriting
        from bakeoff.report.live.server import LiveServer
        from bakeoff.study.crossed_runner import CrossedRunner
        from bakeoff.study.elsewhere import may_take_processes
        from bakeoff.study.runner import Runner

        elsewhere, may_use_processes = settings.elsewhere, False
        if elsewhere is None:
            options = _execution(loaded, settings)
            elsewhere = _elsewhere(options, settings, console)
            may_use_processes = may_take_processes(options)
        stop = StopSignals(settings.budget, settings.started, shortens=settings.shapes)
        writing = Rewriting(folder.path)
        kind: type[Runner] | type[CrossedRunner] = (
            Runner if loaded.crossing is None else CrossedRunner
        )
        runner = kind(
            loaded,
            folder,
            settings.device,
            console,
            stop,
            force=settings.force,
            mix_versions=settings.mix_versions,
            on_news=writing.news if settings.live else None,
            measures_costs=settings.costs,
            notes=_notes(budgeted),
            after_training=budgeted.after_training,
            elsewhere=elsewhere,
            may_use_processes=may_use_processes,
        )
        server: LiveServer | None = None
        if settings.live:
            server = page.enter_context(LiveServer(folder.path, settings.port, runner.state))
            console.print(f"The report as it grows: [bold]{server.url}[/]", highlight=False)
        if first_says(runner.is_complete()):
            console.print("This study is complete; nothing is trained.")
            runner.keep_prices()
            runner.clear_away()
        else:
            try:
                with stop, writing if settings.live else nullcontext():
                    runner.run()
            except KeyboardInterrupt as stopped:
                report = None
                if (folder.path / RESULTS_FILE).exists():
                    report = write_report(folder.path, settings.limits)
                    if server is not None:
                        server.end()
                raise StoppedEarly(stopped, report) from None
            except StoreError:  # such as of a full disk, which takes a report all the same
                if (folder.path / RESULTS_FILE).exists():
                    with suppress(BakeoffError, OSError):
                        write_report(folder.path, settings.limits)
                raise
        report = write_report(folder.path, settings.limits)
        if server is not None:
            server.end()
        return report


def _execution(study: CheckedStudy, settings: RunSettings) -> ExecutionOptions:
    """How a study's jobs run, as it says and as was given for this call."""
    options = study.options.execution
    if not settings.execution:
        return options
    given = {**to_mapping(options), **settings.execution}
    return from_mapping(ExecutionOptions, given, path="execution")


def _elsewhere(
    options: ExecutionOptions, settings: RunSettings, console: Console
) -> ElsewherePlan | None:
    """Where a study's jobs run."""
    if options.executor == "local":
        if "workers" in settings.execution and "executor" not in settings.execution:
            raise ConfigError(
                "--workers: has no effect with the study's execution.executor: local; give "
                "--executor ray or processes, too"
            )
        return None
    from bakeoff.study.elsewhere import plan_of

    elsewhere, said = plan_of(options, settings.device)
    if said:
        console.print(f"  [yellow]note[/] {said}", highlight=False, soft_wrap=True)
    return elsewhere


def _notes(budgeted: Budgeted) -> list[str]:
    """What was decided before the run, for the report."""
    notes = []
    if budgeted.is_new and budgeted.overrides and budgeted.note:
        notes.append(budgeted.note)
    if ranks().count > 1:
        notes.append(
            f"{ranks().count} processes shared the base and the rows; what each method costs alone "
            "was not measured"
        )
    return notes


@contextmanager
def _rows_of(study: Study, folder: RunFolder) -> Iterator[None]:
    """Keeps the study's rows in its folder; those of a study that was refused are removed."""
    written = None if study.rows is None else study.rows.write(folder.path / DATA_FOLDER)
    try:
        yield
    finally:
        if written is not None and not (folder.path / STUDY_FILE).exists():
            shutil.rmtree(written.parent, ignore_errors=True)


@contextmanager
def _shape_of(budgeted: Budgeted, folder: RunFolder) -> Iterator[None]:
    """Keeps the shape that a budget gave in the run's folder; that of a refused study is removed.

    One that was stopped before it began keeps it, so that the same command runs the same study.
    """
    if budgeted.is_new:
        budgeted.write(folder.path)
    elif not folder.has_begun:  # later calls would take that of another study for this one's
        (folder.path / BUDGET_FILE).unlink(missing_ok=True)
    try:
        yield
    except BakeoffError:
        if not folder.has_begun:
            (folder.path / BUDGET_FILE).unlink(missing_ok=True)
        raise


def run(
    study: Study | Mapping[str, Any] | str | Path,
    *,
    out: str | Path | None = None,
    progress: bool = True,
    device: str = "auto",
    fresh: bool = False,
    budget: str | None = None,
    force: bool = False,
    mix_versions: bool = False,
    max_memory: str | None = None,
    max_time: str | None = None,
    max_adapter_size: str | None = None,
    max_latency: str | None = None,
    max_cost: str | None = None,
    log_level: str = "info",
) -> Results:
    """Runs a study, as ``bakeoff run`` does; a second call takes up what is there.

    Args:
        study: a ``Study``, a mapping of its keys, or the path of its file or of a run's folder,
            whose study goes on.
        out: the run's folder; without it that of the study, or ``runs/NAME``.
        progress: shows what happens, on stderr or in the notebook.
        device: ``auto``, ``cpu`` or ``cuda``.
        fresh: puts an earlier run aside and starts again.
        budget: ``2h``, ``90m``: the study is cut so that this holds it; should it not, what is
            there is saved and returned before it is over.
        force: runs also what needs more memory than there is.
        mix_versions: goes on with a run that other versions of the libraries began.
        max_memory, max_time, max_adapter_size, max_latency, max_cost: what the report's recommended
            method may cost at most: ``8GiB``, ``1h``, ``10MB``, ``20ms``, ``50``.
        log_level: of ``run.log``: debug, info, warning, error.

    Returns:
        The results; their ``status`` is ``partial`` where the budget was spent or a candidate
        failed, and the same call goes on with the rest.

    Raises:
        BakeoffError: for bad input, before anything is trained.
        KeyboardInterrupt: after what is there was saved and reported.
    """
    from rich.console import Console

    settings = RunSettings(
        device=device,
        fresh=fresh,
        budget=None if budget is None else seconds_of(budget, "budget"),
        force=force,
        mix_versions=mix_versions,
        limits=limits_from(
            memory=max_memory,
            time=max_time,
            adapter_size=max_adapter_size,
            latency=max_latency,
            cost=max_cost,
        ),
        log_level=log_level,
    )
    given = study_of(study)
    place = given.place if out is None else path_of(out, "out")
    try:
        execute(given, place, Console(stderr=True, quiet=not progress), settings)
    except StoppedEarly as early:
        if not isinstance(early.stopped, BudgetSpent):
            raise early.stopped from None
    return load(place)


def plan(
    study: Study | Mapping[str, Any] | str | Path,
    *,
    device: str = "auto",
    gpu: str | None = None,
    report: Report = lambda text: None,
    like: str | Path | None = None,
    workers: int | None = None,
    price: float | None = None,
    loss_rate: float = 0.0,
) -> StudyPlan | CrossedPlan:
    """Says what a study will cost, whether it fits and which differences it finds; trains nothing.

    Args:
        study: a ``Study``, a mapping of its keys, or the path of its file.
        device: ``auto``, ``cpu`` or ``cuda``.
        gpu: a card that is not here, to plan for instead: ``T4``, ``A100-40GB``.
        report: called with what is being done.
        like: an earlier run, whose scores show how this study's will vary; without it the study's
            own folder, or what is typical.
        workers: whose schedule is simulated besides, each with a device of its own; on a processor
            they share this machine's cores.
        price: of an hour of one of them. loss_rate: how often an hour one of them is lost.

    Returns:
        The plan; of a study with ``bases`` or ``templates`` one with a plan of each of its
        ``cells``.

    Raises:
        BakeoffError: for bad input.
    """
    if workers is None and (price is not None or loss_rate):
        raise ConfigError("--price and --loss-rate: are of --workers, which is not given; add it")
    given = study_of(study)
    # Heavy, so loaded only once the study is known to be a good one.
    from bakeoff.measure.cards import card_named
    from bakeoff.measure.plan import Fleet
    from bakeoff.study.crossed_plan import plan_crossed
    from bakeoff.study.planning import plan_study

    fleet = None
    if workers is not None:
        fleet = Fleet(workers=workers, price=price, loss_rate=loss_rate)

    card = None if gpu is None else card_named(gpu)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if given.rows is not None:
            given.rows.write(place / DATA_FOLDER)
        earlier = None if like is None else Path(like)
        if given.is_crossed:
            if fleet is not None:
                raise ConfigError(
                    "--workers: a schedule is simulated for one base and one prompt; plan without "
                    "it, or a study of one base with task.template"
                )
            return plan_crossed(given.at(place), device, card, report, like=earlier)
        return plan_study(
            given.at(place),
            device,
            card,
            report,
            like=earlier,
            folder=Path("runs") / given.name,
            fleet=fleet,
        )
