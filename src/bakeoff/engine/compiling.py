"""Whether the base's layers are compiled, where a study leaves that open.

On a GPU they are. On a CPU compiled layers take two thirds of the time in bfloat16, for the norms,
rotary positions and activations between the products are dozens of passes over memory
(``docs/performance.md``), but compiling takes half a minute, and a C++ compiler.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch

from bakeoff.base.compiled import decoder_layers
from bakeoff.base.devices import kind_of
from bakeoff.base.model import Base
from bakeoff.engine.backends.worker_threads import WIDEST
from bakeoff.engine.workbench import Workbench
from bakeoff.files import cache_folder
from bakeoff.methods.contract import Method

_LEAST_FLOPS = 2e13
"""Operations of one candidate's training from which compiling pays: a minute and a half at what two
cores reach in bfloat16. All candidates share what was compiled."""
_FLOPS = 4
"""For each parameter and token: a product in the forward pass, and one in the backward pass of a
frozen layer."""

NOT_COMPILED = (
    "the layers of the base could not be compiled and run as they are written (the whole error is "
    "in the log); the next call tries it again"
)
_COMPILERS = ("torch._inductor", "torch._dynamo", "triton")
_NO_C_COMPILER = "Failed to find C compiler"
_CACHE = "TORCHINDUCTOR_CACHE_DIR"
Result = TypeVar("Result")
_log = logging.getLogger(__name__)


def pays_to_compile(bench: Workbench) -> bool:
    """Whether ``engine.compile: auto`` compiles the layers of a study's base on a CPU.

    Not where activations are computed again because memory is short: compiled attention holds the
    scores of whole rows for a moment, which no forecast knows.
    """
    return (
        bench.engine.compile == "auto"
        and not bench.engine.recomputes
        and len(bench.held_bases) == 1
        and any(goes_through_layers(m) for found in bench.methods.values() for m in found.values())
        and training_flops(bench) >= _LEAST_FLOPS
        and is_faster_compiled(bench.base)
    )


def goes_through_layers(method: Method) -> bool:
    """Whether a method trains through the frozen layers: others have no use of compiled ones."""
    path = method.execution_path
    return path.shares_base and not path.reads_hidden_states


def is_faster_compiled(base: Base) -> bool:
    """Whether a base's layers are faster compiled on the CPU that it is on, if they can be.

    Narrow bases compute in worker threads, of which compiled code has one; experts that are chosen
    by what a token is cannot be compiled in one piece.
    """
    return (
        kind_of(base.device) == "cpu"
        and base.compute_dtype == torch.bfloat16
        and base.choice.quantization == "none"
        and base.width > WIDEST
        and not base.is_sharded
        and not base.expert_layers()
        and compiler_serves()
    )


def training_flops(bench: Workbench) -> float:
    """Of one candidate of the study, in the base's layers."""
    numbers = sum(p.numel() for layer in decoder_layers(bench.base) for p in layer.parameters())
    tokens = bench.plans["train"].tokens_padded * bench.protocol.epochs
    return float(_FLOPS * numbers * tokens)


def is_compiler_failure(error: BaseException) -> bool:
    """Whether PyTorch failed to compile, as opposed to what was compiled failing.

    Triton compiles some of its kernels when they first run, out of Inductor's sight: its errors
    arrive as they are, and for a missing C compiler it has no error of its own.
    """
    return type(error).__module__.startswith(_COMPILERS) or _NO_C_COMPILER in str(error)


def as_written(bench: Workbench) -> Workbench:
    """The study with layers that run as they are written, and nothing left of compiled ones.

    A compiler that was killed leaves torn files, which fail every later call that finds them.
    """
    torch.compiler.reset()
    own = _own_cache()
    if os.environ.get(_CACHE) == str(own):
        shutil.rmtree(own, ignore_errors=True)
    return replace(bench, engine=replace(bench.engine, compile=False))


def compiled_or_written(
    bench: Workbench, work: Callable[[Workbench], Result]
) -> tuple[Workbench, Result]:
    """The study as it can be computed, and what ``work`` gives of it.

    Where the compiler fails, that is with layers as they are written.
    """
    try:
        return bench, work(bench)
    except Exception as error:
        if bench.engine.compile is False or not is_compiler_failure(error):
            raise
        _log.warning("%s", NOT_COMPILED, exc_info=error)
    bench = as_written(bench)
    return bench, work(bench)


def keep_compiled_apart() -> None:
    """Lets Inductor keep what it compiles in bakeoff's cache, unless the user has said where."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir  # with all of Inductor

    # Where no user has said it, importing Inductor may have put its own there.
    if os.environ.get(_CACHE) in (None, default_cache_dir()):
        os.environ[_CACHE] = str(_own_cache())


def _own_cache() -> Path:
    return cache_folder() / "compiled"


@cache
def compiler_serves() -> bool:
    """Whether Inductor compiles for this processor: it is tried once, on a sum."""
    if shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None:
        return False
    keep_compiled_apart()
    # What PyTorch would start for Triton, which has no part in it.
    os.environ.setdefault("TORCH_WARM_POOL", "0")
    given = torch.arange(5.0)
    try:
        found = torch.compile(lambda x: x * 2 + 1, dynamic=True)(given)
    except Exception as error:  # a compiler has many ways to fail; training goes on without
        _log.info("layers are not compiled: %s", error)
        return False
    return bool(torch.equal(found, given * 2 + 1))
