"""What a worker must be like before it gets a job: one clear error for each way to be wrong."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bakeoff.engine.backends.memory import is_out_of_memory
from bakeoff.errors import ConfigError, StoreError
from bakeoff.execution.ray.versions import versions_here
from bakeoff.files import disk_errors


@dataclass
class Checks:
    """Holds what workers say of themselves against the driver and each other.

    Attributes:
        mixed_devices: whether they may compute on different devices.
        shared: whether they must see the run's folder.
        token: the name of a file in the run's folder that each of them must see.
    """

    mixed_devices: bool = False
    shared: bool = True
    token: str = field(default_factory=lambda: f".seen-by-workers-{uuid.uuid4().hex}")
    _first: dict[str, Any] | None = None

    @contextmanager
    def shown_in(self, run: Path) -> Iterator[None]:
        """While it is entered, the file is there."""
        with disk_errors(run):
            (run / self.token).touch()
        try:
            yield
        finally:
            (run / self.token).unlink(missing_ok=True)

    def ask(self, actor: Any, run: Path) -> Any:
        """Asks an actor about itself; returns Ray's reference of the answer."""
        return actor.about.remote(versions_here(), str(run.resolve()), self.token)

    def accepted(self, about: dict[str, Any]) -> dict[str, Any]:
        """What a worker said, if it may take part.

        Raises:
            ConfigError: it has other versions or another device.
            StoreError: it cannot see the run's folder.
        """
        host = about["host"]
        if about["versions"]:
            here = versions_here()
            differ = ", ".join(f"{k} {v} for {here.get(k)}" for k, v in about["versions"].items())
            raise ConfigError(
                f"worker on {host}: has other versions ({differ}), and results of two versions "
                "may differ for that alone; install the same ones on all machines"
            )
        if self.shared and not about["sees"]:
            raise StoreError(
                f"worker on {host}: does not see the run's folder; give one on a file system that "
                "all machines share with --out, or an address with execution.files"
            )
        if self._first is None:
            self._first = about
        elif about["device"] != self._first["device"] and not self.mixed_devices:
            raise ConfigError(
                f"workers on {self._first['host']} and {host}: have different devices "
                f"({self._first['device']} and {about['device']}), whose sums round differently; "
                "use machines of one kind, or allow it with --mixed-devices"
            )
        return about

    def is_short(self, error: Exception) -> bool:
        """Whether a worker could not open the study for lack of memory."""
        cause = getattr(error, "cause", None)
        return isinstance(cause, Exception) and is_out_of_memory(cause)
