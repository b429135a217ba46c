"""The only place that maps a method's name to what describes it and to its code.

The code loads PyTorch, so it is imported when it is first asked for.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from bakeoff.errors import ConfigError
from bakeoff.methods.specs import (
    bitfit,
    bottleneck,
    dora,
    full,
    head,
    ia3,
    last_layers,
    lora,
    p_tuning,
    peft,
    prefix,
    soft_prompt,
)
from bakeoff.methods.specs.contract import MethodSpec

if TYPE_CHECKING:
    from bakeoff.methods.contract import Method
    from bakeoff.methods.stack import Stack

_CODE: Final[tuple[tuple[MethodSpec, str, str], ...]] = (
    # what describes it, MODULE:CLASS of the method and of its stack, below bakeoff.methods
    (head.SPEC, "head:Head", "head:HeadStack"),
    (lora.SPEC, "low_rank.lora:Lora", "low_rank.lora:LoraStack"),
    (dora.SPEC, "low_rank.dora:Dora", "low_rank.dora:DoraStack"),
    (soft_prompt.SPEC, "prompts.soft_prompt:SoftPrompt", "prompts.soft_prompt:SoftPromptStack"),
    (p_tuning.SPEC, "prompts.p_tuning:PTuning", "prompts.p_tuning:PTuningStack"),
    (prefix.SPEC, "prompts.prefix:PrefixTuning", "prompts.prefix:PrefixStack"),
    (bottleneck.SPEC, "bottleneck:Bottleneck", "bottleneck_stack:BottleneckStack"),
    (ia3.SPEC, "ia3:Ia3", "ia3:Ia3Stack"),
    (bitfit.SPEC, "bitfit:BitFit", "bitfit:BitFitStack"),
    (last_layers.SPEC, "last_layers:LastLayers", "last_layers:LastLayersStack"),
    (full.SPEC, "full:Full", "full:FullStack"),
    (peft.SPEC, "peft_library.method:PeftMethod", "peft_library.stack:PeftStack"),
)
METHODS: Final[dict[str, MethodSpec]] = {spec.kind: spec for spec, _, _ in _CODE}
"""What describes each method, by its kind."""
_METHOD: Final = {spec.kind: method for spec, method, _ in _CODE}
_STACK: Final = {spec.kind: stack for spec, _, stack in _CODE}


def spec_of(kind: str, *, where: str) -> MethodSpec:
    """What describes the method called ``kind``.

    Raises:
        ConfigError: if there is none.
    """
    if kind not in METHODS:
        near = get_close_matches(str(kind), METHODS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ConfigError(
            f"{where}: {kind!r} is not a method{hint} Known methods: {', '.join(METHODS)}"
        )
    return METHODS[kind]


def method_type(kind: str, *, where: str) -> type[Method]:
    """The class of the method called ``kind``.

    Raises:
        ConfigError: if there is none.
    """
    found: type[Method] = _imported(_METHOD[spec_of(kind, where=where).kind])
    return found


def stack_type(kind: str) -> type[Stack]:
    """The stacked form of the method called ``kind``."""
    found: type[Stack] = _imported(_STACK[kind])
    return found


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"bakeoff.methods.{module}"), name)
