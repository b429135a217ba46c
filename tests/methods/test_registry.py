from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from bakeoff.errors import ConfigError
from bakeoff.methods.contract import ExecutionPath
from bakeoff.methods.low_rank.lora import Lora, LoraStack
from bakeoff.methods.registry import METHODS, method_type, stack_type
from bakeoff.methods.stack import Stack


def test_a_name_leads_to_its_method_and_its_stack() -> None:
    assert method_type("lora", where="methods.a.kind") is Lora
    assert stack_type("lora") is LoraStack
    assert {"head", "lora", "soft_prompt", "full"} <= set(METHODS)


@pytest.mark.parametrize(
    ("kind", "nearest"), [("loar", "lora"), ("soft-prompt", "soft_prompt"), ("heads", "head")]
)
def test_an_unknown_name_suggests_the_nearest(kind: str, nearest: str) -> None:
    with pytest.raises(ConfigError) as caught:
        method_type(kind, where="methods.a.kind")
    assert str(caught.value) == (
        f"methods.a.kind: {kind!r} is not a method; did you mean {nearest!r}? "
        f"Known methods: {', '.join(METHODS)}"
    )


def test_a_name_near_to_none_lists_them() -> None:
    with pytest.raises(ConfigError, match=re.escape("'zzz' is not a method. Known methods: ")):
        method_type("zzz", where="methods.a.kind")


@pytest.mark.parametrize("kind", list(METHODS))
def test_the_code_is_that_of_what_describes_it(kind: str) -> None:
    method = method_type(kind, where="kind")
    assert method.spec is METHODS[kind]
    assert (method.kind, METHODS[kind].kind) == (kind, kind)
    assert issubclass(stack_type(kind), Stack)
    assert (METHODS[kind].family_option is None) == (not METHODS[kind].families())


@pytest.mark.parametrize("kind", list(METHODS))
def test_options_are_frozen_and_have_defaults(kind: str) -> None:
    options_type = METHODS[kind].options_type
    assert is_dataclass(options_type)
    options: Any = options_type()
    for field in fields(options):
        with pytest.raises(AttributeError):
            setattr(options, field.name, None)
    make: Any = options_type
    with pytest.raises(TypeError):
        make("positional")


def test_execution_paths_are_words_for_the_store() -> None:
    assert [str(g) for g in ExecutionPath] == [
        "base",
        "embedding",
        "hidden_states",
        "last_layers",
        "own_base",
    ]
