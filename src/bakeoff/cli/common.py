"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.completing import folders, study_files, study_keys
from bakeoff.errors import ConfigError

if TYPE_CHECKING:
    from bakeoff.inference.finished import FinishedRun


def _bases(incomplete: str) -> list[str]:
    from bakeoff.base.weights.inventory import list_bases
    from bakeoff.files import cache_folder

    names = [one.name for one in list_bases(cache_folder())]
    return [name for name in names if name.startswith(incomplete)]


def _kinds(incomplete: str) -> list[str]:
    from bakeoff.tasks.registry import task_kinds

    return [kind for kind in task_kinds() if kind.startswith(incomplete)]


def _methods(incomplete: str) -> list[str]:
    """Goes on after the last comma."""
    from bakeoff.methods.registry import method_kinds

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{kind}" for kind in method_kinds() if kind.startswith(last)]


def _devices(incomplete: str) -> list[str]:
    return [name for name in ("auto", "cpu", "cuda", "cuda:0") if name.startswith(incomplete)]


StudyArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="STUDY.yaml",
        autocompletion=study_files,
        help="The study; none runs the demo.",
    ),
]
StudyOrRunArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="STUDY.yaml|DIR",
        autocompletion=study_files,
        help="The study, or a run's folder, whose study goes on; none runs the demo.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=study_keys,
        help="Overrides an option by its dotted path; methods.NAME=null leaves a method out.",
    ),
]
SeedsOption = Annotated[
    int | None,
    typer.Option("--seeds", metavar="N", help="Trains each method's setting with N seeds."),
]
RunArgument = Annotated[
    Path, typer.Argument(metavar="DIR", autocompletion=folders, help="A run's folder.")
]
DeviceOption = Annotated[
    str,
    typer.Option(
        autocompletion=_devices, help="auto, cpu or cuda; cuda:1 is the second of several GPUs."
    ),
]
MixVersionsOption = Annotated[
    bool,
    typer.Option(
        "--mix-versions",
        help="Goes on with a run that other versions of bakeoff or its libraries began.",
    ),
]
BaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="BASE",
        autocompletion=_bases,
        help="The base: smollm2-135m by default, tiny, a folder or a hub id; `bakeoff bases` lists "
        "those that are here.",
    ),
]
KindOption = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        autocompletion=_kinds,
        help="The kind of task: classify, choose, summarize, complete, chat or text; by "
        "default it is guessed.",
    ),
]
MethodsOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        autocompletion=_methods,
        help="Methods with commas between, by default lora,soft_prompt; `bakeoff methods` lists "
        "all.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Runs the code beside the base of a run whose study says trust_remote_code: true.",
    ),
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
        help="Recommends only methods whose whole training alone (the epochs times the mean epoch) "
        "takes at most TIME: 1h, 90m.",
    ),
]
MaxAdapterSize = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Recommends only methods whose adapter takes at most SIZE: 10MB."
    ),
]
MaxLatency = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Recommends only methods that write one more token within TIME: 20ms."
    ),
]
MaxCost = Annotated[
    str | None,
    typer.Option(
        metavar="MONEY",
        help="Recommends only methods whose training, search and month of answers cost at most "
        "MONEY at the study's prices: 50.",
    ),
]


def named_methods(given: str | None) -> list[str]:
    """The methods of ``--methods``; none where it is not given.

    Raises:
        ConfigError: it names nothing.
    """
    if given is None:
        return []
    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names:
        raise ConfigError(f"--methods {given!r}: names no method; give some, as lora,soft_prompt")
    return names


def finished_run(folder: Path, device: str = "cpu", *, trust: bool = False) -> FinishedRun:
    """A run's folder read back; says on stderr where its results are not those that it wrote.

    Args:
        folder: the run's. device: ``auto``, ``cpu`` or ``cuda``.
        trust: whether the code beside its base may run, where its study says so.
    """
    from bakeoff.inference.finished import FinishedRun

    run = FinishedRun(folder, device, trust_remote_code=trust)
    if run.caution is not None:
        Console(stderr=True).print(escape(run.caution), soft_wrap=True, highlight=False)
    return run
