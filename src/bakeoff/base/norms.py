"""A norm's own weight, for each slot another.

Axis letters: ``K`` slots, ``N`` positions of all rows of a slot, ``D`` width.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from bakeoff.base.injection import NormSite, is_norm
from bakeoff.errors import BaseModelError

_PROBE_ROWS = 3


def norm_layers(model: nn.Module) -> dict[str, nn.Module]:
    """All norms of ``model`` by full name, in order."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        if isinstance(module, NormSite):
            found[name] = module.norm
        elif is_norm(module):
            parent = model.get_submodule(name.rpartition(".")[0])
            if not isinstance(parent, NormSite):
                found[name] = module
    return found


def normalise(norm: nn.Module, x_KND: Tensor, weight_KD: Tensor, bias_KD: Tensor | None) -> Tensor:
    """What ``norm`` computes with another weight and bias in each slot.

    Args:
        norm: PyTorch's layer or RMS norm, or a model's own whose weight acts elementwise.
        x_KND: [K, N, D] its input.
        weight_KD: [K, D]. bias_KD: likewise, or None.

    Returns:
        [K, N, D], in the finer of the formats of input and weight.
    """
    weight_K1D = weight_KD[:, None]
    if isinstance(norm, nn.LayerNorm):
        y_KND = F.layer_norm(x_KND, norm.normalized_shape, None, None, norm.eps) * weight_K1D
    elif isinstance(norm, nn.RMSNorm):
        y_KND = F.rms_norm(x_KND, norm.normalized_shape, None, norm.eps) * weight_K1D
    else:
        own: dict[str, Tensor] = {"weight": weight_K1D}
        if bias_KD is not None:
            own["bias"] = bias_KD[:, None]
        # A functional call puts the tensors into the module while it runs, and worker threads
        # share the norm: each call has one to itself.
        twin = copy.copy(norm)
        twin._parameters = dict(norm._parameters)
        y: Tensor = functional_call(twin, own, (x_KND,))
        return y
    return y_KND if bias_KD is None else y_KND + bias_KD[:, None]


@torch.no_grad()
def check_normalise(name: str, norm: nn.Module) -> None:
    """Holds ``normalise`` against a norm's own computation.

    Raises:
        BaseModelError: if its weight does not act elementwise.
    """
    weight, bias = norm.weight, getattr(norm, "bias", None)
    assert isinstance(weight, Tensor)
    x_KND = torch.linspace(-1.0, 2.0, 2 * _PROBE_ROWS * len(weight), device=weight.device)
    x_KND = x_KND.view(2, _PROBE_ROWS, -1).to(weight.dtype)
    twice = [None if t is None else t.expand(2, -1) for t in (weight, bias)]
    assert twice[0] is not None
    try:
        gap = (normalise(norm, x_KND, twice[0], twice[1]) - norm(x_KND)).abs().max()
    except (RuntimeError, TypeError, ValueError) as error:
        raise BaseModelError(
            f"{name}: {type(norm).__name__} cannot be given a weight for each slot ({error})"
        ) from None
    if not gap <= 1e-2 * norm(x_KND).abs().max():
        raise BaseModelError(
            f"{name}: {type(norm).__name__} does more with its weight than to scale by it"
        )
