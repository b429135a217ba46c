"""Compilation of the base, layer by layer.

All layers of a decoder are the same code over other weights, so that one compilation serves them
all, for every number of slots, rows and positions; evaluation has one of its own. A method's hooks
are compiled with the layer that contains them; where they know which layer it is, as a prefix does,
the layer is compiled in parts around them.
``tests/engine/backends/test_acceleration.py`` counts.

PyTorch compiles a size of one as a constant. A cohort of one slot therefore trains by code of its
own, and so does a pass over a single row of each slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch._dynamo import config as dynamo_config
from torch.fx.experimental import _config as shape_config

from bakeoff.base.attention import compiled_cpu
from bakeoff.base.attention.interface import scores_whole, windows_always
from bakeoff.base.decoder import layers_of
from bakeoff.base.families.gpt_neo import GptNeoAttention
from bakeoff.base.model import Base

_MOST_COMPILATIONS = 64
"""Forms of a layer in one process: cohorts of other methods, training and evaluation, one slot and
more. Beyond PyTorch's own limit, which is 8, layers would run uncompiled from then on."""


def decoder_layers(base: Base) -> list[nn.Module]:
    """The decoder's layers in order; none where they cannot be told apart."""
    return layers_of(base.decoder, base.config)


@contextmanager
def compiled_layers(
    base: Base, longest: int, backend: str | Callable[..., Any] = "inductor"
) -> Iterator[None]:
    """Lets every layer inside run as compiled code; the first pass compiles it.

    Sizes are dynamic from the start: a second shape compiles nothing.

    Args:
        base: the base whose passes are meant.
        longest: positions of the longest row. A sliding window that is no narrower is lifted, so
            that layers with one and layers without are the same code.
        backend: of ``torch.compile``.
    """
    layers = decoder_layers(base)
    windowed = _windowed(base)
    of_all_layers = getattr(base.config, "sliding_window", None)
    widths = [window for _, window in windowed] + ([of_all_layers] if of_all_layers else [])
    for module, window in windowed:
        module.window = None if longest <= window else window
    for layer in layers:
        layer.compile(backend=backend, dynamic=True)
    base.is_compiled = True
    try:
        # Sizes that happen to agree, such as rank and rows, are not taken for one.
        with (
            windows_always(any(longest > width for width in widths)),
            scores_whole(compiled_cpu.serves(base.device, base.compute_dtype, longest)),
            shape_config.patch(use_duck_shape=False),  # type: ignore[attr-defined]
            dynamo_config.patch(recompile_limit=_MOST_COMPILATIONS),
        ):
            yield
    finally:
        base.is_compiled = False
        for layer in layers:
            layer._compiled_call_impl = None  # what `compile` has set
        for module, window in windowed:
            module.window = window


@contextmanager
def uncompiled(base: Base) -> Iterator[None]:
    """Lets layers inside run as they are written, within ``compiled_layers`` too.

    For passes whose form changes from one to the next, such as rows of any slots: each form would
    be compiled.
    """
    if not base.is_compiled:
        yield
        return
    layers = decoder_layers(base)
    windowed = _windowed(base)
    calls = [layer._compiled_call_impl for layer in layers]
    lifted = [module.window for module, _ in windowed]
    for layer in layers:
        layer._compiled_call_impl = None
    for module, window in windowed:
        module.window = window
    base.is_compiled = False
    try:
        yield
    finally:
        base.is_compiled = True
        for layer, call in zip(layers, calls, strict=True):
            layer._compiled_call_impl = call
        for (module, _), present in zip(windowed, lifted, strict=True):
            module.window = present


def _windowed(base: Base) -> list[tuple[GptNeoAttention, int]]:
    """GPT-Neo's local layers, and the window that each has in the model."""
    return [
        (module, module.own_window)
        for module in base.decoder.modules()
        if isinstance(module, GptNeoAttention) and module.own_window is not None
    ]
