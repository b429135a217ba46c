"""The options of PEFT's own methods: the fields of the installed PEFT's configurations.

Each type of adapter has a dataclass of PEFT's; ours is made from it, so that a study's options are
checked as strictly as those of every other method, whichever version of PEFT is installed.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from bakeoff.config import from_mapping
from bakeoff.errors import ConfigError
from bakeoff.methods.specs.contract import FileFormat, MethodSpec

_OURS: Final = frozenset(
    {
        "peft_type",
        "task_type",
        "auto_mapping",
        "peft_version",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
    }
)
"""What the method itself sets."""
_PLAIN: Final = (int, float, str, bool, list, dict, tuple, types.NoneType)


@dataclass(frozen=True, kw_only=True)
class PeftOptions:
    """Options of a method of PEFT's: its type, then the fields of PEFT's configuration of it."""

    peft_type: str | None = None
    """Which of PEFT's methods, such as LOHA."""


def peft_types() -> tuple[str, ...]:
    """The types that the installed PEFT has and that act inside the model's layers."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

    return tuple(
        kind.value
        for kind in PEFT_TYPE_TO_CONFIG_MAPPING
        if kind in PEFT_TYPE_TO_TUNER_MAPPING and not _learns_a_prompt(kind.value)
    )


def read_peft_options(given: Mapping[str, Any], *, path: str) -> PeftOptions:
    """Checks a study's options against PEFT's configuration of their type.

    Raises:
        ConfigError: for an unknown type, an unknown field or a value of a wrong type.
    """
    name = given.get("peft_type")
    where = f"{path}.peft_type" if path else "peft_type"
    known = peft_types()
    if not isinstance(name, str) or name.upper() not in known:
        if isinstance(name, str) and _is_of_peft(name.upper()):
            raise ConfigError(
                f"{where}: {name} puts trained vectors before the tokens, outside of the layers "
                "that a study's loop runs through; use soft_prompt or another method of bakeoff's "
                "own (bakeoff methods)"
            )
        near = get_close_matches(str(name).upper(), known, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ConfigError(
            f"{where}: {name!r} is not a method of the installed PEFT{hint} Known types: "
            f"{', '.join(known)}"
        )
    options: PeftOptions = from_mapping(
        options_of(name.upper()), {**given, "peft_type": name.upper()}, path=path
    )
    return options


@cache
def options_of(name: str) -> type[PeftOptions]:
    """The dataclass of one type's options: PEFT's fields with PEFT's defaults."""
    config_type = config_class(name)
    hints = typing.get_type_hints(config_type)
    fields: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(config_type):
        kind = hints[field.name]
        if field.name in _OURS or not field.init or not _is_plain(kind):
            continue
        if field.default_factory is not dataclasses.MISSING:
            default = dataclasses.field(default_factory=field.default_factory)
        else:
            default = dataclasses.field(default=field.default)
            if field.default is None:
                kind = kind | None
        fields.append((field.name, kind, default))
    made = dataclasses.make_dataclass(
        f"{config_type.__name__}Options", fields, bases=(PeftOptions,), frozen=True, kw_only=True
    )
    made.__module__ = __name__
    return typing.cast(type[PeftOptions], made)


def config_class(name: str) -> type[Any]:
    """PEFT's configuration class of a type."""
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    found: type[Any] = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(name)]
    return found


def field_names(name: str) -> frozenset[str] | None:
    """All settings of a type, None where the installed PEFT has no such type."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    if name not in {kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING}:
        return None
    return frozenset(field.name for field in dataclasses.fields(config_class(name)))


def _is_of_peft(name: str) -> bool:
    from peft import PeftType

    return name in {kind.value for kind in PeftType}


def _learns_a_prompt(name: str) -> bool:
    from peft.config import PromptLearningConfig

    return issubclass(config_class(name), PromptLearningConfig)


def _is_plain(kind: Any) -> bool:
    """Whether YAML can say a value of the type."""
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return True
    inner = typing.get_args(kind)
    if inner:
        is_container = origin in (*_PLAIN, typing.Union, types.UnionType)
        return is_container and all(map(_is_plain, inner))
    return kind in _PLAIN or kind is Any


class _PeftSpec(MethodSpec):
    """Options come from the installed PEFT, which is imported when they are asked for."""

    def read_options(self, given: Mapping[str, Any], *, path: str = "") -> PeftOptions:
        """The fields of PEFT's own configuration, by its ``peft_type``."""
        return read_peft_options(given, path=path)

    def families(self) -> dict[str, type]:
        """The options of each ``peft_type`` of the installed PEFT."""
        return {name: options_of(name) for name in peft_types()}


SPEC: Final = _PeftSpec(
    kind="peft",
    method="bakeoff.methods.peft_library.method:PeftMethod",
    stack="bakeoff.methods.peft_library.stack:PeftStack",
    title="any other method of the installed PEFT, by its peft_type",
    paper="PEFT, Mangrulkar et al. 2022, github.com/huggingface/peft; each type names its own",
    formula="whatever PEFT sets to be trained",
    options_type=PeftOptions,
    default_learning_rate=1e-3,
    learning_rate_source=(
        "within what PEFT's examples use for low-rank methods (1e-4 to 1e-2); types differ"
    ),
    file_format=FileFormat.PEFT,
    mergeable=True,
    trains_alone=True,
    family_option="peft_type",
)
