"""``bakeoff run``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.common import (
    BaseOption,
    DeviceOption,
    KindOption,
    MaxAdapterSize,
    MaxCost,
    MaxLatency,
    MaxMemory,
    MaxTime,
    MethodsOption,
    MixVersionsOption,
    SeedsOption,
    SetOption,
    StudyOrRunArgument,
    named_methods,
)
from bakeoff.cli.completing import any_files
from bakeoff.cli.exit_codes import OK
from bakeoff.cli.init import print_guess
from bakeoff.errors import BaseModelError, ConfigError

if TYPE_CHECKING:
    from bakeoff.api.running import RunSettings
    from bakeoff.api.study import Study
    from bakeoff.decide.limits import Limits
    from bakeoff.first_contact.drafting import Draft


def run(
    study: StudyOrRunArgument = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATA",
            autocompletion=any_files,
            help="Instead of a study: a file, a folder of splits or - for rows that are piped in, "
            "from which one is made as `bakeoff init` does; --base, --kind and --methods say what "
            "is not to be guessed. Given several times, its files are one table.",
        ),
    ] = None,
    base: BaseOption = None,
    kind: KindOption = None,
    methods: MethodsOption = None,
    overrides: SetOption = None,
    seeds: SeedsOption = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; by default runs/NAME.")
    ] = None,
    device: DeviceOption = "auto",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Puts an earlier run aside and starts again.")
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Cuts the study to what 2h, 90m, 1.5h, PT9H, ... hold, and says how before it "
            "starts; the report is written before they are over. With --shard it cuts nothing, and "
            "the shard ends in time.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Runs also what needs more memory than there is.")
    ] = False,
    mix_versions: MixVersionsOption = False,
    executor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Where jobs run: local (this process), processes (of this machine, on its cores), "
            "ray (one actor a device, on one machine or many) or auto, which takes processes for "
            "a narrow base where they pay; instead of the study's `execution`.",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Of a cluster of Ray: auto, host:port, ray://host:port; by default one is "
            "started here."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many --executor ray or processes has; by default one for each device, or "
            "for each core.",
        ),
    ] = None,
    mixed_devices: Annotated[
        bool,
        typer.Option(
            "--mixed-devices",
            help="Lets workers compute on different devices, whose sums round differently.",
        ),
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="N/M",
            help="Runs the jobs of share N of M alone and leaves a partial folder for `bakeoff "
            "join`: for SLURM arrays, several accounts, several machines.",
        ),
    ] = None,
    max_memory: MaxMemory = None,
    max_time: MaxTime = None,
    max_adapter_size: MaxAdapterSize = None,
    max_latency: MaxLatency = None,
    max_cost: MaxCost = None,
    live: Annotated[
        bool, typer.Option("--live", help="Shows the report on 127.0.0.1 while it grows.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="The port of --live; by default a free one."),
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

    A study that has changed since grows: what is new is made, what is left out stays in the folder.

    With limits it recommends within them; every method is trained all the same.
    """
    started = time.monotonic()
    console = Console()
    from bakeoff.api import RunSettings, Study
    from bakeoff.decide.limits import limits_from
    from bakeoff.formatting import seconds_of
    from bakeoff.runs.log import level_of

    if port is not None and not live:
        raise ConfigError(f"--port {port}: has no effect without --live; add it, or leave it out")
    level_of(log_level)
    execution: dict[str, object] = {}
    given_for_ray = {
        "--address": address,
        "--workers": workers,
        "--mixed-devices": mixed_devices or None,
    }
    for option, value in given_for_ray.items():
        if value is not None:
            if executor in ("local", "auto"):
                others = "ray or processes" if option == "--workers" else "ray"
                raise ConfigError(
                    f"{option}: has no effect with --executor {executor}; give {others}"
                )
            if option != "--workers":  # which processes of this machine have, too
                executor = executor or "ray"
            execution[option.removeprefix("--").replace("-", "_")] = value
    if executor is not None:
        execution["executor"] = executor
    elsewhere = None
    if shard is not None and execution:
        raise ConfigError(
            f"--shard {shard}: runs in this process; give it without --executor, --address, "
            "--workers and --mixed-devices"
        )
    if shard is not None:
        from bakeoff.study.sharding import OneShard, share_from

        elsewhere = OneShard(share_from(shard))
    settings = RunSettings(
        device=device,
        fresh=fresh,
        budget=None if budget is None else seconds_of(budget),
        started=started,
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
        live=live,
        port=port or 0,
        elsewhere=elsewhere,
        execution=execution,
    )
    if not data:
        for option, value in (("--base", base), ("--kind", kind), ("--methods", methods)):
            if value is not None:
                raise ConfigError(
                    f"{option} {value}: says how a study is made of --data, which is not given; "
                    "change a study itself with --set"
                )
        given = Study.load(study, overrides or [], seeds=seeds)
    elif study is not None:
        raise ConfigError(f"{study} and --data {data[0]}: give a study or data, not both")
    else:
        given = _made_of(data, out, overrides or [], seeds, console, base, kind, methods, fresh)
    place = out or (given.place if shard is None else _place_of_shard(given.place, shard))
    run_in(given, place, console, settings)


def _place_of_shard(place: Path, shard: str) -> Path:
    number, _, count = shard.partition("/")
    return place.with_name(f"{place.name}-{number.strip()}-of-{count.strip()}")


def run_in(study: Study, place: Path, console: Console, settings: RunSettings) -> None:
    """Runs a study in a folder and prints the outcome.

    Raises:
        Exit: with the code of a run that was asked to stop.
    """
    from bakeoff.api import StoppedEarly, execute
    from bakeoff.report.terminal import print_summary

    try:
        report = execute(study, place, console, settings)
    except StoppedEarly as early:
        there = "Nothing is trained yet."
        if early.report is not None:
            if early.exit_code == OK:  # the budget's end, which is no interruption
                print_summary(place, console, settings.limits, is_ending=False)
            there = f"What is there: {escape(str(early.report))}"
        console.print(
            f"\n{early} {there}\n{escape(early.advice)}",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(early.exit_code) from None
    if report is not None:  # one of several processes prints
        _finish(place, report, console, settings.limits)


def _made_of(
    named: list[str],
    out: Path | None,
    overrides: list[str],
    seeds: int | None,
    console: Console,
    base: str | None,
    kind: str | None,
    methods: str | None,
    fresh: bool,
) -> Study:
    """The study that is guessed of data; the run's own where there is one of the same data."""
    from bakeoff.api.starting import data_of, draft_of, study_made_before
    from bakeoff.api.study import Study

    names, data = named_methods(methods), data_of(named)
    if not fresh:
        before = study_made_before(data, out, base=base, kind=kind, methods=names)
        if before is not None:
            console.print(
                f"It goes on with the study in {escape(str(before))}; --fresh makes another.",
                highlight=False,
            )
            return Study.load(before, overrides, seeds=seeds)

    def looked_at() -> Draft:
        with Console(stderr=True).status("looking") as status:
            return draft_of(
                data, base=base, kind=kind, methods=names, report=lambda text: status.update(text)
            )

    try:
        draft = looked_at()
    except BaseModelError:  # the data are good, so the base is what is missing
        if not _fetched(base, console):
            raise
        draft = looked_at()
    print_guess(draft, console)
    console.print()
    return Study.from_mapping(draft.mapping, overrides=overrides, seeds=seeds)


def _fetched(base: str | None, console: Console) -> bool:
    """Fetches SmolLM2 where a study is made for it and it is not here; whether it did."""
    from bakeoff.base.weights.fetching import fetch_smollm2
    from bakeoff.base.weights.references import SMOLLM2_REFERENCE
    from bakeoff.base.weights.smollm2 import find_smollm2
    from bakeoff.files import cache_folder
    from bakeoff.first_contact.drafting import DEFAULT_BASE

    name = base or DEFAULT_BASE
    if name != SMOLLM2_REFERENCE or find_smollm2(cache_folder()) is not None:
        return False
    console.print(f"{name} is not here yet, and is fetched once (98 MB).", highlight=False)
    with Console(stderr=True).status(name) as status:
        fetch_smollm2(cache_folder(), report=lambda text: status.update(f"{name}: {text}"))
    return True


def _finish(place: Path, report: Path, console: Console, limits: Limits) -> None:
    """Prints the run's outcome."""
    from bakeoff.report.terminal import print_summary

    print_summary(place, console, limits)
    shown = escape(str(report))
    console.print(f"\nThe report: [bold]{shown}[/]", soft_wrap=True, highlight=False)
