"""The command line. It never prompts.

Exit codes: 0 all is well; 2 bad input or a refusal, with the reason; 130 interrupted, 143
terminated or at the end of the time budget, where what is there is saved and reported; 1 a fault of
bakeoff's own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff import __version__
from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.memory import keep_freed

if TYPE_CHECKING:
    from bakeoff.decide.limits import Limits
    from bakeoff.runs.folder import RunFolder

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Finds the right way to fine-tune a language model.",
)
StudyArgument = Annotated[
    Path | None, typer.Argument(metavar="STUDY.yaml", help="The study; none runs the demo.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides an option by its dotted path."),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Recommends only methods whose training peaks within SIZE: 8GiB."
    ),
]
MaxTime = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="... whose whole training alone (the epochs times the mean epoch) takes at most TIME: "
        "1h, 90m.",
    ),
]
MaxAdapterSize = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="... whose adapter takes at most SIZE on disk: 10MB."),
]
MaxLatency = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="... that write one more token within TIME: 20ms."),
]


@app.command()
def run(
    study: StudyArgument = None,
    overrides: SetOption = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/NAME without.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Puts an earlier run aside and starts anew.")
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
) -> None:
    """Runs a study; a second call takes up what is there.

    With limits it recommends within them; every method is trained all the same.
    """
    started = time.monotonic()
    console = Console()
    # Imported late, so that `--help` answers at once.
    from bakeoff.decide.limits import limits_from
    from bakeoff.execution.stopping import Stopped, StopSignals
    from bakeoff.formatting import seconds_of
    from bakeoff.report import write_report
    from bakeoff.report.live.rewriting import Rewriting
    from bakeoff.report.live.server import LiveServer
    from bakeoff.runs.folder import open_run
    from bakeoff.runs.reading import RESULTS_FILE
    from bakeoff.study.options import load_study
    from bakeoff.study.runner import Runner

    if port is not None and not live:
        raise ConfigError(f"--port {port}: has no effect without --live; add it, or leave it out")
    seconds = None if budget is None else seconds_of(budget)
    limits = limits_from(
        memory=max_memory, time=max_time, adapter_size=max_adapter_size, latency=max_latency
    )
    loaded = load_study(study, overrides or [])
    place = out or Path("runs") / loaded.options.name
    with open_run(place, loaded.resolved, fresh=fresh) as folder, ExitStack() as page:
        stop = StopSignals(seconds, started)
        writing = Rewriting(folder.path)
        on_news = writing.news if live else None
        runner = Runner(loaded, folder, device, console, stop, force=force, on_news=on_news)
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
                raise typer.Exit(stopped.exit_code if stopped else EXIT_INTERRUPTED) from None
        _finish(folder, console, limits)


@app.command()
def plan(
    study: StudyArgument = None,
    overrides: SetOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    gpu: Annotated[
        str | None,
        typer.Option(metavar="CARD", help="Plans for a card that is not here: T4, A100-40GB, ..."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Says what each method of a study will cost, and whether it fits; trains nothing."""
    from bakeoff.cli.plan_table import print_plan
    from bakeoff.measure.cards import card_named
    from bakeoff.study.options import load_study
    from bakeoff.study.planning import plan_study

    card = None if gpu is None else card_named(gpu)
    loaded = load_study(study, overrides or [])
    told = Console(stderr=True)
    with told.status("planning") as status:
        found = plan_study(loaded, device, card, lambda text: status.update(f"planning: {text}"))
    if as_json:
        sys.stdout.write(json.dumps(found.as_mapping(), indent=2) + "\n")
    else:
        print_plan(found, Console())


def _finish(folder: RunFolder, console: Console, limits: Limits) -> None:
    """Writes the report and prints the run's outcome."""
    from bakeoff.report import write_report
    from bakeoff.report.terminal import print_summary

    report_file = write_report(folder.path, limits)
    print_summary(folder, console, limits)
    shown = escape(str(report_file))
    console.print(f"\nThe report: [bold]{shown}[/]", soft_wrap=True, highlight=False)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR ...", help="Runs' folders.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Where the page of several studies goes; runs/side-by-side without."),
    ] = None,
    mix: Annotated[
        bool,
        typer.Option(
            "--mix", help="Shows studies that were not measured alike, without ranking them."
        ),
    ] = False,
    max_memory: MaxMemory = None,
    max_time: MaxTime = None,
    max_adapter_size: MaxAdapterSize = None,
    max_latency: MaxLatency = None,
) -> None:
    """Writes a run's report again, or one page of several studies side by side.

    With limits it recommends within them; a cost that was not measured is not shown to be within.
    """
    from bakeoff.decide.choice import recommend
    from bakeoff.decide.limits import limits_from
    from bakeoff.report import write_report, write_side_by_side
    from bakeoff.runs.reading import read_results

    limits = limits_from(
        memory=max_memory, time=max_time, adapter_size=max_adapter_size, latency=max_latency
    )
    console = Console()
    if len(folders) > 1:
        place = write_side_by_side(
            folders, out or Path("runs/side-by-side"), mix=mix, limits=limits
        )
    elif out is not None or mix:
        raise ConfigError(
            f"{'--out' if out else '--mix'}: is for several studies; one study's report goes into "
            "its own folder"
        )
    else:
        place = write_report(folders[0], limits)
        if limits.items():
            why = recommend(read_results(folders[0]), limits).why
            console.print(escape(why), soft_wrap=True, highlight=False)
    console.print(escape(str(place)), soft_wrap=True, highlight=False)


CandidatesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--candidate", metavar="ID", help="Whose; the recommended method's best one without."
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
RunArgument = Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder.")]


@app.command()
def predict(
    folder: RunArgument,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE ...]",
            help="Texts, one document a file, or csv, json, jsonl or parquet with the study's "
            "column; - or none is the standard input.",
        ),
    ] = None,
    candidates: CandidatesOption = None,
    form: Annotated[
        str,
        typer.Option("--format", help="text, csv, json, jsonl or parquet; auto goes by endings."),
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON a summary.")] = False,
    merged: Annotated[
        bool,
        typer.Option(
            "--merged", help="Merges each candidate into the base's weights while it writes."
        ),
    ] = False,
    device: DeviceOption = "auto",
) -> None:
    """Summarises documents with candidates of a run: one line a summary."""
    from bakeoff.inference.finished import FinishedRun
    from bakeoff.inference.predict import as_line, predict, read_input

    run = FinishedRun(folder, device)
    documents = read_input(run, files or [], form, sys.stdin.buffer)
    kept = [run.candidate(one) for one in candidates] if candidates else [run.candidate()]
    for prediction in predict(run, kept, documents, merged=merged):
        sys.stdout.write(as_line(prediction, as_json=as_json, with_id=len(kept) > 1))
        sys.stdout.flush()


@app.command()
def export(
    folder: RunArgument,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORM",
            help="peft: files for PeftModel.from_pretrained; merged: an ordinary Transformers "
            "checkpoint.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="A folder that does not exist yet.")],
    candidate: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Which; the recommended method's best one without."),
    ] = None,
) -> None:
    """Writes a candidate's adapter, or its merged model, for other libraries."""
    from bakeoff.inference.export import export_candidate, target_of
    from bakeoff.inference.finished import FinishedRun

    target = target_of(to)
    kept = export_candidate(FinishedRun(folder, "cpu"), candidate, target, out)
    Console().print(
        f"{escape(kept.id)} ({target.value}): {escape(str(out))}", soft_wrap=True, highlight=False
    )


@app.command()
def methods(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Lists the methods with their options and defaults."""
    from bakeoff.cli.catalogue import describe_methods, print_methods

    if as_json:
        sys.stdout.write(json.dumps(describe_methods(), indent=2) + "\n")
    else:
        print_methods(Console())


@app.command()
def version() -> None:
    """Prints the version."""
    sys.stdout.write(f"{__version__}\n")


def main() -> None:
    """Entry point: errors meant for the user become one message and exit code 2."""
    # Before PyTorch is loaded: threads that spin while they wait make a machine that does anything
    # else several times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    keep_freed()
    try:
        app()
    except BakeoffError as error:
        Console(stderr=True).print(
            f"[bold red]Error:[/] {escape(str(error))}", soft_wrap=True, highlight=False
        )
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
