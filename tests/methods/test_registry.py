from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, cast

import pytest

from bakeoff.errors import ConfigError
from bakeoff.methods import registry
from bakeoff.methods.contract import ExecutionPath
from bakeoff.methods.low_rank.lora import Lora, LoraStack
from bakeoff.methods.registry import (
    METHODS,
    method_kinds,
    method_specs,
    method_type,
    register_method,
    spec_of,
    stack_type,
)
from bakeoff.methods.specs.contract import MethodSpec
from bakeoff.methods.stack import Stack
from bakeoff.plugins import Plugins


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


@dataclass(frozen=True, kw_only=True)
class PlainOptions:
    size: int = 1


def spec(kind: str, **changes: Any) -> MethodSpec:
    return replace(
        METHODS["lora"], kind=kind, options_type=PlainOptions, mergeable=False, **changes
    )


GOOD = spec("theirs", method=f"{__name__}:Theirs", stack=f"{__name__}:TheirStack")
LOST = spec("lost", method="no_such_module:Lost", stack="no_such_module:LostStack")


class Theirs(Lora):
    spec = GOOD


class TheirStack(LoraStack):
    pass


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Acts as installed packages that have these entry points."""

    def call(**places: str) -> None:
        points = [
            importlib.metadata.EntryPoint(name, place, "bakeoff.methods")
            for name, place in places.items()
        ]
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
        plugins = Plugins("bakeoff.methods", "method", METHODS)
        monkeypatch.setattr(registry, "_plugins", plugins)
        monkeypatch.setattr(registry, "_registered", {})

    return call


def test_a_registered_method_is_found_by_its_kind(offered: Callable[..., None]) -> None:
    offered()
    register_method(Theirs, TheirStack)
    register_method(Theirs, TheirStack)  # the same again is the same
    assert method_type("theirs", where="x") is Theirs
    assert stack_type("theirs") is TheirStack
    assert spec_of("theirs", where="x") is GOOD
    assert method_kinds() == (*METHODS, "theirs")
    with pytest.raises(ConfigError, match=r"did you mean 'theirs'\?"):
        spec_of("theis", where="x")


def test_a_kind_that_exists_is_not_registered(offered: Callable[..., None]) -> None:
    offered(theirs=f"{__name__}:GOOD")
    for method in (Lora, Theirs):
        with pytest.raises(ConfigError, match=f"register_method: '{method.kind}' is a method alr"):
            register_method(method, TheirStack)


def test_a_method_needs_a_spec_with_options_of_its_own(offered: Callable[..., None]) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Clash:
        learning_rate: float = 0.1

    class NoOptions(Lora):
        spec = replace(GOOD, options_type=dict)

    class Clashing(Lora):
        spec = replace(GOOD, options_type=Clash)

    class NoSpec:
        pass

    offered()
    for method, words in (
        (NoSpec, "NoSpec has no spec; give the class a MethodSpec"),
        (NoOptions, "which is no dataclass"),
        (Clashing, "have a field 'learning_rate'"),
    ):
        with pytest.raises(ConfigError, match=words):
            register_method(cast(Any, method), TheirStack)
    assert method_kinds() == tuple(METHODS)


def test_an_installed_package_brings_a_method(offered: Callable[..., None]) -> None:
    offered(theirs=f"{__name__}:GOOD")
    assert method_kinds() == (*METHODS, "theirs")
    assert spec_of("theirs", where="x") is GOOD
    assert method_type("theirs", where="x").__name__ == "Theirs"
    assert stack_type("theirs").__name__ == "TheirStack"


def test_a_package_that_fails_is_named_and_harms_no_other(
    offered: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    offered(
        broken="no_such_module:SPEC",
        other=f"{__name__}:GOOD",
        text=f"{__name__}:__name__",
        lost=f"{__name__}:LOST",
        theirs=f"{__name__}:GOOD",
        lora=f"{__name__}:GOOD",
    )
    specs, faults = method_specs()
    assert list(specs) == [*METHODS, "lost", "theirs"]
    assert specs["lora"] is METHODS["lora"]
    assert "offers a method 'lora', a name that is taken" in caplog.text
    assert set(faults) == {"broken", "other", "text"}
    about = "methods: 'broken' is of the package unknown, whose no_such_module:SPEC cannot be imp"
    assert faults["broken"].startswith(about)
    assert "is no MethodSpec of the kind 'other'" in faults["other"]
    with pytest.raises(ConfigError, match=r"methods\.a\.kind: 'broken' .* cannot be imported"):
        spec_of("broken", where="methods.a.kind")
    with pytest.raises(ConfigError, match=r"'lost' .*no_such_module:Lost cannot be imported"):
        method_type("lost", where="methods.a.kind")


def test_only_weights_of_the_base_decay_and_by_how_much() -> None:
    decays = {kind: spec.weight_decay for kind, spec in METHODS.items() if spec.weight_decay}
    assert decays == {"full": 0.01, "head": 0.01, "last_layers": 0.01}
