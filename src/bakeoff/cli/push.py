"""``bakeoff push``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bakeoff.cli.common import TrustOption, finished_run
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
        typer.Option(
            "--to", metavar="FORM", help="For a run's folder: peft (the default) or merged."
        ),
    ] = None,
    candidate: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="For a run's folder: which candidate; by default the recommended method's run "
            "nearest to its mean.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="The hub id of an adapter's base, where that was a folder of this machine.",
        ),
    ] = None,
    trust_remote_code: TrustOption = False,
) -> None:
    """Uploads an export to the Hugging Face hub; a run's folder is exported first.

    What goes up names a base that others find: its hub id, or, for a base that comes with bakeoff,
    a second repository OWNER/NAME-base, where the base goes first. The token is the library's:
    HF_TOKEN, or that of `hf auth login`.
    """
    from bakeoff.inference.push import (
        address,
        base_repo,
        check_base,
        check_export,
        check_repo,
        made_findable,
        push_export,
        push_folder,
    )
    from bakeoff.runs.folder import STUDY_FILE

    check_repo(repo)
    check_base(base)
    given = base
    with tempfile.TemporaryDirectory(prefix="bakeoff-push-") as place:
        if (folder / STUDY_FILE).is_file():
            from bakeoff.inference.export import export_candidate, target_of
            from bakeoff.inference.naming import for_others

            made = Path(place) / repo.rpartition("/")[2]
            target = target_of(to or "peft")
            if base is not None and target.is_whole:
                raise ConfigError(
                    f"--base {base}: a merged model is whole and needs no base; leave it out"
                )
            export_candidate(
                finished_run(folder, trust=trust_remote_code),
                candidate,
                target,
                made,
                named=lambda found: for_others(found, base),
            )
            folder, given = made, None
        elif to is not None or candidate is not None:
            raise ConfigError(
                f"{'--to' if to else '--candidate'}: is for a run's folder, and {folder} is none; "
                "an export goes as it is, so leave it out"
            )
        check_export(folder)
        folder, beside = made_findable(folder, repo, given, Path(place))
        if folder.is_relative_to(place):
            address(folder, repo)
        addresses = []
        if beside is not None:  # first, so that the adapter never names what is not there
            addresses.append(push_folder(beside, base_repo(repo), private=private))
        addresses.append(push_export(folder, repo, private=private))
    for found in addresses:
        Console().print(escape(found), soft_wrap=True, highlight=False)
