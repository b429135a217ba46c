"""Kernels that give the same bits for the same input, at the price of speed."""

from __future__ import annotations

import os
from typing import Any, Final

import torch
from torch.utils import deterministic as _settings

_WORKSPACE: Final = "CUBLAS_WORKSPACE_CONFIG"
_FIXED: Final = ":4096:8"
"""Eight buffers of 4 MiB for each handle and stream; cuBLAS's documentation, "Results
Reproducibility": with any configured workspace each product takes one and the same way."""
_chosen_here = False


def choose_algorithms(*, deterministic: bool) -> None:
    """Has PyTorch, in this process, compute by deterministic algorithms alone, or as it likes.

    Call it before the device is first used: cuBLAS reads its workspace's size only once.

    Args:
        deterministic: False undoes only what an earlier call has done here.
    """
    global _chosen_here
    if not deterministic and not _chosen_here:
        return
    _chosen_here = deterministic
    if deterministic:
        os.environ.setdefault(_WORKSPACE, _FIXED)
    torch.use_deterministic_algorithms(deterministic)
    # Nothing here reads memory before it is written; filling it would cost a pass over each tensor.
    settings: Any = _settings
    settings.fill_uninitialized_memory = not deterministic
    if torch.cuda.is_available():
        # Compiled kernels are otherwise chosen by how long they take, which differs between runs.
        from torch._inductor import config

        config.deterministic = deterministic
