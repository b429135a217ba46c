"""Copies between the host and a device."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array on the device; to a GPU without waiting for the copy."""
    return sent(torch.from_numpy(array), device)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device; from the host to a GPU without waiting for the copy."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
