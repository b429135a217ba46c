"""Gradient checkpointing by layer: activations inside a layer are computed again when needed.

Source: Chen et al. 2016, arXiv:1604.06174, with one segment a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint

from bakeoff.base.attention.interface import (
    asks_windows_always,
    extended,
    present_extension,
    windows_always,
)
from bakeoff.base.compiled import decoder_layers
from bakeoff.base.model import Base
from bakeoff.base.row_groups import grouped, present_groups
from bakeoff.base.shared_inputs import forget_shared
from bakeoff.methods.training_pass import present_training, training_pass


@contextmanager
def recomputed_layers(base: Base) -> Iterator[None]:
    """Lets every layer inside keep its input alone for the backward pass."""
    layers = decoder_layers(base)
    for layer in layers:
        layer.forward = _recomputed(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # the class's own is seen again


def _recomputed(layer: nn.Module) -> Callable[..., Any]:
    forward = type(layer).forward

    def call(*arguments: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(layer, *arguments, **named)
        # The second time may be in another thread, and after what surrounds the first has ended.
        extension, training, groups = present_extension(), present_training(), present_groups()
        windows = asks_windows_always()
        modes = _get_current_function_mode_stack()

        def compute(*again: Any, **named_again: Any) -> Any:
            with ExitStack() as stack:
                if modes and not _get_current_function_mode_stack():
                    # Such as what stands for a GPU's attention in a trace: autograd forgets them.
                    for mode in modes:
                        stack.enter_context(mode)
                if extension is not None and present_extension() is None:
                    stack.enter_context(extended(extension))
                if training is not None and present_training() is None:
                    stack.enter_context(training_pass(training))
                if groups is not None and present_groups() is None:
                    stack.enter_context(grouped(groups))
                stack.enter_context(windows_always(windows))
                try:
                    return forward(layer, *again, **named_again)
                except BaseException:
                    # In this thread, which is autograd's the second time.
                    forget_shared()
                    raise

        # Nothing in a layer draws from PyTorch's generators (the base is in evaluation mode, and
        # dropout is hashed), and the state of a GPU's cannot be read while a graph is captured.
        return checkpoint(
            compute, *arguments, use_reentrant=False, preserve_rng_state=False, **named
        )

    return call
