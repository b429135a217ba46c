"""The forms that a report has, by the command line's words."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from bakeoff.errors import ConfigError

FORMATS: Final = ("html", "md", "csv", "latex", "json", "parquet")
FIGURE_FILES: Final = ("pdf", "svg", "png")


def chosen(given: Sequence[str], known: Sequence[str], option: str) -> tuple[str, ...]:
    """Names from an option that is given several times or with commas; each once.

    Raises:
        ConfigError: one of them is unknown, or there is none.
    """
    names = [name.strip() for one in given for name in one.split(",") if name.strip()]
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ConfigError(
                f"{option}: {name!r} is unknown{hint} Choose from {', '.join(known)}, with commas "
                "between"
            )
    if given and not names:
        raise ConfigError(f"{option}: names nothing; choose from {', '.join(known)}")
    return tuple(dict.fromkeys(names))
