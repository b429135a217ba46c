"""``bakeoff push``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.common import finished_run
from bakeoff.errors import ConfigError


def push(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|EXPORT", help="What `bakeoff export` wrote, or a run's folder."
        ),
    ],
    repo: Annotated[
        str, typer.Option(metavar="OWNER/NAME", help="The repository; made where there is none.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Makes it a private one.")] = False,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="FORM", help="Of a run: peft (without) or merged."),
    ] = None,
    candidate: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Of a run: which; of the recommended method the run nearest the mean without.",
        ),
    ] = None,
) -> None:
    """Uploads an export to the Hugging Face hub; a run's folder is exported first.

    The token is the library's: HF_TOKEN, or that of `hf auth login`.
    """
    from bakeoff.inference.push import caution_on, check_repo, push_export
    from bakeoff.runs.folder import STUDY_FILE

    check_repo(repo)
    with tempfile.TemporaryDirectory(prefix="bakeoff-push-") as place:
        if (folder / STUDY_FILE).is_file():
            from bakeoff.inference.export import export_candidate, target_of

            made = Path(place) / repo.rpartition("/")[2]
            target = target_of(to or "peft")
            export_candidate(finished_run(folder), candidate, target, made)
            folder = made
        elif to is not None or candidate is not None:
            raise ConfigError(
                f"{'--to' if to else '--candidate'}: is for a run's folder, and {folder} is none; "
                "an export goes as it is, so leave it out"
            )
        address = push_export(folder, repo, private=private)
        caution = caution_on(folder)
    if caution:
        Console(stderr=True).print(escape(caution), soft_wrap=True, highlight=False)
    Console().print(escape(address), soft_wrap=True, highlight=False)
