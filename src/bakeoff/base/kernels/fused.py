"""Whether this machine's GPU has our own kernels, tried against plain PyTorch before they are used.

Triton comes with PyTorch for CUDA on Linux. Where it is missing, does not compile for the card or
computes something else, everything goes the plain way, and the log says why.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from types import ModuleType

import torch
from torch import Tensor

from bakeoff.base.devices import present_profile

_log = logging.getLogger(__name__)
_MODULE = "bakeoff.base.kernels.triton_kernels"
_TOLERANCE = 1e-5
DROPOUT_BITS = 0x30FA4160F5B2EF03E1F3BEFA
"""What plain PyTorch leaves of 2 x 6 x 8 ones, a bit for each."""
_ready: dict[int, ModuleType | None] = {}
"""By the number of the device."""


def prepare_fused(device: torch.device) -> None:
    """Tries the kernels on a device, once; not while a graph is captured."""
    number = device.index or 0
    if device.type != "cuda" or number in _ready:
        return
    _ready[number] = None
    if importlib.util.find_spec("triton") is None:
        return
    try:
        kernels = importlib.import_module(_MODULE)
        fault = first_fault(kernels, device)
    except Exception as error:  # a compiler's: of any kind
        fault = f"{type(error).__name__}: {error}"
    if fault is None:
        _ready[number] = kernels
    else:
        _log.warning("%s: own kernels are left out, plain PyTorch computes: %s", device, fault)


def fused_kernels(tensor: Tensor) -> ModuleType | None:
    """The kernels for tensors like this one, or None where plain PyTorch computes."""
    if tensor.device.type != "cuda" or present_profile() is not None:
        return None
    return _ready.get(tensor.device.index or 0)


def first_fault(kernels: ModuleType, device: torch.device) -> str | None:
    """What the kernels compute otherwise than plain PyTorch, in words, or None."""
    for cap in (None, 5.0):
        if not _same_losses(kernels, device, cap):
            return f"losses of logits {'' if cap is None else f'capped at {cap} '}differ"
    for is_ratio in (False, True):
        if not _same_update(kernels, device, is_ratio):
            return "AdamW's update differs"
    if not _same_dropout(kernels, device):
        return "dropout leaves other numbers"
    return None


def _same_losses(kernels: ModuleType, device: torch.device, cap: float | None) -> bool:
    draw = torch.Generator().manual_seed(0)
    num_tokens, size = 5, 4999  # more than one block, and not a multiple of it
    logits = (4 * torch.randn(num_tokens, size, generator=draw)).to(device)
    targets = torch.randint(0, size, (num_tokens,), generator=draw).to(device)
    counts = torch.tensor([True, True, False, True, True], device=device)
    slopes = torch.empty_like(logits)
    nll = kernels.cross_entropy(logits.clone(), targets, counts, cap, slopes)
    with torch.enable_grad():
        leaf = logits.clone().requires_grad_()
        bent = leaf if cap is None else cap * torch.tanh(leaf / cap)
        each = torch.nn.functional.cross_entropy(bent, targets, reduction="none")
        each = each * counts
        (expected,) = torch.autograd.grad(each.sum(), leaf)
    return _near(nll, each.detach()) and _near(slopes, expected)


def _same_update(kernels: ModuleType, device: torch.device, has_ratio: bool) -> bool:
    draw = torch.Generator().manual_seed(1)
    num_slots, size, eps, beta2 = 3, 3000, 1e-8, 0.999
    values, grads, first, second = (
        torch.randn(num_slots, size, generator=draw).to(device) for _ in range(4)
    )
    second = second.square()
    grads[2] = torch.inf  # of a slot that does not update
    ratio_n = (torch.rand(size, generator=draw) < 0.5).to(device)
    # As `SLOT_NUMBERS` says.
    rows = [
        [0.5, 1, 0.1, beta2, 0.03, -1e-2, 0.99, -4e-2, 0.96],
        [1.0, 1, 0.1, beta2, 0.20, -1e-3, 1.0, -4e-3, 1.0],
        [torch.nan, 0, 0, 1, 0.03, 0, 1, 0, 1],
    ]
    numbers = torch.tensor(rows, device=device)
    found = [tensor.clone() for tensor in (values, grads, first, second)]
    chosen = ratio_n if has_ratio else None
    kernels.update(*found, numbers, chosen, eps=eps, beta2=beta2)
    clip, updates, weight, decay, root, rate, kept, other, others = (
        part[:, None] for part in numbers.unbind(1)
    )
    if has_ratio:
        rate, kept = torch.where(ratio_n, other, rate), torch.where(ratio_n, others, kept)
    grads = torch.where(updates > 0, grads * clip, 0.0)
    first = first + weight * (grads - first)
    second = second * decay + (1 - beta2) * grads.square()
    values = values * kept + first * rate / (second.sqrt() / root + eps)
    return all(map(_near, found, (values, grads, first, second)))


def _same_dropout(kernels: ModuleType, device: torch.device) -> bool:
    left = kernels.dropped(
        torch.ones(2, 6, 8, device=device),
        torch.tensor([7, 1 << 40], device=device),
        torch.tensor([3, 0], device=device),
        torch.tensor([1 << 30, 1 << 29], dtype=torch.int32, device=device),
        torch.tensor([2.0, 4 / 3], device=device),
        torch.tensor(2, device=device),
        layer_key=123456789,
        num_rows=3,
    )
    bits = "".join(str(int(number)) for number in (left != 0).flatten().tolist())
    return int(bits, 2) == DROPOUT_BITS and float(left.max()) == 2.0


def _near(found: Tensor, expected: Tensor) -> bool:
    return bool(torch.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE))
