"""The only place that maps a method's name to what describes it and to its code.

A method comes from a file in ``specs/``, from ``register_method``, or from an installed package
that has an entry point in the group ``bakeoff.methods``: a ``MethodSpec``. The code loads PyTorch,
so it is imported when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Final

from bakeoff.config.other_names import NO_KEY
from bakeoff.errors import ConfigError
from bakeoff.methods import specs
from bakeoff.methods.specs.contract import MethodSpec
from bakeoff.plugins import Plugins

if TYPE_CHECKING:
    from bakeoff.methods.contract import Method
    from bakeoff.methods.stack import Stack


def _built_in() -> dict[str, MethodSpec]:
    """By kind the ``SPEC`` of each module in ``specs/`` that has one."""
    modules = (import_module(f"{specs.__name__}.{m.name}") for m in iter_modules(specs.__path__))
    found = [spec for module in modules if (spec := getattr(module, "SPEC", None)) is not None]
    return {spec.kind: spec for spec in found}


METHODS: Final[Mapping[str, MethodSpec]] = _built_in()
"""What describes each method that bakeoff itself brings, by its kind."""

_plugins = Plugins("bakeoff.methods", "method", METHODS)
_registered: dict[str, tuple[type[Method], type[Stack]]] = {}


def register_method(method: type[Method], stack: type[Stack]) -> None:
    """Adds a method for this process, under its spec's ``kind``.

    The process that measures costs imports the module that the class was defined in; one that was
    defined in a script or a notebook itself has no costs.

    Args:
        method: a subclass of ``Method`` with a ``spec``. stack: the stacked form of it.

    Raises:
        ConfigError: the kind is taken, or the class has no usable spec.
    """
    spec = getattr(method, "spec", None)
    if not isinstance(spec, MethodSpec):
        name = getattr(method, "__name__", repr(method))
        raise ConfigError(
            f"register_method: {name} has no spec; give the class a MethodSpec as its "
            "attribute spec"
        )
    _check_options(spec, "register_method")
    if _registered.get(spec.kind) == (method, stack):
        return
    if spec.kind in method_kinds():
        raise ConfigError(
            f"register_method: {spec.kind!r} is a method already; choose another kind"
        )
    _registered[spec.kind] = (method, stack)


def registered_in() -> dict[str, str]:
    """The module in which each registered method was defined, by kind."""
    return {kind: method.__module__ for kind, (method, _) in _registered.items()}


def method_kinds() -> tuple[str, ...]:
    """Every kind that can be asked for; packages that offer some are not imported for it."""
    return tuple(dict.fromkeys((*METHODS, *_registered, *_plugins.points)))


def method_specs() -> tuple[dict[str, MethodSpec], dict[str, str]]:
    """(What describes each method, by kind; what is wrong with those that cannot be imported)."""
    found, faults = {}, {}
    for kind in method_kinds():
        try:
            found[kind] = spec_of(kind, where="methods")
        except ConfigError as error:
            faults[kind] = str(error)
    return found, faults


def spec_of(kind: str, *, where: str) -> MethodSpec:
    """What describes the method called ``kind``.

    Raises:
        ConfigError: if there is none, or its package cannot be imported.
    """
    if kind in METHODS:
        return METHODS[kind]
    if kind in _registered:
        return _registered[kind][0].spec
    if kind not in _plugins.points:
        near = get_close_matches(str(kind), method_kinds(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        if kind in NO_KEY:
            hint = f"; {NO_KEY[kind]}."
        raise ConfigError(
            f"{where}: {kind!r} is not a method{hint} Known methods: {', '.join(method_kinds())}"
        )
    spec = _plugins.load(kind, where=where)
    if not isinstance(spec, MethodSpec) or spec.kind != kind or not (spec.method and spec.stack):
        rule = f"is no MethodSpec of the kind {kind!r} that names its method and its stack"
        raise _plugins.unfit(kind, rule, where=where)
    _check_options(spec, where)
    return spec


def method_type(kind: str, *, where: str) -> type[Method]:
    """The class of the method called ``kind``.

    Raises:
        ConfigError: if there is none, or its code cannot be imported.
    """
    spec = spec_of(kind, where=where)
    if kind in _registered:
        return _registered[kind][0]
    found: type[Method] = _imported(spec, spec.method, where)
    return found


def stack_type(kind: str) -> type[Stack]:
    """The stacked form of the method called ``kind``; raises as ``method_type`` does."""
    spec = spec_of(kind, where="methods")
    if kind in _registered:
        return _registered[kind][1]
    found: type[Stack] = _imported(spec, spec.stack, "methods")
    return found


def _imported(spec: MethodSpec, place: str, where: str) -> Any:
    if spec.kind not in METHODS:
        return _plugins.attribute(spec.kind, place, where=where)
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _check_options(spec: MethodSpec, where: str) -> None:
    """Raises ConfigError where the options of someone else's method could not be a study's."""
    options = spec.options_type
    if not is_dataclass(options):
        raise ConfigError(
            f"{where}: the options of {spec.kind!r} are {options!r}, which is no dataclass; make "
            "it a frozen one, every field with a default"
        )
    taken = {"kind", "learning_rate", "quantization"} & {field.name for field in fields(options)}
    if taken:
        raise ConfigError(
            f"{where}: the options of {spec.kind!r} have a field {min(taken)!r}, which every "
            "method of a study has; call it otherwise"
        )
