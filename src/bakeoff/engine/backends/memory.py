"""What running out of memory looks like, and what to do first."""

from __future__ import annotations

from typing import Any

import torch

from bakeoff.base.model import Base
from bakeoff.memory import release_unused


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that the device or the machine has no memory left."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "not enough memory" in text or "out of memory" in text
    )


def release_memory() -> None:
    """Gives back what the failed pass held."""
    release_unused()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


_CPU_ROWS = 64
_MOST_ROWS = 1024
_MEMORY_SHARE = 0.4


def rows_that_fit(base: Base, num_positions: int) -> int:
    """Rows of one batch of generation: as many as memory holds with ease; a power of two.

    On a CPU more than some dozens bring nothing.

    Args:
        base: the base.
        num_positions: of one row, prompt and continuation together.
    """
    if base.device.type == "cpu":
        return _CPU_ROWS
    config: Any = base.model.config
    heads = int(getattr(config, "num_attention_heads", 1))
    kept = int(getattr(config, "num_key_value_heads", None) or heads)
    layers = int(getattr(config, "num_hidden_layers", 1))
    width = int(getattr(config, "head_dim", None) or base.embedding_width // heads)
    itemsize = base.compute_dtype.itemsize
    # Keys and values, those of half the rows once more; the prompt's pass; logits and their like.
    cache = 1.5 * 2 * layers * kept * width * num_positions * itemsize
    row_bytes = cache + 12 * base.embedding_width * num_positions * itemsize + 16 * base.vocabulary
    fitting = max(1, int(_MEMORY_SHARE * torch.cuda.mem_get_info(base.device)[0] / row_bytes))
    return min(_MOST_ROWS, 1 << (fitting.bit_length() - 1))
