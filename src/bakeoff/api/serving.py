"""Runs behind an address, from Python."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from bakeoff.errors import ConfigError
from bakeoff.formatting import size_of
from bakeoff.types import Precision


def serve(
    runs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    base: str | None = None,
    adapters: Mapping[str, str | os.PathLike[str]] | None = None,
    api_key_file: str | os.PathLike[str] | None = None,
    max_memory: str | None = None,
    precision: str | None = None,
    **settings: Any,
) -> None:
    """Serves until it is interrupted; see ``bakeoff serve --help``.

    Args:
        runs: a run's folder, or several.
        base: of adapters without a run. adapters: folders in PEFT's format, by name.
        api_key_file: keys, one a line. max_memory: such as ``8GiB``.
        precision: auto, float32, bfloat16 or float16; the study's own without.
        settings: further fields of ``ServeOptions``: ``host``, ``port``, ``no_auth``, ...

    Raises:
        ConfigError: it must not or cannot start so.
        BakeoffError: something cannot be served.
    """
    server = server_of(
        runs,
        base=base,
        adapters=adapters,
        api_key_file=api_key_file,
        max_memory=max_memory,
        precision=precision,
        ready=_say_ready,
        **settings,
    )
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr, force=True
    )
    for name in ("uvicorn.error", "httpx", "transformers"):
        logging.getLogger(name).setLevel(logging.WARNING)
    server.run()


def _say_ready(address: str) -> None:
    print(f"serving at {address}", flush=True)


def server_of(
    runs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    base: str | None = None,
    adapters: Mapping[str, str | os.PathLike[str]] | None = None,
    api_key_file: str | os.PathLike[str] | None = None,
    max_memory: str | None = None,
    precision: str | None = None,
    ready: Any = None,
    **settings: Any,
) -> Any:
    """A server that does not listen yet: ``with server_of(...) as server: server.address``.

    Arguments as of ``serve``; ``ready`` is called with the address.
    """
    try:
        from bakeoff.serve.options import ServeOptions, read_keys
        from bakeoff.serve.running import Server
    except ImportError as error:
        raise ConfigError(
            f"serving needs {error.name}, which is not installed; pip install 'bakeoff[serve]'"
        ) from None

    known = get_args(Precision)
    if precision is not None and precision not in known:
        raise ConfigError(f"--precision {precision!r}: give one of {', '.join(known)}")
    folders = [runs] if isinstance(runs, (str, os.PathLike)) else runs
    options = ServeOptions(
        runs=tuple(Path(folder) for folder in folders),
        base=base,
        adapters={name: Path(path) for name, path in (adapters or {}).items()},
        keys=() if api_key_file is None else read_keys(Path(api_key_file)),
        max_memory=None if max_memory is None else int(size_of(max_memory, "--max-memory")),
        precision=cast(Precision | None, precision),
        **settings,
    )
    return Server(options, ready)
