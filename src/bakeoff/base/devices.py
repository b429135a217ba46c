"""Which kind of device a pass is for: the one that its tensors are on, or a GPU that it simulates.

A plan for a GPU is traced with tensors of shapes alone. They are the CPU's, as PyTorch's autograd
runs backward only on devices that it was built for, but what is traced must take every turn that
the GPU's pass would: sizes of chunks, static buffers, kernels of attention. Code that chooses by
the kind of device therefore asks ``kind_of`` and not the tensor.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

_AMPERE = (8, 0)


@dataclass(frozen=True, kw_only=True)
class GpuProfile:
    """What the engine's choices on a GPU depend on.

    Attributes:
        is_ampere: whether its compute capability is 8.0 or more: it multiplies bfloat16 and has
            the flash kernel of attention.
        free_bytes: memory for training and generation.
        compute_dtype: what a base computes in there whose shapes alone are here; None where it is
            the base's own.
    """

    is_ampere: bool
    free_bytes: int = 0
    compute_dtype: torch.dtype | None = None


class _Present(threading.local):
    """What passes in this thread simulate."""

    # Set in every thread: compiled code asks whether it is there.
    def __init__(self) -> None:
        self.profile: GpuProfile | None = None


_present = _Present()


def kind_of(device: torch.device) -> str:
    """``cpu`` or ``cuda``: for what kind of device a pass over tensors on ``device`` is."""
    return device.type if _present.profile is None else "cuda"


def present_profile() -> GpuProfile | None:
    """The GPU that passes in this thread simulate, if they do."""
    return _present.profile


def format_of(own: torch.dtype) -> torch.dtype:
    """What passes in this thread compute in, over a base that computes in ``own`` here."""
    profile = _present.profile
    return own if profile is None else profile.compute_dtype or own


@contextmanager
def standing_for(profile: GpuProfile | None) -> Iterator[None]:
    """Lets what is inside choose as it would on that GPU; None leaves everything as it is."""
    before = _present.profile
    _present.profile = profile or before
    try:
        yield
    finally:
        _present.profile = before


def profile_of(device: torch.device) -> GpuProfile | None:
    """The profile of a device that is here; None for a CPU."""
    if device.type != "cuda":
        return None
    return GpuProfile(is_ampere=torch.cuda.get_device_capability(device) >= _AMPERE)
