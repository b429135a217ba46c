"""What a server is started with, and what it holds itself to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bakeoff.errors import ConfigError
from bakeoff.types import Precision

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
"""Addresses that only this machine reaches."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """One server.

    Attributes:
        runs: folders that ``bakeoff run`` made.
        adapters: folders in PEFT's format by the name that requests give.
        base: of adapters without a run. device, precision: as of a study; None takes its own.
        host, port: where it listens; port 0 takes a free one.
        keys: of which a request must give one; none lets every request in.
        no_auth: whether it may listen to other machines without keys.
        max_memory: bytes of weights, adapters and caches; None takes half of what is free.
        max_seats: rows under way at once. max_positions: of a seat, prompt and answer.
        max_queue, queue_seconds: rows that wait, and for how long.
        max_tokens: that one row may be asked to write.
        max_rows: of one request. max_body: bytes of a request.
        idle_seconds: that a connection may take to send a request, or to take in an answer.
        drain_seconds: that running answers have to finish when the server stops.
        prefill_tokens: of prompts that are read between two tokens of the others.
        trust_remote_code: whether code beside a run's base may run, where its study says so.
        log_prompts: whether prompts are logged.
    """

    runs: tuple[Path, ...] = ()
    adapters: Mapping[str, Path] = field(default_factory=dict)
    base: str | None = None
    device: str = "auto"
    precision: Precision | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = ()
    no_auth: bool = False
    max_memory: int | None = None
    max_seats: int = 32
    max_positions: int = 2048
    max_queue: int = 256
    queue_seconds: float = 60.0
    max_tokens: int = 1024
    max_rows: int = 64
    max_body: int = 1 << 20
    idle_seconds: float = 30.0
    drain_seconds: float = 60.0
    prefill_tokens: int = 256
    trust_remote_code: bool = False
    log_prompts: bool = False

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK

    def check(self) -> None:
        """Raises ConfigError where it must not or cannot start."""
        if not self.runs and self.base is None:
            raise ConfigError(
                "nothing to serve: give a run's folder, or --base with --adapter NAME=PATH"
            )
        if self.runs and self.base is not None and not self.adapters:
            raise ConfigError(
                f"--base {self.base}: is of adapters, and beside runs it has no effect without "
                "--adapter NAME=PATH; give one, or remove it"
            )
        if not self.is_local and not self.keys and not self.no_auth:
            raise ConfigError(
                f"--host {self.host}: other machines could ask it without a key; give "
                "--api-key-file, or --no-auth if that is meant"
            )
        if self.keys and self.no_auth:
            raise ConfigError("--no-auth and --api-key-file: one of them has no effect; remove it")
        for name, lowest in (
            *(("max_seats", 1), ("max_positions", 2), ("max_queue", 1)),
            *(("max_tokens", 1), ("max_rows", 1), ("max_body", 1)),
        ):
            if getattr(self, name) < lowest:
                option = name.replace("_", "-")
                raise ConfigError(f"--{option}: {getattr(self, name)} is below {lowest}")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port: {self.port} is no port; give 0 to 65535")


def read_keys(path: Path) -> tuple[str, ...]:
    """The keys of a file, one a line; empty lines and those that begin with # are none.

    Raises:
        ConfigError: it cannot be read, holds none, or one that is too short to be secret.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--api-key-file: {path} cannot be read ({error})") from None
    keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise ConfigError(f"--api-key-file: {path} holds no key; write one a line")
    if min(map(len, keys)) < 8 or any(not key.isascii() or " " in key for key in keys):
        raise ConfigError(
            f"--api-key-file: a key of {path} has fewer than 8 characters, a space, or one that "
            "is not ASCII; such a key is no secret, or no header may hold it"
        )
    return tuple(keys)
