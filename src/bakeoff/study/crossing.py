"""``bases`` and ``templates``: a study whose methods are crossed with bases and with prompts.

Each base with each layout is a cell: a study of its own, over one base and one tokenised data set,
with all methods. What a cell is made of is written here as a plain mapping, so that everything
that can be done with a study (running, resuming, planning, predicting) can be done with a cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from bakeoff.config.plain import shown
from bakeoff.errors import ConfigError
from bakeoff.methods.entries import CROSSED, check_name
from bakeoff.methods.external import is_external
from bakeoff.metrics.registry import named_options
from bakeoff.tasks.layouts import with_layout
from bakeoff.types import Quantization

BASES: Final = "bases"
TEMPLATES: Final = "templates"
BITS_PER_BYTE: Final = "bits_per_byte"
PER_TOKEN: Final = frozenset({"nll", "perplexity"})
"""Metrics whose unit is a token of one tokenizer."""
_EXAMPLE: Final = "bases: [smollm2-135m, tiny]"
_OF_A_BASE: Final = ("base", "revision", "quantization")
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, kw_only=True)
class Level:
    """One base of several.

    Attributes:
        name: in the names of what is trained over it. base: as ``base`` of a study.
        revision, quantization: likewise; None takes the study's.
    """

    name: str
    base: str
    revision: str | None = None
    quantization: Quantization | None = None

    @property
    def keys(self) -> dict[str, Any]:
        """The keys of a study that it decides."""
        return {key: value for key in _OF_A_BASE if (value := getattr(self, key)) is not None}

    @property
    def resolved(self) -> str | dict[str, Any]:
        """As a study says it."""
        return self.base if self.keys == {"base": self.base} else self.keys


@dataclass(frozen=True, kw_only=True)
class Levels:
    """What a study's methods are crossed with.

    Attributes:
        bases: by name; None where there is but the study's ``base``.
        templates: layouts by name; None where the task has but its own.
    """

    bases: Mapping[str, Level] | None
    templates: Mapping[str, str] | None

    @property
    def resolved(self) -> dict[str, Any]:
        """The keys of the study that say so."""
        found: dict[str, Any] = {}
        if self.bases is not None:
            found[BASES] = {name: level.resolved for name, level in self.bases.items()}
        if self.templates is not None:
            found[TEMPLATES] = dict(self.templates)
        return found


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which cell of the crossed design.

    Attributes:
        base, template: names of its levels; None of what is no factor.
    """

    base: str | None
    template: str | None

    @property
    def label(self) -> str:
        """Names its folder, and follows a method's name: ``tiny@short``."""
        return CROSSED.join(part for part in (self.base, self.template) if part is not None)

    @property
    def words(self) -> str:
        """For messages: ``bases.tiny, templates.short``."""
        named = ((BASES, self.base), (TEMPLATES, self.template))
        return ", ".join(f"{key}.{name}" for key, name in named if name is not None)

    def variant(self, method: str) -> str:
        """The name of a method in this cell: ``lora@tiny@short``."""
        return f"{method}{CROSSED}{self.label}"


def levels_of(merged: Mapping[str, Any]) -> Levels | None:
    """What a study's methods are crossed with; None where they are not.

    Raises:
        ConfigError: ``bases`` or ``templates`` break a rule, by their path.
    """
    bases, templates = merged.get(BASES), merged.get(TEMPLATES)
    if bases is None and templates is None:
        return None
    if bases is not None and merged.get("base") is not None:
        raise ConfigError(
            f"base: {merged['base']!r} and bases are both given, and a study has one or the other; "
            "add it to bases and remove base (or --base, or --set base=...), or remove bases"
        )
    if bases is not None and merged.get("revision") is not None:
        raise ConfigError(
            f"revision: {merged['revision']!r} is of one base; with bases, name it there: bases: "
            "{NAME: {base: ID, revision: ...}}"
        )
    return Levels(
        bases=None if bases is None else _bases(bases),
        templates=None if templates is None else _templates(templates),
    )


def _bases(given: Any) -> dict[str, Level]:
    if isinstance(given, str) or not isinstance(given, Mapping | list | tuple):
        raise ConfigError(
            f"bases = {shown(given)}: must be a list of bases, such as {_EXAMPLE}, or a mapping "
            "from names of your own to bases"
        )
    if not given:
        raise ConfigError(
            f"bases: is empty, so there is nothing to train over; name at least one, as {_EXAMPLE} "
            "does, or give base: instead"
        )
    found: dict[str, Level] = {}
    named = given.items() if isinstance(given, Mapping) else [(None, one) for one in given]
    for place, (name, one) in enumerate(named):
        level = _level(f"bases.{name}" if name is not None else f"bases[{place}]", name, one)
        for other in found.values():
            if other.keys == level.keys:
                raise ConfigError(
                    f"bases: {level.base!r} is listed twice ({other.name} and {level.name}), "
                    "and each base is trained over once; remove one of them"
                )
            if other.name.casefold() == level.name.casefold():
                raise ConfigError(
                    f"bases: {other.base!r} and {level.base!r} would both be called {level.name}, "
                    "and names must differ by more than capital letters; name them yourself: "
                    f"bases: {{one: {other.base}, other: {level.base}}}"
                )
        found[level.name] = level
    return found


def _level(where: str, name: Any, given: Any) -> Level:
    """One entry of ``bases``; without a name it is called as the last part of its path."""
    keys = dict(given) if isinstance(given, Mapping) else {"base": given}
    if unknown := [key for key in keys if key not in _OF_A_BASE]:
        raise ConfigError(
            f"{where}.{unknown[0]}: there is no such key; a base has {', '.join(_OF_A_BASE)}"
        )
    base, held = keys.get("base"), keys.get("quantization")
    if not isinstance(base, str) or not base.strip():
        raise ConfigError(
            f"{where} = {shown(given)}: must be the id, folder or name of a base, as {_EXAMPLE}, "
            "or {base: ..., quantization: nf4}"
        )
    if held is not None and held not in get_args(Quantization):
        raise ConfigError(
            f"{where}.quantization: {held!r} is not one of {', '.join(get_args(Quantization))}"
        )
    revision = keys.get("revision")
    if revision is not None and not isinstance(revision, str):
        raise ConfigError(f"{where}.revision: {revision!r} is not a text; quote it")
    if name is None:
        last = re.split(r"[/\\]", base.rstrip("/\\"))[-1].removesuffix(".gguf")
        name = _NO_NAME.sub("-", last).strip("-._")
        name = name if held in (None, "none") else f"{name}-{held}"
        if not name:
            raise ConfigError(
                f"{where}: {base!r} gives no name for what is trained over it; name it yourself: "
                f"bases: {{NAME: {base}}}"
            )
    check_name(where, str(name))
    return Level(name=str(name), base=base, revision=revision, quantization=held)


def _templates(given: Any) -> dict[str, str]:
    example = 'templates: {short: "{body} {tag}"}'
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"templates = {shown(given)}: must be a mapping from names to layouts, such as "
            f"{example}"
        )
    if not given:
        raise ConfigError(
            f"templates: is empty, so there is no prompt to compare; name at least one, as "
            f"{example} does, or remove it"
        )
    found: dict[str, str] = {}
    for name, text in given.items():
        where = f"templates.{name}"
        check_name(where, str(name))
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(
                f"{where} = {shown(text)}: must be a text with columns in braces, as {example}"
            )
        for other, known in found.items():
            if known == text:
                raise ConfigError(
                    f"{where}: is the same as templates.{other}, which would be compared with "
                    "itself; change or remove one of them"
                )
            if other.casefold() == str(name).casefold():
                raise ConfigError(
                    f"{where}: differs from templates.{other} in capital letters alone; rename one"
                )
        found[str(name)] = text
    return found


def first_of(merged: Mapping[str, Any], levels: Levels) -> dict[str, Any]:
    """The study without its factors, over the first base: what all cells have in common.

    Raises:
        ConfigError: something that a crossed study cannot have.
    """
    methods = merged.get("methods")
    for name in methods if isinstance(methods, Mapping) else ():
        if CROSSED in str(name):
            raise ConfigError(
                f"methods.{name}: {CROSSED!r} stands between a method and its base or prompt; "
                "choose another name"
            )
    protocol = merged.get("protocol")
    if isinstance(protocol, Mapping) and isinstance(protocol.get("seeds"), Mapping):
        raise ConfigError(
            "protocol.seeds: seeds that follow from looks at the test set are of one base and one "
            "prompt; with bases or templates give a number of seeds, or a list"
        )
    rest = {key: value for key, value in merged.items() if key not in (BASES, TEMPLATES)}
    if levels.bases is not None:
        rest |= next(iter(levels.bases.values())).keys
    return rest


def cells_of(
    merged: Mapping[str, Any], levels: Levels, *, deciding: str, metrics: tuple[str, ...]
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every cell with the mapping of its study.

    Entrants from elsewhere take part once, in the first cell.

    Args:
        merged: the study. levels: its factors.
        deciding: the metric that decides without them.
        metrics: the task's own, to which bits per byte are added.

    Raises:
        ConfigError: a layout breaks a rule, by its path.
    """
    shared = first_of(merged, levels)
    bases: list[Level | None] = [None] if levels.bases is None else list(levels.bases.values())
    layouts: list[tuple[str | None, str]]
    layouts = [(None, "")] if levels.templates is None else list(levels.templates.items())
    is_first = True
    for base in bases:
        for layout, text in layouts:
            place = Place(base=None if base is None else base.name, template=layout)
            task = dict(shared["task"])
            if layout is not None:
                task = with_layout(task, text, f"{TEMPLATES}.{layout}")
            yield (
                place,
                {
                    **{k: v for k, v in shared.items() if base is None or k not in base.keys},
                    **({} if base is None else base.keys),
                    "task": also_by_bytes(task, metrics),
                    "methods": dict(_methods(shared["methods"], place, is_first)),
                    **_also(shared, place, is_first),
                    "decision": {"metric": deciding, **given_keys(shared.get("decision"))},
                },
            )
            is_first = False


def given_keys(section: Any) -> dict[str, Any]:
    """A section without what is left to its default."""
    found = section if isinstance(section, Mapping) else {}
    return {key: value for key, value in found.items() if value is not None}


def _methods(
    given: Mapping[str, Any], place: Place, is_first: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, options in given.items():
        if not is_external(name, options):
            yield place.variant(name), {"kind": name, **options}
        elif is_first:
            yield name, dict(options)


def _also(shared: Mapping[str, Any], place: Place, is_first: bool) -> dict[str, Any]:
    """Further test sets of a cell, which name its methods as the cell does."""
    given = shared.get("also_test")
    if not isinstance(given, Mapping):
        return {}
    found: dict[str, Any] = {}
    for name, section in given.items():
        chosen = section.get("methods") if isinstance(section, Mapping) else None
        found[name] = section
        if chosen is not None:
            apart = [one for one in chosen if is_external(one, shared["methods"][one])]
            own = [place.variant(one) for one in chosen if one not in apart]
            found[name] = {**section, "methods": [*own, *(apart if is_first else ())]}
    return {"also_test": found}


def also_by_bytes(task: Mapping[str, Any], metrics: tuple[str, ...]) -> dict[str, Any]:
    """A task's section that is scored in bits per byte besides, by which any bases compare."""
    given = task.get("metrics")
    named = list(metrics if given is None else given)
    if any(named_options(entry)[0] == BITS_PER_BYTE for entry in named):
        return {**task, "metrics": named}
    return {**task, "metrics": [*named, BITS_PER_BYTE]}


def located(merged: dict[str, Any], found: Callable[[Any], Any]) -> None:
    """Makes relative bases beside the study's file reachable from here."""
    bases = merged.get(BASES)
    if isinstance(bases, list | tuple):
        merged[BASES] = [_located(one, found) for one in bases]
    elif isinstance(bases, Mapping):
        merged[BASES] = {name: _located(one, found) for name, one in bases.items()}


def _located(given: Any, found: Callable[[Any], Any]) -> Any:
    if isinstance(given, Mapping):
        return {**given, "base": found(given.get("base"))}
    return found(given)
