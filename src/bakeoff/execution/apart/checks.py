"""What a worker must be like before it gets a job: one clear error for each way to be wrong."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bakeoff.engine.backends.memory import is_out_of_memory
from bakeoff.errors import ConfigError, StoreError
from bakeoff.execution.apart.remote import RemoteFiles
from bakeoff.execution.apart.versions import versions_here
from bakeoff.files import disk_errors

_SEEN: Final = ".seen-by-workers-"


@dataclass
class Checks:
    """Holds what workers say of themselves against the driver and each other.

    Attributes:
        mixed_devices: whether they may compute on different devices.
        shared: whether they must see the run's folder.
        token: the name of a file in the run's folder that each of them must see.
        files: where workers leave what they make, which each of them must reach instead.
    """

    mixed_devices: bool = False
    shared: bool = True
    token: str = field(default_factory=lambda: f"{_SEEN}{uuid.uuid4().hex}")
    files: RemoteFiles | None = None
    _first: dict[str, Any] | None = None

    @contextmanager
    def shown_in(self, run: Path) -> Iterator[None]:
        """While it is entered, the file is there."""
        with disk_errors(run):
            for stale in run.glob(f"{_SEEN}*"):  # of drivers that were killed
                stale.unlink(missing_ok=True)
            (run / self.token).touch()
        if self.files is not None:
            self.files.show(self.token)
        try:
            yield
        finally:
            (run / self.token).unlink(missing_ok=True)

    def ask(self, actor: Any, run: Path) -> Any:
        """Asks an actor about itself; returns a reference of the answer."""
        files = None if self.files is None else (self.files.address, self.files.run_id)
        return actor.about.remote(versions_here(), str(run.resolve()), self.token, files)

    def accepted(self, about: dict[str, Any]) -> dict[str, Any]:
        """What a worker said, if it may take part.

        Raises:
            ConfigError: it has other versions or another device.
            StoreError: it cannot see the run's folder, or does not reach the address.
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
        if self.files is not None and not about["sees"]:
            why = f" ({about['why']})" if about.get("why") else ""
            raise StoreError(
                f"worker on {host}: does not find at execution.files, {self.files.address}, what "
                f"the driver wrote there{why}; give an address that all machines reach, and each "
                "of them what it needs to open it"
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
