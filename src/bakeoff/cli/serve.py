"""``bakeoff serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.common import DeviceOption, TrustOption
from bakeoff.cli.completing import folders
from bakeoff.errors import ConfigError


def serve(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[DIR ...]", autocompletion=folders, help="Folders of runs."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="BASE", help="The base of the adapters; by default that of the runs."),
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="A folder in PEFT's format, and what to call it."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; others than this machine need a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keys, one a line; a request must give one of them."),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Lets other machines ask without a key.")
    ] = False,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Weights, adapters and caches together: 8GiB; by default half of what is free.",
        ),
    ] = None,
    max_seats: Annotated[int, typer.Option(help="Rows under way at once, at most.")] = 32,
    max_positions: Annotated[
        int, typer.Option(help="Tokens of prompt and answer together, at most.")
    ] = 2048,
    max_queue: Annotated[int, typer.Option(help="Rows that may wait; more get 429.")] = 256,
    max_tokens: Annotated[int, typer.Option(help="Tokens that one answer may ask for.")] = 1024,
    device: DeviceOption = "auto",
    precision: Annotated[
        str | None,
        typer.Option(help="auto, float32, bfloat16 or float16; by default the study's own."),
    ] = None,
    trust_remote_code: TrustOption = False,
    log_prompts: Annotated[
        bool, typer.Option("--log-prompts", help="Writes prompts into the log.")
    ] = False,
) -> None:
    """Serves every method of runs behind one address, in OpenAI's forms, with a playground.

    It is for trying, comparing and small loads. A `model` is a method of the study, `zero_shot` its
    base; with several studies STUDY/METHOD.
    """
    from bakeoff.api.serving import serve as serve_runs

    adapters = {}
    for text in adapter or []:
        name, equals, path = text.partition("=")
        if not equals or not name or not path:
            raise ConfigError(f"--adapter {text!r}: give NAME=PATH")
        if name in adapters:
            raise ConfigError(f"--adapter {name}: is given twice; give one another name")
        adapters[name] = Path(path)
    serve_runs(
        runs or [],
        base=base,
        adapters=adapters,
        host=host,
        port=port,
        api_key_file=api_key_file,
        no_auth=no_auth,
        max_memory=max_memory,
        max_seats=max_seats,
        max_positions=max_positions,
        max_queue=max_queue,
        max_tokens=max_tokens,
        device=device,
        precision=precision,
        trust_remote_code=trust_remote_code,
        log_prompts=log_prompts,
    )
