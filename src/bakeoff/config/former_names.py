"""Keys that were renamed, and what each is called now: studies of before keep working.

A key takes the field's name where it means what the field means by it and its value is written in
the same way (decision 0051). The former name stays an alias, in a file, with ``--set`` and in the
folders of earlier runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bakeoff.errors import ConfigError

FORMER: Final[Mapping[str, str]] = {"clip_norm": "max_grad_norm"}
"""By the former name of a key of ``protocol``, its present one."""
_PROTOCOL: Final = "protocol"


def with_present_names(study: Mapping[str, Any]) -> dict[str, Any]:
    """A study's mapping in which renamed keys have their present names.

    They stand in ``protocol`` and, as searched settings of a method, in ``search.space.NAME``.

    Raises:
        ConfigError: both names of one setting are given.
    """
    found = dict(study)
    if isinstance(found.get(_PROTOCOL), Mapping):
        found[_PROTOCOL] = _renamed(found[_PROTOCOL], _PROTOCOL)
    search = found.get("search")
    if isinstance(search, Mapping) and isinstance(search.get("space"), Mapping):
        space = {
            name: _renamed(of, f"search.space.{name}") if isinstance(of, Mapping) else of
            for name, of in search["space"].items()
        }
        found["search"] = {**search, "space": space}
    return found


def present_overrides(overrides: Sequence[str]) -> list[str]:
    """``KEY=VALUE`` of the command line, with the present names of renamed keys."""
    return [_present_override(one) for one in overrides]


def _present_override(override: str) -> str:
    key, equals, value = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if len(parts) == 2 and parts[0] == _PROTOCOL and parts[1] in FORMER:
        return f"{_PROTOCOL}.{FORMER[parts[1]]}{equals}{value}"
    return override


def _renamed(section: Mapping[str, Any], place: str) -> dict[str, Any]:
    for former, present in FORMER.items():
        if former in section and present in section:
            raise ConfigError(
                f"{place}.{former}: {place}.{present} is given too, and both mean the same; remove "
                f"{place}.{former}"
            )
    return {FORMER.get(key, key): value for key, value in section.items()}
