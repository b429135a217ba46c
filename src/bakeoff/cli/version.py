"""``bakeoff version``."""

from __future__ import annotations

import sys

from bakeoff.version import __version__


def version() -> None:
    """Prints the version."""
    sys.stdout.write(f"{__version__}\n")
