"""What must be alike on a driver and its workers."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from bakeoff.version import __version__

_LIBRARIES: Final = ("torch", "transformers", "peft")


def versions_here() -> dict[str, str]:
    """The versions that results depend on, by library."""
    found = {"bakeoff": __version__}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "none"
    return found
