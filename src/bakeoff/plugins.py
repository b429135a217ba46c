"""What installed packages add to a registry, by entry points; imported when it is asked for."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any

from bakeoff.errors import ConfigError

_LOG = logging.getLogger(__name__)


class Plugins:
    """The entry points of one group.

    Args:
        group: such as ``bakeoff.methods``. what: one of them, in words.
        built_in: names that bakeoff itself has; they keep their meaning.
    """

    def __init__(self, group: str, what: str, built_in: Collection[str]) -> None:
        self.group = group
        self._what = what
        self._built_in = built_in

    @functools.cached_property
    def points(self) -> Mapping[str, importlib.metadata.EntryPoint]:
        """By name; nothing is imported for it."""
        found: dict[str, importlib.metadata.EntryPoint] = {}
        for point in importlib.metadata.entry_points(group=self.group):
            if point.name in self._built_in or point.name in found:
                _LOG.warning(
                    "the package %s offers a %s %r, a name that is taken; it is left out",
                    _package(point),
                    self._what,
                    point.name,
                )
                continue
            found[point.name] = point
        return found

    def load(self, name: str, *, where: str) -> Any:
        """What the entry point called ``name`` leads to.

        Raises:
            ConfigError: its package cannot be imported.
        """
        point = self.points[name]
        try:
            return point.load()
        except Exception as error:  # whatever a package of someone else raises
            raise self._broken(name, point.value, error, where) from error

    def attribute(self, name: str, place: str, *, where: str) -> Any:
        """What ``place`` (``MODULE:NAME``) leads to, of the package with the entry point ``name``.

        Raises:
            ConfigError: it cannot be imported.
        """
        module, _, attribute = place.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except Exception as error:  # whatever a package of someone else raises
            raise self._broken(name, place, error, where) from error

    def unfit(self, name: str, rule: str, *, where: str) -> ConfigError:
        """The error for an entry point that leads to something else than it should."""
        return ConfigError(f"{self._about(name, self.points[name].value, where)} {rule}; {_REMEDY}")

    def _broken(self, name: str, place: str, error: Exception, where: str) -> ConfigError:
        return ConfigError(
            f"{self._about(name, place, where)} cannot be imported "
            f"({type(error).__name__}: {error}); {_REMEDY}"
        )

    def _about(self, name: str, place: str, where: str) -> str:
        package = _package(self.points[name])
        return f"{where}: {name!r} is of the package {package}, whose {place}"


_REMEDY = "mend or remove that package"


def _package(point: importlib.metadata.EntryPoint) -> str:
    return "unknown" if point.dist is None else point.dist.name
