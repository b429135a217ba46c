"""The only place that maps a method's name to code."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from bakeoff.errors import ConfigError
from bakeoff.methods.bitfit import BitFit, BitFitStack
from bakeoff.methods.bottleneck import Bottleneck, BottleneckStack
from bakeoff.methods.contract import Method, Stack
from bakeoff.methods.full import Full, FullStack
from bakeoff.methods.head import Head, HeadStack
from bakeoff.methods.ia3 import Ia3, Ia3Stack
from bakeoff.methods.last_layers import LastLayers, LastLayersStack
from bakeoff.methods.low_rank.dora import Dora, DoraStack
from bakeoff.methods.low_rank.lora import Lora, LoraStack
from bakeoff.methods.peft_library.method import PeftMethod
from bakeoff.methods.peft_library.stack import PeftStack
from bakeoff.methods.prompts.p_tuning import PTuning, PTuningStack
from bakeoff.methods.prompts.prefix import PrefixStack, PrefixTuning
from bakeoff.methods.prompts.soft_prompt import SoftPrompt, SoftPromptStack

METHODS: Final[dict[str, tuple[type[Method], type[Stack]]]] = {
    method.kind: (method, stack)
    for method, stack in (
        (Head, HeadStack),
        (Lora, LoraStack),
        (Dora, DoraStack),
        (SoftPrompt, SoftPromptStack),
        (PTuning, PTuningStack),
        (PrefixTuning, PrefixStack),
        (Bottleneck, BottleneckStack),
        (Ia3, Ia3Stack),
        (BitFit, BitFitStack),
        (LastLayers, LastLayersStack),
        (Full, FullStack),
        (PeftMethod, PeftStack),
    )
}


def method_type(kind: str, *, where: str) -> type[Method]:
    """The class of the method called ``kind``.

    Raises:
        ConfigError: if there is none.
    """
    if kind not in METHODS:
        near = get_close_matches(str(kind), METHODS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ConfigError(
            f"{where}: {kind!r} is no method{hint} Known methods: {', '.join(METHODS)}"
        )
    return METHODS[kind][0]


def stack_type(kind: str) -> type[Stack]:
    """The stacked form of the method called ``kind``."""
    return METHODS[kind][1]
