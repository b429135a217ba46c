"""What running out of memory looks like, and what to do first."""

from __future__ import annotations

import errno
from typing import Any, Final

import torch

from bakeoff.base.devices import format_of, kind_of, present_profile
from bakeoff.base.model import Base
from bakeoff.memory import available_bytes, release_unused
from bakeoff.ranks import LeftAloneError, ranks, smallest

_OUT_OF_MEMORY: Final = (
    # PyTorch's allocators.
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    # oneDNN, which has no word for it; the C++ library; the system, also for a thread's stack.
    "could not create a primitive",
    "could not create a memory",
    "bad_alloc",
    "Cannot allocate memory",
    "can't start new thread",
    "failed to allocate",
    # CUDA's libraries, which allocate by themselves: cuBLAS, cuBLASLt, cuDNN (before and since
    # version 9), cuSPARSE, cuSOLVER, cuFFT, and the runtime's own name.
    "_STATUS_ALLOC_FAILED",
    "HOST_ALLOCATION_FAILED",
    "DEVICE_ALLOCATION_FAILED",
    "CUFFT_ALLOC_FAILED",
    "cudaErrorMemoryAllocation",
    # Without memory for its first workspace, cuBLAS reports that it has not been initialised.
    "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that the device or the machine has no memory left.

    An allocation that fails inside a capture ends the capture, whose own error is then the one
    that arrives: the error that it replaced is looked at as well.
    """
    if isinstance(error, LeftAloneError):  # its words name memory, and it is not to be tried again
        return False
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if not isinstance(error, RuntimeError):
        return False
    text = str(error)
    if any(sign in text for sign in _OUT_OF_MEMORY):
        return True
    replaced = error.__cause__ or error.__context__
    return "captur" in text and replaced is not None and is_out_of_memory(replaced)


def may_try_smaller(error: BaseException) -> bool:
    """Whether the same work is to be tried in smaller parts: memory ran out, and it can be.

    Not in one of several processes of a run: the others wait for its part of a collective, and one
    that is made again meets another of theirs.
    """
    return ranks().count == 1 and is_out_of_memory(error)


def release_memory() -> None:
    """Gives back what the failed pass held."""
    release_unused()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """Memory that is free on the device, or available on the machine.

    On a GPU, blocks that PyTorch has reserved and nothing uses count as free: it hands them out
    again, though the driver takes them for used. Of several processes of a run the least.
    """
    profile = present_profile()
    if profile is not None:
        return profile.free_bytes
    if device.type != "cuda":
        return smallest(available_bytes())
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return smallest(int(torch.cuda.mem_get_info(device)[0]) + max(0, unused))


FEW_ROWS: Final = 64
"""Of a batch of generation where memory is not what limits it."""
_MOST_ROWS = 1024
_MEMORY_SHARE = 0.4


def rows_that_fit(base: Base, num_positions: int) -> int:
    """Rows of one batch of generation: as many as memory holds with ease; a power of two.

    On a CPU more than some dozens bring nothing.

    Args:
        base: the base.
        num_positions: of one row, prompt and continuation together.
    """
    if kind_of(base.device) == "cpu":
        return FEW_ROWS
    config: Any = base.config
    heads = int(getattr(config, "num_attention_heads", 1))
    kept = int(getattr(config, "num_key_value_heads", None) or heads)
    layers = int(getattr(config, "num_hidden_layers", 1))
    width = int(getattr(config, "head_dim", None) or base.embedding_width // heads)
    itemsize = format_of(base.compute_dtype).itemsize
    # Keys and values; the prompt's pass; logits and their like.
    cache = 2 * layers * kept * width * num_positions * itemsize
    row_bytes = cache + 12 * base.embedding_width * num_positions * itemsize + 16 * base.vocabulary
    fitting = max(1, int(_MEMORY_SHARE * free_bytes(base.device) / row_bytes))
    return min(_MOST_ROWS, 1 << (fitting.bit_length() - 1))
