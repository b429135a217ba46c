"""A model with bitsandbytes' own layers, as Transformers makes it: what the plain loop trains over,
and what tests compare with."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from bakeoff.base.quantized.models import linear_modules
from bakeoff.base.quantized.storage import BLOCK, bitsandbytes
from bakeoff.types import Quantization


def use_bitsandbytes(model: PreTrainedModel, kind: Quantization) -> None:
    """Replaces a model's linear layers, without the head, by bitsandbytes' own.

    Args:
        model: on its device, in its compute format. kind: int8 or nf4; none changes nothing.

    Raises:
        ConfigError: bitsandbytes is not installed.
    """
    if kind == "none":
        return
    library = bitsandbytes()
    for name, layer in linear_modules(model).items():
        weight = layer.get_parameter("weight").detach()
        weight = weight.t().contiguous() if isinstance(layer, Conv1D) else weight
        num_out, num_in = weight.shape
        made: Any
        with torch.device("meta"):
            if kind == "int8":
                made = library.nn.Linear8bitLt(
                    num_in, num_out, bias=layer.bias is not None, has_fp16_weights=False
                )
            else:
                made = library.nn.Linear4bit(
                    num_in,
                    num_out,
                    bias=layer.bias is not None,
                    compute_dtype=weight.dtype,
                    compress_statistics=True,
                    quant_type=kind,
                )
        if kind == "int8":
            own = library.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
        else:
            own = library.nn.Params4bit(
                weight, requires_grad=False, blocksize=BLOCK, quant_type=kind, module=made
            )
        made.weight = own.to(weight.device)
        if isinstance(layer.bias, torch.Tensor):
            made.bias = nn.Parameter(layer.bias.detach(), requires_grad=False)
        parent, _, end = name.rpartition(".")
        setattr(model.get_submodule(parent), end, made)
    # PEFT asks for these.
    setattr(model, "is_loaded_in_8bit" if kind == "int8" else "is_loaded_in_4bit", True)
