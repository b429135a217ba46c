"""Which number format the frozen base computes in. What is trained is float32 always."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from bakeoff.errors import ConfigError
from bakeoff.ranks import ranks
from bakeoff.types import Precision as Precision

_CUDA = torch.device("cuda")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` means here.

    Raises:
        ConfigError: for an unknown name, or a CUDA device that is not there.
    """
    index = re.fullmatch(r"cuda:(\d{1,4})", name)
    if name not in ("auto", "cpu", "cuda") and index is None:
        raise ConfigError(
            f"device: {name!r} is not a device; choose auto, cpu or cuda, or one of several GPUs "
            "by its number, as cuda:1"
        )
    available = torch.cuda.is_available()
    if name.startswith("cuda") and not available:
        raise ConfigError(
            f"device: {name!r} was asked for, but PyTorch sees no CUDA device here; use cpu or auto"
        )
    if index is None:
        if not available or name == "cpu":
            return torch.device("cpu")
        # Each of a run's processes has one of its own.
        return torch.device("cuda", ranks().local_rank) if ranks().count > 1 else _CUDA
    count = torch.cuda.device_count()
    if int(index[1]) >= count:
        there = "1 CUDA device" if count == 1 else f"{count} CUDA devices"
        known = " or ".join(f"cuda:{number}" for number in range(count))
        raise ConfigError(
            f"device: {name!r} was asked for, but PyTorch sees {there} here; use {known}"
        )
    return torch.device("cuda", int(index[1]))


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The compute format of ``precision`` on ``device``.

    ``auto`` is bfloat16 where the hardware multiplies it, float16 on CUDA cards before Ampere and
    float32 otherwise.
    """
    if precision != "auto":
        return _DTYPES[precision]
    if device.type == "cuda":
        ampere_or_newer = torch.cuda.get_device_capability(device)[0] >= 8
        return torch.bfloat16 if ampere_or_newer else torch.float16
    return torch.bfloat16 if cpu_multiplies_bfloat16() else torch.float32


def cpu_multiplies_bfloat16() -> bool:
    """Whether the processor has bfloat16 products (AVX-512 BF16, AMX, or Arm's bf16)."""
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return False
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
