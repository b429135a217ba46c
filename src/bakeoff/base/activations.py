"""The same activation in one kernel.

Transformers writes ``gelu_new`` as eight elementwise operations, each of which reads and keeps a
tensor of the hidden width. PyTorch computes the very function in one.
"""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel
from transformers.activations import NewGELUActivation


def fuse_activations(model: PreTrainedModel) -> None:
    """Swaps every ``gelu_new`` of ``model`` for PyTorch's tanh-approximated GELU."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, NewGELUActivation):
                setattr(module, name, nn.GELU(approximate="tanh"))
