"""``bakeoff run``."""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.common import (
    DeviceOption,
    MaxAdapterSize,
    MaxLatency,
    MaxMemory,
    MaxTime,
    SeedsOption,
    SetOption,
    StudyArgument,
)
from bakeoff.cli.exit_codes import INTERRUPTED
from bakeoff.errors import ConfigError

if TYPE_CHECKING:
    from bakeoff.decide.limits import Limits
    from bakeoff.runs.folder import RunFolder


def run(
    study: StudyArgument = None,
    overrides: SetOption = None,
    seeds: SeedsOption = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/NAME without.")] = None,
    device: DeviceOption = "auto",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Puts an earlier run aside and starts again.")
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Saves and writes the report before 2h, 90m, ... are over."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Runs also what needs more memory than there is.")
    ] = False,
    mix_versions: Annotated[
        bool,
        typer.Option(
            "--mix-versions",
            help="Goes on with a run that other versions of bakeoff or its libraries began.",
        ),
    ] = False,
    max_memory: MaxMemory = None,
    max_time: MaxTime = None,
    max_adapter_size: MaxAdapterSize = None,
    max_latency: MaxLatency = None,
    live: Annotated[
        bool, typer.Option("--live", help="Shows the report on 127.0.0.1 while it grows.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Of --live; a free one without.")
    ] = None,
    log_level: Annotated[
        str,
        typer.Option(
            metavar="LEVEL",
            help="What run.log in the run's folder holds: debug, info, warning, error.",
        ),
    ] = "info",
) -> None:
    """Runs a study; a second call takes up what is there.

    With limits it recommends within them; every method is trained all the same.
    """
    started = time.monotonic()
    console = Console()
    from bakeoff.decide.limits import limits_from
    from bakeoff.execution.stopping import Stopped, StopSignals
    from bakeoff.formatting import seconds_of
    from bakeoff.runs.folder import open_run
    from bakeoff.runs.log import level_of, run_log
    from bakeoff.runs.reading import RESULTS_FILE
    from bakeoff.study.longer import why_not_longer
    from bakeoff.study.options import completed, load_study

    if port is not None and not live:
        raise ConfigError(f"--port {port}: has no effect without --live; add it, or leave it out")
    level = level_of(log_level)
    seconds = None if budget is None else seconds_of(budget)
    limits = limits_from(
        memory=max_memory, time=max_time, adapter_size=max_adapter_size, latency=max_latency
    )
    loaded = load_study(study, overrides or [], seeds=seeds)
    place = out or Path("runs") / loaded.options.name
    with (
        open_run(
            place, loaded.resolved, fresh=fresh, completed=completed, goes_on=why_not_longer
        ) as folder,
        run_log(folder.path, level, study=loaded.options.name, device=device),
        ExitStack() as page,
    ):
        # Heavy, so loaded only once the study is known to be a good one.
        from bakeoff.report import write_report
        from bakeoff.report.live.rewriting import Rewriting
        from bakeoff.report.live.server import LiveServer
        from bakeoff.study.runner import Runner

        stop = StopSignals(seconds, started)
        writing = Rewriting(folder.path)
        on_news = writing.news if live else None
        runner = Runner(
            loaded,
            folder,
            device,
            console,
            stop,
            force=force,
            mix_versions=mix_versions,
            on_news=on_news,
        )
        if live:
            url = page.enter_context(LiveServer(folder.path, port or 0)).url
            console.print(f"The report as it grows: [bold]{url}[/]", highlight=False)
        if runner.is_complete():
            console.print("This study is complete; nothing is trained.")
            runner.clear_away()
        else:
            try:
                with stop, writing if live else nullcontext():
                    runner.run()
            except KeyboardInterrupt as error:
                stopped = error if isinstance(error, Stopped) else None
                there = "Nothing is trained yet."
                if (folder.path / RESULTS_FILE).exists():
                    there = f"What is there: {escape(str(write_report(folder.path, limits)))}"
                console.print(
                    f"\n{stopped.why if stopped else 'Interrupted.'} {there}\n"
                    "The same command goes on with the rest.",
                    highlight=False,
                    soft_wrap=True,
                )
                raise typer.Exit(stopped.exit_code if stopped else INTERRUPTED) from None
        _finish(folder, console, limits)


def _finish(folder: RunFolder, console: Console, limits: Limits) -> None:
    """Writes the report and prints the run's outcome."""
    from bakeoff.report import write_report
    from bakeoff.report.terminal import print_summary

    report_file = write_report(folder.path, limits)
    print_summary(folder, console, limits)
    shown = escape(str(report_file))
    console.print(f"\nThe report: [bold]{shown}[/]", soft_wrap=True, highlight=False)
